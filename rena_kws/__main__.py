"""`python -m rena_kws`."""

import sys

from rena_kws.cli.main import main

sys.exit(main())
