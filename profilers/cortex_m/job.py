"""What goes between the profiler and the worker that emulates: two frozen records and their JSON, one line each.

JSON and not pickle: the worker runs whatever the image does, and its answer must not be able to run code here.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Segment:
    """Bytes at an address."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Fault:
    """Why emulation ended early, and at which instruction."""

    reason: str
    pc: int


@dataclass(frozen=True)
class BlockCount:
    """How often a basic block ran under one owner and left one way. `owner` is a number of `Job.owners`."""

    address: int
    size: int
    taken: bool
    owner: int
    count: int


@dataclass(frozen=True)
class Job:
    """One function to call for each of `inputs` (one bytes object for each input port).

    `owners` are (number, start, end): a block that starts in the range makes `number` the owner of what follows.
    `cache_lines` 0 means that flash reads are not watched. `code_bytes` is the flash that may hold code.
    `halfword_budget` ends a run that does not return; an instruction is one halfword or two.
    """

    core: str
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int
    flash: tuple[Segment, ...]
    ram: tuple[Segment, ...]
    entry: int
    code_bytes: int
    arena: int
    arena_bytes: int
    input_offsets: tuple[int, ...]
    output_offsets: tuple[int, ...]
    output_sizes: tuple[int, ...]
    inputs: tuple[tuple[bytes, ...], ...]
    owners: tuple[tuple[int, int, int], ...] = ()
    cache_lines: int = 0
    cache_line_bytes: int = 0
    halfword_budget: int = 4_000_000_000

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=_encode)

    @classmethod
    def from_json(cls, text: str) -> Job:
        table = json.loads(text)
        for key in ("flash", "ram"):
            table[key] = tuple(Segment(item["address"], _decode(item["data"])) for item in table[key])
        table["inputs"] = tuple(tuple(_decode(port) for port in item) for item in table["inputs"])
        return cls(**table)


@dataclass(frozen=True)
class JobResult:
    """What the device computed and what was counted in the first run; after a `fault` only that."""

    outputs: tuple[bytes, ...] = ()
    stack_bytes: int = 0
    blocks: tuple[BlockCount, ...] = ()
    flash_misses: int = 0
    fault: Fault | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=_encode)

    @classmethod
    def from_json(cls, text: str) -> JobResult:
        table = json.loads(text)
        table["outputs"] = tuple(_decode(item) for item in table["outputs"])
        table["blocks"] = tuple(BlockCount(**item) for item in table["blocks"])
        table["fault"] = Fault(**table["fault"]) if table["fault"] else None
        return cls(**table)


def _encode(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"no JSON for {type(value).__name__}")


def _decode(text: str) -> bytes:
    return base64.b64decode(text)
