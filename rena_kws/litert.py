"""The one place that decides which package runs .tflite files: `ai_edge_litert`, else `tflite_runtime`.

Everything else imports `Interpreter` from here. The two packages share the class's interface.
"""

from __future__ import annotations

from importlib.metadata import version

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    PACKAGE = "ai-edge-litert"
except ImportError:
    from tflite_runtime.interpreter import Interpreter, OpResolverType

    PACKAGE = "tflite-runtime"

__all__ = ["PACKAGE", "Interpreter", "OpResolverType", "package_version"]


def package_version() -> str:
    """The package in use and its version, e.g. "ai-edge-litert 2.3.0"."""
    return f"{PACKAGE} {version(PACKAGE)}"
