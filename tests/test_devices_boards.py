"""The boards that ship, against facts that their files did not come from, and run in the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rena_kws.cli.main import main
from rena_kws.devices import catalogue
from rena_kws.devices.description import Device, parse
from rena_kws.errors import DeviceError
from rena_kws.profilers.cortex_m.emulator import Emulator
from rena_kws.profilers.cortex_m.worker import EmulatorProcess

Reference = Callable[..., Path]

FLASH_OF_VENDOR = {
    "arduino-nano-33-ble": 0,
    "cy8cproto-062-4343w": 0x10000000,
    "ek-ra6m4": 0,
    "nrf5340-dk": 0,
    "nucleo-f446re": 0x08000000,
    "nucleo-f746zg": 0x08000000,
    "nucleo-g0b1re": 0x08000000,
    "nucleo-h7a3zi-q": 0x08000000,
    "nucleo-l4r5zi": 0x08000000,
    "nucleo-u575zi-q": 0x08000000,
    "raspberry-pi-pico": 0x10000000,
    "raspberry-pi-pico-2": 0x10000000,
}
"""Where vendors put the flash (recalled). All boards."""
UNIQUE_ID = {
    "arduino-nano-33-ble": 0x10000060,
    "ek-ra6m4": 0x01008190,
    "nrf5340-dk": 0x00FF0204,
    "nucleo-f446re": 0x1FFF7A10,
    "nucleo-f746zg": 0x1FF0F420,
    "nucleo-g0b1re": 0x1FFF7590,
    "nucleo-h7a3zi-q": 0x08FFF800,
    "nucleo-l4r5zi": 0x1FFF7590,
    "nucleo-u575zi-q": 0x0BFA0700,
}
"""What vendors' libraries read at start-up (UID_BASE of ST's headers, FICR of Nordic's, Renesas' BSP; recalled)."""
PUBLISHED = {
    "nucleo-f746zg": "DISCO-F746NG",  # the same chip
    "nrf5340-dk": "nRF5340-DK",
    **{
        name: name.upper()
        for name in ("cy8cproto-062-4343w", "ek-ra6m4", "nucleo-g0b1re", "nucleo-h7a3zi-q", "nucleo-l4r5zi")
    },
    "nucleo-u575zi-q": "NUCLEO-U575ZI-Q",
}
"""The board's name in MLPerf Tiny's results."""
STORE_AND_RETURN = bytes.fromhex("0160 7047")  # str r1, [r0]; bx lr


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    process = EmulatorProcess()
    yield process
    process.close()


@pytest.fixture(params=sorted(FLASH_OF_VENDOR))
def board(request: pytest.FixtureRequest) -> Device:
    return catalogue.get(request.param)


def test_these_are_all_the_boards() -> None:
    chips = {name for name in catalogue.names() if catalogue.get(name).kind == "cortex_m"}
    assert {name for name in chips if not name.startswith("cortex-")} == set(FLASH_OF_VENDOR)


def test_a_board_is_what_its_vendor_and_its_core_say(board: Device) -> None:
    path = board.memory
    assert board.flash_origin == FLASH_OF_VENDOR[board.name]
    assert 0.05 <= path.error_share <= 0.2
    assert (board.dsp, board.fpu != "none") == ((board.core != "cortex-m0plus"),) * 2  # as these vendors fit them
    if board.core == "cortex-m7":  # Arm's TRM: lines of 32 bytes, two ways for instructions, four for data
        assert (path.instruction_line_bytes, path.instruction_ways) == (32, 2)
        assert (path.data_line_bytes, path.data_ways) == (32, 4)
    if board.name.startswith("nucleo-"):
        assert board.uart == ("stm32_usart_1" if board.name == "nucleo-f446re" else "stm32_usart_2")
    if board.name in UNIQUE_ID:
        (region,) = [r for r in board.regions.values() if r.origin <= UNIQUE_ID[board.name] < r.origin + r.bytes]
        assert region.kind == "rom"


def published(reference: Reference, board: str) -> list[dict[str, Any]]:
    rows = json.loads(reference("reference", "mlperf_tiny.json").read_text())
    return [row for row in rows if row["board"] == PUBLISHED[board]]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_clock_is_that_of_the_published_results(name: str, reference: Reference) -> None:
    rows = published(reference, name)
    assert rows and {row["mhz"] for row in rows} == {(catalogue.get(name).clock_hz or 0) / 1e6}


@pytest.mark.parametrize(
    "name", ["nucleo-l4r5zi", "nucleo-f746zg", "nucleo-h7a3zi-q", "nucleo-u575zi-q", "cy8cproto-062-4343w"]
)
def test_streamed_weights_cost_what_they_cost_on_the_board(name: str, reference: Reference) -> None:
    """One engine's autoencoder was published with its 264,192 bytes of weights in flash and in RAM."""
    device, path = catalogue.get(name), catalogue.get(name).memory
    rows = {row["engine"]: row["ms"] for row in published(reference, name) if row["round"] == "v1.2"}
    in_flash, in_ram = rows["HALE 1.0.175 int8"], rows["HALE 1.0.175 int8, weights in RAM"]
    side = "instruction" if path.unified_cache else "data"
    lines = 264_192 / getattr(path, f"{side}_line_bytes")
    expected = (in_flash["ad"] - in_ram["ad"]) * 1e-3 * (device.clock_hz or 0) / lines
    assert getattr(path, f"{side}_miss_cycles") == pytest.approx(expected, rel=0.1)


