"""rena-kws: keyword spotting for small chips. Words in, firmware out.

What the command line does is one call here too, with the same names: `rena_kws.search(...)`, `profile(...)`,
`profile_image(...)`, `export(...)`, `evaluate(...)`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rena_kws.api import evaluate, export, profile, profile_image, search

__all__ = ["evaluate", "export", "profile", "profile_image", "search"]
__version__ = "0.1.0"

# `python -m rena_kws` from a checkout finds this bare folder before an installed copy; what is mapped lies beside it.
_root = Path(__file__).parent.parent
if (_root / "setup.cfg").is_file() and (_root / "profilers").is_dir():
    __path__.append(str(_root))


def __getattr__(name: str) -> Any:
    """The calls are imported when first used: `import rena_kws` alone stays light."""
    if name in __all__:
        from rena_kws import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """Importing a submodule sets it as an attribute of its package; that would hide the calls `search` and `export`."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
