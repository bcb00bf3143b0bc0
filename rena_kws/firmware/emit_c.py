"""Pieces of C text: constants, struct initialisers, comments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.firmware.operands import Records


def comment(text: str) -> str:
    """One line of comment; whatever a model's names contain, they cannot end it."""
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return f"/* {printable.replace('*/', '* /').replace('/*', '/ *')} */"


def constant(symbol: str, values: NDArray[Any], name: str) -> str:
    """A constant array of the model `name`, its values in storage order; bytes are aligned to words."""
    flat = np.ravel(values)
    small = values.dtype.itemsize == 1
    per_line = 18 if small else 8
    texts = [_literal(value) for value in flat.tolist()]
    body = ",\n".join("    " + ", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line))
    aligned = f"{name.upper()}_ALIGNED " if small else ""
    return f"{aligned}static const {values.dtype.name}_t {symbol}[{flat.size}] = {{\n{body}\n}};"


def records(symbol: str, values: Records, name: str) -> str:
    """A constant array of structs of the model `name`, two a line."""
    texts = [_braces(_braces(map(_literal, member)) for member in record) for record in values.values.tolist()]
    body = ",\n".join("    " + ", ".join(texts[i : i + 2]) for i in range(0, len(texts), 2))
    return f"static const {name}_{values.struct} {symbol}[{len(texts)}] = {{\n{body}\n}};"


Arrays = dict[int, str]
"""The identity of an array → the constant that holds it: one array may be a member of several structs."""


def initializer(
    fields: Mapping[str, Any], prefix: str, name: str, arrays: Arrays, indent: str = "    "
) -> tuple[list[str], str]:
    """A struct's initialiser, one member a line, and before it the definitions of the arrays it points to.

    `arrays`: those defined before, which are not defined again; those that are come into it.
    """
    definitions, members = [], []
    for member, value in fields.items():
        symbol = f"{prefix}_{member}"
        if isinstance(value, Mapping):
            inner, text = initializer(value, symbol, name, arrays, indent + "    ")
            definitions += inner
        elif isinstance(value, np.ndarray | Records):
            if id(value) not in arrays:
                arrays[id(value)] = symbol
                definitions.append(
                    records(symbol, value, name) if isinstance(value, Records) else constant(symbol, value, name)
                )
            text = arrays[id(value)]
        elif isinstance(value, list):
            text = _braces(map(_literal, value))
        elif isinstance(value, str):
            text = value
        else:
            text = _literal(value)
        members.append(f"{indent}.{member} = {text},")
    return definitions, "\n".join(["{", *members, f"{indent[4:]}}}"])


def _braces(texts: Iterable[str]) -> str:
    return f"{{{', '.join(texts)}}}"


def _literal(value: int) -> str:
    """An integer literal; -2^31 has none of its own, since C reads a minus as an operator."""
    return f"({value + 1} - 1)" if value == -(1 << 31) else str(value)