def test_each_memory_is_there_and_the_first_fetch_waits(board: Device, process: EmulatorProcess) -> None:
    assert board.flash_origin is not None and board.ram_origin is not None and board.ram_bytes is not None
    code = board.flash_origin + 0x200
    with Emulator(board, process=process) as chip:
        chip.write(code, STORE_AND_RETURN)
        memories = [(board.ram_origin, board.ram_bytes)]
        memories += [(r.origin, r.bytes) for r in board.regions.values() if r.kind == "ram"]
        first = chip.call(code, board.ram_origin, 0x12345678)
        assert first.memory_cycles == board.memory.instruction_miss_cycles
        for origin, size in memories:
            for address in (origin, origin + size - 4):
                assert chip.call(code, address, address ^ 0x5A5A5A5A).stop.why == "stop"
                assert int.from_bytes(chip.read(address, 4), "little") == address ^ 0x5A5A5A5A
        for region in board.regions.values():
            if region.kind == "flash_alias":
                assert chip.read(region.origin + 0x200, 4) == STORE_AND_RETURN
            if region.kind == "rom":
                assert chip.read(region.origin + region.bytes - 4, 4) == bytes(4)
                assert chip.call(code, region.origin, 1).stop.why == "fault"


def test_the_serial_port_prints(board: Device, process: EmulatorProcess) -> None:
    if board.uart == "none":  # its layout is not one of ours
        assert board.name in ("cy8cproto-062-4343w", "ek-ra6m4")
        return
    assert board.uart_origin is not None and board.flash_origin is not None and board.ram_origin is not None
    # Offsets of vendors' headers (recalled): DR, TDR, UARTDR; for the UARTE PTR, MAXCNT, then the task that starts it.
    stores = {
        "stm32_usart_1": [(0x04, ord("!"))],
        "stm32_usart_2": [(0x28, ord("!"))],
        "pl011": [(0x00, ord("!"))],
        "nrf_uarte": [(0x544, board.ram_origin), (0x548, 1), (0x008, 1)],
    }[board.uart]
    with Emulator(board, process=process) as chip:
        chip.write(board.flash_origin, STORE_AND_RETURN)
        chip.write(board.ram_origin, b"!")
        for offset, value in stores:
            assert chip.call(board.flash_origin, board.uart_origin + offset, value).stop.why == "stop"
        assert chip.sent == b"!"


def test_a_region_is_whole_pages_of_the_emulator() -> None:
    text = """
title = "A board"
kind = "host"
profiler = "cpu"
[regions.small]
kind = "ram"
origin = 0x10000400
bytes = 4096
[sources]
"regions.small" = "datasheet"
"""
    with pytest.raises(
        DeviceError, match=r"whole-pages: regions\.small = \('0x10000400', 4096\); allowed: multiples of 4096"
    ):
        parse("mine", text)


def test_devices_tells_memories_path_and_sources(board: Device, capsys: pytest.CaptureFixture[str]) -> None:
    main(["devices", board.name])
    out = capsys.readouterr().out
    for key, source in board.sources.items():
        assert f"{key}: {source}" in out
    for name, region in board.regions.items():
        assert f"{name}: " in out and f"{region.origin:#010x}" in out
    path = board.memory
    assert ("cache for instructions and data: " in out) == path.unified_cache
    assert (f"{path.data_cache_bytes:,} bytes, lines of {path.data_line_bytes}" in out) == bool(path.data_cache_bytes)
    assert f"may be off by {path.error_share:.0%}" in out
