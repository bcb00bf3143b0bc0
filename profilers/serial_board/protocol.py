"""The lines of MLPerf Tiny's serial protocol: commands as text, replies as data. Nothing here touches a port.

A command ends with `%`, and the firmware's buffer holds 80 characters of it. A reply is lines, the last `m-ready`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

END_OF_COMMAND = "%"
READY = "m-ready"
BYTES_A_COMMAND = 31
"""Input bytes in one `db` command: 62 hex digits and the word fit the firmware's buffer."""
DECIMALS = 3
"""Of printed results."""

_NAME = re.compile(r"m-name-([^\[\]-]+)-\[([^\]]*)\]")
_PROFILE = re.compile(r"m-profile-\[([^\]]*)\]")
_MODEL = re.compile(r"m-model-\[([^\]]*)\]")
_SHA256 = re.compile(r"m-sha256-\[([0-9a-f]{64})\]")
_LAP = re.compile(r"m-lap-us-([0-9]{1,20})")
_RESULTS = re.compile(r"m-results-\[([-+0-9.eE, ]*)\]")
_BUFFER = re.compile(r"m-buffer-([0-9a-f]{2}(?:-[0-9a-f]{2})*)")


class BadReply(Exception):
    """A reply that does not answer its command: bytes were lost, or the firmware refuses. Worth another attempt."""


@dataclass(frozen=True)
class Window:
    """One timed run of `iterations` inferences. `start_us` and `end_us` are the board's clock."""

    iterations: int
    start_us: int
    end_us: int
    results: tuple[float, ...]

    @property
    def elapsed_us(self) -> int:
        return self.end_us - self.start_us

    @property
    def latency_us(self) -> float:
        return self.elapsed_us / self.iterations


def data_commands(data: bytes) -> list[str]:
    """`db load`, then the data in pieces."""
    pieces = [data[at : at + BYTES_A_COMMAND] for at in range(0, len(data), BYTES_A_COMMAND)]
    return [f"db load {len(data)}", *(f"db {piece.hex()}" for piece in pieces)]


def restarted(lines: Sequence[str]) -> bool:
    """Whether the firmware booted while it sent these lines."""
    return any(line in ("m-init-done", "m-timestamp-mode-performance", "m-timestamp-mode-energy") for line in lines)


def refusals(lines: Sequence[str]) -> list[str]:
    """The firmware's error lines `e-[…]`."""
    return [line for line in lines if line.startswith("e-[")]


def profile(lines: Sequence[str]) -> tuple[str | None, str | None]:
    """The answer to `profile`: the protocol's version and the test set; None from a firmware that refuses.

    Raises `BadReply` for what answers another command.
    """
    version = _matches(_PROFILE, lines)
    if not version and not refusals(lines):
        raise BadReply(f"no 'm-profile-[...]' but {_quoted(lines)}")
    model = _matches(_MODEL, lines)
    return (version[-1][1] if version else None, model[-1][1] if model else None)


def sha256(lines: Sequence[str]) -> str | None:
    """Our harness's line of `help` that tells its model's sha256; None from firmware that has no such line.

    Raises `BadReply` for what answers another command, or where the line is damaged.
    """
    others = [line for line in lines if line.startswith("m-") and not _SHA256.fullmatch(line)]
    if others:
        raise BadReply(f"a damaged or foreign line in the reply to 'help': {_quoted(others)}")
    found = _matches(_SHA256, lines)
    return found[-1][1] if found else None


def name(lines: Sequence[str]) -> tuple[str, str] | None:
    """What the answer to `name` says: the kind of device ("dut" is one under test) and who made it."""
    matches = _matches(_NAME, lines)
    return (matches[-1][1], matches[-1][2]) if matches else None


def check_load(command: str, lines: Sequence[str], last: bool) -> None:
    """Raise `BadReply` unless the firmware took this command of `data_commands`; the `last` completes the data."""
    _refuse_errors(command, lines)
    size = command.removeprefix("db load ")
    if size != command and f"m-[Expecting {size} bytes]" not in lines:
        raise BadReply(f"no 'm-[Expecting {size} bytes]' but {_quoted(lines)}")
    if last != ("m-load-done" in lines):
        raise BadReply("bytes of the input were lost on the way" if last else "the input was complete too early")


def buffer(lines: Sequence[str]) -> bytes | None:
    """The bytes that `db print` shows; None from a firmware that does not know the command."""
    if refusals(lines):
        return None
    matches = [_BUFFER.fullmatch(line) for line in lines if line.startswith("m-buffer")]
    if not all(matches):
        raise BadReply(f"a damaged 'm-buffer' line in {_quoted(lines)}")
    return b"".join(bytes.fromhex(match[1].replace("-", "")) for match in matches if match)


def window(lines: Sequence[str], iterations: int, warm_up: int) -> Window:
    """What `infer ITERATIONS WARM_UP` measured. Raises `BadReply` where a line is missing, double or another's."""
    command = f"infer {iterations} {warm_up}"
    _refuse_errors(command, lines)
    laps = [int(match[1]) for match in _matches(_LAP, lines)]
    wanted = [f"m-warmup-start-{warm_up}", "m-warmup-done", f"m-infer-start-{iterations}", "m-infer-done"]
    if missing := [line for line in wanted if lines.count(line) != 1]:
        raise BadReply(f"no {missing[0]!r} in the reply to {command!r} but {_quoted(lines)}")
    if not laps and not any(line.startswith("m-lap") for line in lines):
        raise BadReply("it sends no 'm-lap-us' lines, as firmware in energy mode; performance mode is needed")
    if len(laps) != 2:
        raise BadReply(f"two 'm-lap-us' lines are needed in the reply to {command!r}, it has {len(laps)}")
    return Window(iterations, laps[0], laps[1], results(lines))


def results(lines: Sequence[str]) -> tuple[float, ...]:
    """The numbers of `m-results-[…]`. Raises `BadReply` where there is no such line, or several, or no numbers."""
    matches = _matches(_RESULTS, lines)
    if len(matches) != 1:
        raise BadReply(f"one whole 'm-results-[…]' is needed, got {_quoted(lines)}")
    try:
        values = tuple(float(text) for text in matches[0][1].split(",") if text.strip())
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise BadReply(f"results that are no numbers: {_quoted(lines)}")
    return values


def _matches(pattern: re.Pattern[str], lines: Sequence[str]) -> list[re.Match[str]]:
    return [match for line in lines if (match := pattern.fullmatch(line))]


def _refuse_errors(command: str, lines: Sequence[str]) -> None:
    if errors := refusals(lines):
        raise BadReply(f"it refuses {command[:20]!r}: {errors[0]}")


def _quoted(lines: Sequence[str]) -> str:
    text = " | ".join(line for line in lines if line != READY)
    return repr(text if len(text) <= 80 else text[:77] + "...") if text else "nothing"
