"""A board without hardware: the harness that `export --harness` writes, with a network, in the emulator.

Bytes in, bytes out, as over a UART; the time that the firmware sees is emulated time.
"""

from __future__ import annotations

from importlib import resources

from rena_kws.artifacts import ConvertedModel
from rena_kws.devices.description import Device
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import generate, renamed
from rena_kws.firmware.emit_harness import harness_sources
from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE, Optimize, Target, Toolchain, ZigToolchain
from rena_kws.profilers.cortex_m.emulator import Emulator, check
from rena_kws.profilers.cortex_m.image import read_image

_NAME = "kws"
_ENTRY = "kws_emulated_board"
_MAILBOX_BYTES = 1024


class EmulatedBoard:
    """`start` is a reset, `receive` what the board answers to bytes. Close it to end the emulator's process."""

    def __init__(
        self,
        model: ConvertedModel,
        device: Device,
        *,
        optimize: Optimize = DEFAULT_OPTIMIZE,
        toolchain: Toolchain | None = None,
    ) -> None:
        if device.kind != "cortex_m" or device.core is None:
            raise ModelError(f"a board is emulated for a Cortex-M: device {device.name} is none")
        firmware = generate(model, _NAME, optimize)
        harness = dict(harness_sources(firmware, model))
        del harness[f"{_NAME}_board.c"]
        vendor = f'#define KWS_HARNESS_VENDOR "emulated {device.name}"\n'
        harness[f"{_NAME}_harness.h"] = vendor + harness[f"{_NAME}_harness.h"]
        glue = resources.files("rena_kws.profilers.cortex_m").joinpath("emulated_board.c").read_text(encoding="utf-8")
        glue = f"#define KWS_CLOCK_HZ {device.clock_hz}u\n{renamed(glue, _NAME)}"
        sources = {**firmware.sources, **harness, "emulated_board.c": glue}
        target = Target(device.core, device.dsp, device.flash_origin or 0, device.ram_origin or 0)
        compiled = (toolchain or ZigToolchain()).compile(sources, target, entry=_ENTRY, optimize=optimize)
        self._image = read_image(compiled)
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
        check(chip.call(_ENTRY, self._mailbox, len(data)).stop, chip, "the emulated board")
        return chip.take_sent()
