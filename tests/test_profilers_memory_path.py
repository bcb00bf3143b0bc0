"""What a board's flash adds to the core's cycles: both caches, prefetch, one cache for all, against counts by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rena_kws.devices import catalogue
from rena_kws.devices.description import Device, MemoryPath
from rena_kws.profilers.cortex_m.emulator import Emulator
from rena_kws.profilers.cortex_m.records import Counters
from rena_kws.profilers.cortex_m.worker import EmulatorProcess

FLASH, DATA = 0x08000000, 0x08010000
NOP, RETURN = b"\x00\xbf", b"\x70\x47"


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    process = EmulatorProcess()
    yield process
    process.close()


def board(**path: int | bool) -> Device:
    return replace(catalogue.get("cortex-m4"), memory=MemoryPath(**path))  # type: ignore[arg-type]


def count(device: Device, code: bytes, process: EmulatorProcess, calls: int = 1, argument: int = DATA) -> Counters:
    with Emulator(device, process=process) as chip:
        chip.write(FLASH, code)
        for _ in range(calls):
            assert chip.call(FLASH, argument).stop.why == "stop"
        return chip.counters()


def test_each_line_of_code_misses_once_while_it_fits(process: EmulatorProcess) -> None:
    device = board(
        instruction_cache_bytes=1024, instruction_line_bytes=16, instruction_ways=2, instruction_miss_cycles=5
    )
    code = NOP * 255 + RETURN  # 512 bytes, 32 lines
    assert count(device, code, process).memory_cycles == 32 * 5
    assert count(device, code, process, calls=3).memory_cycles == 32 * 5
    small = replace(device, memory=replace(device.memory, instruction_cache_bytes=256))
    assert count(small, code, process, calls=3).memory_cycles == 3 * 32 * 5  # least recently used keeps nothing


def test_prefetch_hides_what_the_core_spends_on_the_line_before(process: EmulatorProcess) -> None:
    # A line of 16 bytes is eight instructions of a cycle each: of twelve cycles four are left; the first line pays all.
    path = {"instruction_cache_bytes": 16, "instruction_line_bytes": 16, "instruction_miss_cycles": 12}
    code = NOP * 255 + RETURN
    assert count(board(**path), code, process).memory_cycles == 32 * 12
    ahead = count(board(**path, instruction_prefetch=True), code, process)
    assert ahead.memory_cycles == pytest.approx(12 + 31 * 4, abs=31)  # the return's cycles are spread over the lines


def test_one_cache_for_all_serves_code_and_data(process: EmulatorProcess) -> None:
    load = b"\x01\x68"  # ldr r1, [r0]
    path = {"instruction_cache_bytes": 1024, "instruction_line_bytes": 16, "instruction_miss_cycles": 7}
    code = load + RETURN
    shared = count(board(**path, unified_cache=True), code, process)
    assert (shared.memory_cycles, shared.instruction_misses) == (14, 2)
    alone = count(board(**path), code, process)
    assert (alone.memory_cycles, alone.data_misses) == (7, 0)
    # The word lies in the line of the code that reads it.
    assert count(board(**path, unified_cache=True), code, process, argument=FLASH + 8).memory_cycles == 7


@settings(max_examples=25, deadline=None)
@given(
    ways=st.sampled_from([1, 2, 4, 0]),
    lines=st.sampled_from([8, 16]),
    addresses=st.lists(st.integers(0, 63), min_size=1, max_size=60),
)
def test_the_data_cache_against_a_model_of_it(ways: int, lines: int, addresses: list[int]) -> None:
    device = board(data_cache_bytes=16 * lines, data_line_bytes=16, data_ways=ways, data_miss_cycles=3)
    loads = b"".join((0xF8D0).to_bytes(2, "little") + (0x1000 | 16 * a).to_bytes(2, "little") for a in addresses)
    sets = lines // (ways or lines)
    recent: dict[int, list[int]] = {}
    misses = 0
    for line in (DATA // 16 + address for address in addresses):
        known = recent.setdefault(line % sets, [])
        misses += line not in known
        if line in known:
            known.remove(line)
        known.insert(0, line)
        del known[lines // sets :]
    counters = count(device, loads + RETURN, _SHARED)
    assert counters.data_misses == misses and counters.memory_cycles == 3 * misses


_SHARED = EmulatorProcess()
