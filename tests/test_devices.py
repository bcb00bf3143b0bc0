"""The catalogue of devices: what ships is valid and sourced; a wrong description is refused with its rule."""

from __future__ import annotations

import json

import pytest

from rena_kws.devices import catalogue, description
from rena_kws.errors import DeviceError, UnknownNameError

BOARD = """
title = "A board"
kind = "cortex_m"
profiler = "cortex_m"
core = "cortex-m4"
clock_hz = 100_000_000
flash_origin = 0x08000000
flash_bytes = 1_048_576
ram_origin = 0x20000000
ram_bytes = 262_144
[sources]
clock_hz = "datasheet"
flash_origin = "datasheet"
flash_bytes = "datasheet"
ram_origin = "datasheet"
ram_bytes = "datasheet"
"""


def test_generic_cores_are_as_designed() -> None:
    clocks_mhz = {"m0plus": 64, "m3": 72, "m4": 100, "m33": 160, "m7": 280}
    for core, clock_mhz in clocks_mhz.items():
        device = catalogue.get(f"cortex-{core}")
        assert (device.core, device.clock_hz) == (f"cortex-{core}", clock_mhz * 1_000_000)
        assert (device.flash_bytes, device.ram_bytes) == (1024 * 1024, 256 * 1024)
        assert device.memory == description.MemoryPath()


def test_every_device_that_ships_is_valid_and_sourced() -> None:
    for name in catalogue.names():
        device = catalogue.get(name)
        assert device.name == name
        assert device.as_json()["sources"] == dict(device.sources)
        if device.kind == "cortex_m":
            assert {"clock_hz", "flash_bytes", "ram_bytes"} <= set(device.sources)


BOARDS = {
    # what of each board is known from elsewhere: core, MHz, flash origin
    "nucleo-l4r5zi": ("cortex-m4", 120, 0x08000000),
    "nucleo-f446re": ("cortex-m4", 180, 0x08000000),
    "nucleo-f746zg": ("cortex-m7", 216, 0x08000000),
    "nucleo-h7a3zi-q": ("cortex-m7", 280, 0x08000000),
    "nucleo-u575zi-q": ("cortex-m33", 160, 0x08000000),
    "nucleo-g0b1re": ("cortex-m0plus", 64, 0x08000000),
    "arduino-nano-33-ble": ("cortex-m4", 64, 0),
    "nrf5340-dk": ("cortex-m33", 128, 0),
    "raspberry-pi-pico": ("cortex-m0plus", 125, 0x10000000),
    "raspberry-pi-pico-2": ("cortex-m33", 150, 0x10000000),
    "cy8cproto-062-4343w": ("cortex-m4", 150, 0x10000000),
    "ek-ra6m4": ("cortex-m33", 200, 0),
}


@pytest.mark.parametrize("name", BOARDS)
def test_boards_say_what_their_memory_costs_and_how_sure_that_is(name: str) -> None:
    board = catalogue.get(name)
    assert (board.core, (board.clock_hz or 0) / 1e6, board.flash_origin) == BOARDS[name]
    assert board.memory.instruction_cache_bytes or board.memory.fetch_stall_share
    assert 0.04 < board.memory.error_share < 0.3


def test_a_description_survives_its_json() -> None:
    for name in catalogue.names():
        device = catalogue.get(name)
        assert description.Device.from_json(json.loads(json.dumps(device.as_json()))) == device


def test_cortex_m_is_the_m4_and_an_unknown_name_gets_a_suggestion() -> None:
    assert catalogue.get("cortex-m") is catalogue.get("cortex-m") and catalogue.get("cortex-m").name == "cortex-m4"
    with pytest.raises(UnknownNameError, match="unknown device 'nucleo-l4r5z'; did you mean 'nucleo-l4r5zi'"):
        catalogue.get("nucleo-l4r5z")


