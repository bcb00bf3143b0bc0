"""Keyword spotting for small chips: search a network on the device, prove that it fits, export firmware.

What the command line does is one call here too, with the same names: `rena_kws.search(...)`, `profile(...)`,
`export(...)`, `evaluate(...)`. They are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rena_kws.api import evaluate, export, profile, search

__all__ = ["__version__", "evaluate", "export", "profile", "search"]  # noqa: F822 (__getattr__ gives the version)

# In a checkout the sub-packages profilers, devices and datasets lie beside this folder, not in it. Python started in
# the repository's root finds this folder before an installed copy, and would miss them.
_root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if os.path.isfile(os.path.join(_root, "setup.cfg")):
    __path__.append(_root)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rena-kws")
    if name in __all__:
        from rena_kws import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """Python sets an imported submodule as an attribute of its package; here that would hide `search` and `export`."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
