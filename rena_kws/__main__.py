"""`python -m rena_kws` is the command `rena-kws`."""

from __future__ import annotations

import sys

from rena_kws.cli.main import main

if __name__ == "__main__":  # worker processes import this file under another name
    sys.exit(main())