@pytest.mark.parametrize(
    ("find", "replace", "complaint"),
    [
        ("clock_hz = 100_000_000", "clock_mhz = 100", "known-key: clock_mhz = 100"),
        ("clock_hz = 100_000_000", 'clock_hz = "fast"', "type: clock_hz = 'fast'"),
        ("clock_hz = 100_000_000", "clock_hz = 1.5", "type: clock_hz = 1.5"),
        ("clock_hz = 100_000_000", "clock_hz = true", "type: clock_hz = True"),
        ("clock_hz = 100_000_000", "clock_hz = 12", "range: clock_hz = 12"),
        ("clock_hz = 100_000_000", "", "complete-chip: clock_hz = None"),
        ('title = "A board"', "", "required: title = None"),
        ('core = "cortex-m4"', 'core = "cortex-m5"', "known-choice: core = 'cortex-m5'"),
        ('core = "cortex-m4"', 'core = "cortex-m3"\ndsp = true', "core-has-dsp: dsp = True"),
        ('core = "cortex-m4"', 'core = "cortex-m4"\nfpu = "double"', "core-has-fpu: fpu = 'double'"),
        ('kind = "cortex_m"', 'kind = "host"', "complete-chip: core = 'cortex-m4'"),
        ("ram_bytes = 262_144", "ram_bytes = 262_143", "whole-pages: ram_bytes = 262143"),
        ("ram_origin = 0x20000000", "ram_origin = 0x08000400", "memories-apart: ram_origin"),
        ("ram_origin = 0x20000000", "ram_origin = 0x20000000\nsupply_v = 3.3", "energy-pair: supply_v = 3.3"),
        ('clock_hz = "datasheet"\n', "", "sourced: clock_hz = 100000000"),
        ('clock_hz = "datasheet"', 'clock_hz = " "', "source-text: sources.clock_hz"),
        ("[sources]", '[sources]\nspeed = "x"', "known-key: sources.speed"),
        ("[sources]", "[memory]\nfetch_stall_share = -1\n[sources]", "range: memory.fetch_stall_share = -1"),
        ("[sources]", "[memory]\nwaits = 3\n[sources]", "known-key: memory.waits = 3"),
        (
            "[sources]",
            "[memory]\ndata_cache_bytes = 100\ndata_line_bytes = 8\n[sources]",
            "whole-lines: memory.data_cache_bytes = 100",
        ),
        ("[sources]", '[regions.x]\nkind = "ram"\n[sources]', "required: regions.x.origin"),
        (
            "[sources]",
            '[regions.x]\nkind = "tape"\norigin = 0\nbytes = 4096\n[sources]',
            "known-choice: regions.x.kind",
        ),
        ("[sources]", '[regions.x]\nkind = "ram"\norigin = 1\nbytes = 4096\n[sources]', "whole-pages: regions.x"),
        (
            "[sources]",
            '[regions.x]\nkind = "ram"\norigin = 0x20000000\nbytes = 4096\n[sources]',
            "memories-apart: regions.x.origin",
        ),
        ("[sources]", '[regions.x]\nkind = "ram"\norigin = 0\nbytes = 4096\n[sources]', "sourced: regions.x"),
        ("ram_bytes = 262_144", 'ram_bytes = 262_144\nuart = "pl011"', "serial-port: uart_origin = None"),
        (
            "[sources]",
            "[memory]\ninstruction_cache_bytes = 64\ninstruction_line_bytes = 16\ninstruction_ways = 3\n[sources]",
            "whole-lines: memory.instruction_cache_bytes = 64",
        ),
        ("[sources]", "[memory]\nfetch_stall_share = 0.1\n[sources]", "sourced: memory.fetch_stall_share = 0.1"),
        ("clock_hz = 100_000_000", "clock_hz = ", "no valid TOML"),
    ],
)
def test_a_wrong_description_is_refused_on_one_line(find: str, replace: str, complaint: str) -> None:
    assert description.parse("mine", BOARD).clock_hz == 100_000_000
    with pytest.raises(DeviceError) as caught:
        description.parse("mine", BOARD.replace(find, replace, 1))
    message = str(caught.value)
    assert "device mine" in message and complaint in message and "\n" not in message
