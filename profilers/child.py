"""How profilers start a Python process of their own, for a fresh state or for code that may crash."""

from __future__ import annotations

import json
import sys

_START = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(sys.argv[3:])"
)


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that calls `main(arguments)` of `module` in a new process.

    The child finds modules where this process does, whatever lies in its working directory.
    """
    return [sys.executable, "-c", _START, json.dumps(sys.path), module, *arguments]
