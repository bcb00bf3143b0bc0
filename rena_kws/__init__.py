"""rena-kws: keyword spotting for small chips. Words in, firmware out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rena_kws.api import evaluate, export, profile, search

__all__ = ["evaluate", "export", "profile", "search"]
__version__ = "0.1.0"

# `python -m rena_kws` from a checkout finds this bare folder before an installed copy; what is mapped lies beside it.
_root = Path(__file__).parent.parent
if (_root / "setup.cfg").is_file() and (_root / "profilers").is_dir():
    __path__.append(str(_root))


def __getattr__(name: str) -> Any:
    """The four calls are imported when first used: `import rena_kws` alone stays light."""
    if name in __all__:
        from rena_kws import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
