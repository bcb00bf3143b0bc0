"""A board without hardware: the harness that `export --harness` writes, with a network, in the emulator.

Bytes in, bytes out, as over a UART; the time that the firmware sees is emulated time.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.devices.description import Device
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import generate, renamed
from rena_kws.firmware.emit_harness import harness_sources
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize, Target, ZigToolchain
from rena_kws.profilers.cortex_m.emulator import Emulator, check
from rena_kws.profilers.cortex_m.image import read_image

_NAME = "kws"
_MAILBOX_BYTES = 1024


class EmulatedBoard:
    """`start` is a reset, `receive` what the board answers to bytes. Close it to end the emulator's process."""

    def __init__(self, model: ConvertedModel, device: Device, *, optimize: Optimize = DEFAULT_OPTIMIZE) -> None:
        """Raises `ModelError` for a model that gives no C, or a device that is no Cortex-M."""
        firmware = generate(model, _NAME, optimize)
        self._start_up({**firmware.sources, **harness_sources(firmware, model)}, _NAME, device, optimize)

    @classmethod
    def of_bundle(cls, folder: Path, name: str, device: Device) -> EmulatedBoard:
        """The same of an exported bundle's files, the harness among them."""
        board = cls.__new__(cls)
        files = [path for path in folder.iterdir() if path.suffix in (".c", ".h") and path.name.startswith(name)]
        sources = {path.name: path.read_text(encoding="utf-8") for path in files}
        board._start_up(sources, name, device, DEFAULT_OPTIMIZE)
        return board

    def _start_up(self, bundle: Mapping[str, str], name: str, device: Device, optimize: Optimize) -> None:
        if device.kind != "cortex_m" or device.core is None:
            raise ModelError(f"a board is emulated for a Cortex-M: device {device.name} is none")
        glue = resources.files("rena_kws.profilers.cortex_m").joinpath("emulated_board.c").read_text(encoding="utf-8")
        vendor = f'#define {name.upper()}_HARNESS_VENDOR "emulated {device.name}"\n'
        sources = {file: text for file, text in bundle.items() if file != f"{name}_board.c"}
        sources[f"{name}_harness.h"] = vendor + sources[f"{name}_harness.h"]
        clock = f"#define {name.upper()}_CLOCK_HZ {device.clock_hz}u\n"
        sources["emulated_board.c"] = clock + renamed(glue, name)
        target = Target(device.core, device.dsp, device.flash_origin or 0, device.ram_origin or 0)
        self._entry = f"{name}_emulated_board"
        self._image = read_image(ZigToolchain().compile(sources, target, entry=self._entry, optimize=optimize))
        self._mailbox = (device.ram_origin or 0) + (device.ram_bytes or 0) - _MAILBOX_BYTES
        self._chip = Emulator(device, instructions=10**12, seconds=3600)

    def close(self) -> None:
        self._chip.close()

    def start(self) -> bytes:
        """Reset → what the board sends of itself."""
        self._chip.load(self._image)
        return self._call(b"")

    def receive(self, data: bytes) -> bytes:
        pieces = (data[at : at + _MAILBOX_BYTES] for at in range(0, len(data), _MAILBOX_BYTES))
        return b"".join(self._call(piece) for piece in pieces)

    def _call(self, data: bytes) -> bytes:
        chip = self._chip
        if data:
            chip.write(self._mailbox, data)
        chip.set_register("sp", self._mailbox)
        check(chip.call(self._entry, self._mailbox, len(data)).stop, chip, "the emulated board")
        return chip.take_sent()
