"""An emulated microcontroller for any Cortex-M image, from Python.

    with Emulator(catalogue.get("nucleo-l4r5zi")) as chip:
        chip.load(read_image(Path("firmware.elf")))
        chip.run(stop="main")                  # from the reset vector through the start-up code
        answer = chip.call("infer", 0x20001000, 10)
        print(answer.value, answer.cycles, answer.memory_cycles, chip.sent)

Instructions run in unicorn, in a process of its own (see worker.py); cycles come from the core's timing model and the
board's memory path. Functions are named or given by address. A run ends in a `Run` whatever the image does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError, DeviceError, DoesNotFitError, ModelError
from rena_kws.profilers.cortex_m.image import Function, Image
from rena_kws.profilers.cortex_m.records import BlockCount, Counters, Stop
from rena_kws.profilers.cortex_m.worker import EmulatorProcess

Place = int | str
"""An address, or the name of a function of the image."""

_ids = itertools.count(1)


@dataclass(frozen=True)
class Run:
    """How a run ended and what it took: core cycles at zero wait states, and the memory's beside them. `value`: r0."""

    stop: Stop
    value: int
    instructions: int
    cycles: int
    memory_cycles: int


class Emulator:
    """One chip with nothing loaded. Close it, or use it as a context.

    `count`: whether cycles are counted. `bare`: memory alone, no devices and no code in RAM. A run may take
    `instructions` and `seconds` of real time. Raises `DeviceError` where the emulator's process is lost, with all that
    the chip held.
    """

    def __init__(
        self,
        device: Device,
        *,
        count: bool = True,
        bare: bool = False,
        instructions: int = 2_000_000_000,
        seconds: float = 120.0,
        process: EmulatorProcess | None = None,
    ) -> None:
        self.device, self.instructions, self.seconds = device, instructions, seconds
        self.image: Image | None = None
        self._own_process = process is None
        self._process = process or EmulatorProcess()
        self._id = next(_ids)
        self._hooks: list[tuple[Callable[[int, int], int], Callable[[int, int, int], None]]] = []
        self._ask("open", device.as_json(), count, bare)

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the chip's memory back; its process too, if it has one of its own."""
        if self._own_process:
            self._process.close()
        else:
            with suppress(DeviceError):  # gone already
                self._ask("close")

    # Memory and devices

    def load(self, image: Image) -> None:
        """Write the image's segments, wherever they go, and the stack pointer of its vector table.

        Raises `CandidateError` for a segment outside the device's memories.
        """
        self.image = image
        for segment in image.load:
            try:
                self.write(segment.address, segment.data)
            except CandidateError as error:
                # Memory of another board that is only cleared may go unused; code that does use it will fault.
                if not segment.zeroed:
                    raise CandidateError(f"{image.name} is not linked for this device: {error}") from None
        vectors = image.vectors
        top = vectors.stack if vectors else (self.device.ram_origin or 0) + (self.device.ram_bytes or 0)
        self.set_register("sp", top)
        if vectors:
            self._ask("set_vector_table", vectors.address)

    def write(self, address: int, data: bytes) -> None:
        self._ask("write", address, bytes(data))

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._ask("read", address, size))

    def clear_ram(self) -> None:
        """Fill all RAM with the pattern that `stack_bytes` tells untouched memory from."""
        self._ask("clear_ram")

    def stack_bytes(self, bottom: int, top: int) -> int:
        """The high-water mark of a stack that grows down from `top`, not below `bottom`."""
        return top - bottom - int(self._ask("untouched", bottom, top))

    def attach(
        self,
        address: int,
        size: int,
        read: Callable[[int, int], int],
        write: Callable[[int, int, int], None] = lambda offset, size, value: None,
    ) -> None:
        """A device of yours at [address, address + size): `read(offset, size) -> value`, `write(offset, size, value)`.

        The address lies in a device range: 0x40000000 to 0x5FFFFFFF, 0xA0000000 to 0xDFFFFFFF or 0xE0000000 to
        0xE00FFFFF.
        """
        self._hooks.append((read, write))
        self._ask("attach", address, size, len(self._hooks) - 1)

    def watch(self, first: int, last: int, seen: Callable[[str, int, int, int], None]) -> None:
        """Call `seen("read" or "write", address, size, value)` for each access of the core to memory [first, last]; the
        value of a read is 0. Slows the machine down."""

        def read(address: int, size: int) -> int:
            seen("read", address, size, 0)
            return 0

        self._hooks.append((read, lambda address, size, value: seen("write", address, size, value)))
        self._ask("watch", first, last, len(self._hooks) - 1)

    def register(self, name: str) -> int:
        """r0 to r12, sp, lr, pc or xpsr."""
        return int(self._ask("register", name))

    def set_register(self, name: str, value: int) -> None:
        self._ask("set_register", name, value)

    def send(self, data: bytes) -> None:
        """Bytes for the firmware to receive on its serial port or through semihosting."""
        self._ask("send", bytes(data))

    @property
    def sent(self) -> bytes:
        """All that the firmware printed."""
        return bytes(self._ask("sent"))

    def take_sent(self) -> bytes:
        """What the firmware printed since this was last asked."""
        return bytes(self._ask("take_sent"))

    # Running

    def run(self, start: Place | None = None, stop: Place | None = None) -> Run:
        """Run from `start` (None: the reset vector, or where the last run ended) until `stop` is about to run.

        From reset the FPU is off until the firmware turns it on, as on the chip.
        """
        if start is None and self.register("pc") == 0:
            vectors = self.image.vectors if self.image else None
            if vectors is None:
                raise ModelError("there is no vector table to start from: say where to start (--start)")
            address = vectors.reset
        else:
            address = self.register("pc") if start is None else self.address(start)
            if start is not None:
                self._ask("turn_fpu_on")
        return self._run(address, None if stop is None else self.address(stop))

    def call(self, function: Place, *arguments: int) -> Run:
        """Call a function with up to four integers and run until it returns. Registers are as the last run left them.

        The FPU is on.
        """
        if len(arguments) > 4:
            raise ModelError(f"{len(arguments)} arguments: at most 4 are passed in registers")
        for number, value in enumerate(arguments):
            self.set_register(f"r{number}", value)
        self._ask("turn_fpu_on")
        back = int(self._ask("return_address"))
        self.set_register("lr", back | 1)
        return self._run(self.address(function), back)

    def _run(self, start: int, stop: int | None) -> Run:
        before = self.counters()
        seconds = self.seconds
        end = self._ask("run", start, stop, self.instructions, seconds, timeout_s=seconds + 60)
        after = self.counters()
        return Run(
            Stop(*end),
            self.register("r0"),
            after.instructions - before.instructions,
            after.cycles - before.cycles,
            after.memory_cycles - before.memory_cycles,
        )

    def address(self, place: Place) -> int:
        """Where a function is. Raises `ModelError` for a name that the image does not have."""
        if isinstance(place, int):
            return place
        if self.image is None:
            raise ModelError(f"no image is loaded to look up {place!r} in")
        return self.image.named(place).start

    # Counters

    def own(self, owners: Sequence[tuple[int, Function]]) -> None:
        """(number, function): from when control is in the function, `number` (below 1024) owns all that follows, what
        it calls included, until control is in another owner's function.

        At first, 0 owns everything. What each owner cost is in `counters().by_owner`.
        """
        self._ask("own", [(number, at.start, max(at.end, at.start + 2)) for number, at in owners])

    def time_calls(self, function: Place, calls: int = 0) -> None:
        """Time each call of a function, all that it calls included; runs stop after `calls` of them (0: never).

        At most 4096 are kept, in `counters().samples`.
        """
        self._ask("time_calls", self.address(function), calls)

    def counters(self) -> Counters:
        table = self._ask("counters")
        for key in ("by_owner", "samples", "calls"):
            table[key] = tuple((int(a), int(b)) for a, b in table[key])
        return Counters(**table)

    def blocks(self) -> tuple[BlockCount, ...]:
        """Every basic block that ran."""
        return tuple(BlockCount(*row) for row in self._ask("blocks"))

    def by_function(self) -> dict[str, int]:
        """Core cycles spent in each function itself, the dearest first; code outside the image's functions is ""."""
        cycles: dict[str, float] = {}
        penalty = int(self._ask("mispredict_cycles"))
        for block in self.blocks():
            function = self.image.function_at(block.address) if self.image else None
            spent = block.through * block.through_cycles + block.taken * block.taken_cycles
            name = function.name if function else ""
            cycles[name] = cycles.get(name, 0) + spent + block.mispredicted * penalty
        return {name: int(spent) for name, spent in sorted(cycles.items(), key=lambda item: -item[1])}

    def report(self, stop: Stop) -> str:
        """The end of a run for people: what happened, where, and the last calls."""
        where = self.image.where if self.image else hex
        text = f"{stop.detail} (pc {where(stop.pc)}"
        names = [where(callee).split(" in ")[-1] for _, callee in self.counters().calls[-4:]]
        return f"{text}; last calls: {' → '.join(names)})" if names else f"{text})"

    def _ask(self, method: str, *arguments: Any, timeout_s: float = 60.0) -> Any:
        return self._process.ask(self._id, method, arguments, self._hooks, timeout_s)


def check(stop: Stop, emulator: Emulator, what: str) -> None:
    """Raise `CandidateError` unless the run ended where it should."""
    if stop.why not in ("stop", "region", "exit"):
        raise CandidateError(f"{what} failed on {emulator.device.name}: {emulator.report(stop)}")


def stack_of(what: str, emulator: Emulator, bottom: int, top: int) -> int:
    """`Emulator.stack_bytes`. Raises `DoesNotFitError` where the stack filled all there is, down to `bottom`."""
    stack_bytes = emulator.stack_bytes(bottom, top)
    if stack_bytes >= top - bottom:
        raise DoesNotFitError(
            f"{what} failed on {emulator.device.name}: the stack ran into the arena or the data below it; there are "
            f"{top - bottom} bytes for it"
        )
    return stack_bytes
