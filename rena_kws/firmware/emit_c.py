"""Pieces of C text: constants, struct initialisers, comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def comment(text: str) -> str:
    """One line of comment; whatever a model's names contain, they cannot end it."""
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return f"/* {printable.replace('*/', '* /').replace('/*', '/ *')} */"


def constant(name: str, values: NDArray[Any]) -> str:
    """A constant array, its values in storage order."""
    flat = np.ravel(values)
    per_line = 18 if values.dtype.itemsize == 1 else 8
    texts = [_literal(value) for value in flat.tolist()]
    body = ",\n".join("    " + ", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line))
    return f"static const {values.dtype.name}_t {name}[{flat.size}] = {{\n{body}\n}};"


def initializer(fields: Mapping[str, Any], prefix: str, indent: str = "    ") -> tuple[list[str], str]:
    """A struct's initialiser, one member a line, and before it the definitions of the arrays it points to."""
    definitions, members = [], []
    for name, value in fields.items():
        if isinstance(value, Mapping):
            inner, text = initializer(value, prefix, indent + "    ")
            definitions += inner
        elif isinstance(value, np.ndarray):
            text = f"{prefix}_{name}"
            definitions.append(constant(text, value))
        elif isinstance(value, list):
            text = f"{{{', '.join(_literal(item) for item in value)}}}"
        else:
            text = _literal(value)
        members.append(f"{indent}.{name} = {text},")
    return definitions, "\n".join(["{", *members, f"{indent[4:]}}}"])


def _literal(value: int) -> str:
    """An integer literal; -2^31 has none of its own, since C reads a minus as an operator."""
    return f"({value + 1} - 1)" if value == -(1 << 31) else str(value)
