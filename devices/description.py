"""What a device is: a frozen record read from one TOML file, every number with its source, checked by named rules.

A board file gives the fields of `Device`, of `MemoryPath` in `[memory]`, of each further `Region` in `[regions.NAME]`,
and in `[sources]` one text for each number. A rule that does not hold is one line: device, rule, value, allowed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, Literal, get_args

from rena_kws.errors import DeviceError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["cortex_m", "host", "npu", "serial"]
Core = Literal["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m33", "cortex-m7"]
Fpu = Literal["none", "single", "double"]
RegionKind = Literal["ram", "rom", "flash_alias"]
Uart = Literal["none", "stm32_usart_1", "stm32_usart_2", "nrf_uarte", "pl011", "cmsdk"]
"""Register layouts of serial ports that firmware may print on."""

_DSP_CORES = ("cortex-m4", "cortex-m33", "cortex-m7")
_FPU_BY_CORE: Mapping[str, tuple[str, ...]] = {
    "cortex-m4": ("none", "single"),
    "cortex-m33": ("none", "single"),
    "cortex-m7": ("none", "single", "double"),
}


@dataclass(frozen=True)
class MemoryPath:
    """What a board's flash adds to the core's cycles at zero wait states. All zero: no wait states. RAM never waits.

    `fetch_stall_share`: extra cycles of instruction fetch per core cycle, beside what the caches below explain.
    Instruction fetches from flash, and reads of it, go through a cache each (or one for both, where `unified_cache`),
    of `*_cache_bytes` in lines of `*_line_bytes`, least recently used among `*_ways` (0: among all lines). A line that
    misses costs `*_miss_cycles`; without a cache, give its buffer as the only line. With `instruction_prefetch` the
    line after the last is fetched ahead, and costs only what the core did not spend on the last.
    `error_share`: how far off, as a share of the latency, this path may be; see `sources`.
    """

    fetch_stall_share: float = 0.0
    instruction_cache_bytes: int = 0
    instruction_line_bytes: int = 0
    instruction_ways: int = 0
    instruction_miss_cycles: int = 0
    instruction_prefetch: bool = False
    data_cache_bytes: int = 0
    data_line_bytes: int = 0
    data_ways: int = 0
    data_miss_cycles: int = 0
    unified_cache: bool = False
    error_share: float = 0.0


@dataclass(frozen=True)
class Region:
    """Memory beside the main flash and RAM: further RAM, tightly coupled memory, a boot ROM, an alias of the flash.

    Whole pages of 4096 bytes. A ROM reads as zero; an alias shows the flash, without the memory path's cost.
    """

    kind: RegionKind
    origin: int
    bytes: int


@dataclass(frozen=True)
class Device:
    """A device to measure on. `profiler` is the registered name of the profiler that measures it.

    `uart_interrupt` is the number of the serial port's interrupt, where firmware may receive by it.
    For a Cortex-M all of `core`, `clock_hz`, flash and RAM are given; for the host they are None. A board on a serial
    port has no file: its name says where it is, and what it is where that is known (`rena_kws.devices.bench`).
    `active_current_ma` and `supply_v`, where given, allow an estimate of energy. `sources` maps each number's name
    ("clock_hz", "memory.data_miss_cycles") to where it comes from.
    """

    name: str
    title: str
    kind: Kind
    profiler: str
    core: Core | None = None
    clock_hz: int | None = None
    dsp: bool = False
    fpu: Fpu = "none"
    flash_origin: int | None = None
    flash_bytes: int | None = None
    ram_origin: int | None = None
    ram_bytes: int | None = None
    active_current_ma: float | None = None
    supply_v: float | None = None
    memory: MemoryPath = MemoryPath()
    regions: Mapping[str, Region] = field(default_factory=dict, hash=False)
    uart: Uart = "none"
    uart_origin: int | None = None
    uart_interrupt: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    def as_json(self) -> dict[str, Any]:
        """The device as plain JSON types."""
        regions = {name: vars(region) for name, region in self.regions.items()}
        return vars(self) | {"memory": vars(self.memory), "regions": regions, "sources": dict(self.sources)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Device:
        """The inverse of `as_json`."""
        regions = {name: Region(**region) for name, region in table["regions"].items()}
        return cls(**{**table, "memory": MemoryPath(**table["memory"]), "regions": regions})


def parse(name: str, text: str) -> Device:
    """The device `name` described by a TOML text. Raises `DeviceError` naming device, rule and value."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeviceError(f"device {name}: the description is no valid TOML: {error}") from None
    memory = _subtable(name, table, "memory")
    sources = _subtable(name, table, "sources")
    regions = _subtable(name, table, "regions")
    _check_fields(name, "", table, Device, ("name", "memory", "regions", "sources"))
    _check_fields(name, "memory.", memory, MemoryPath, ())
    for region in regions:
        _check_fields(name, f"regions.{region}.", _subtable(name, dict(regions), region), Region, ())
    for field_name, source in sources.items():
        if not isinstance(source, str) or not source.strip():
            _refuse(
                name, "source-text", f"sources.{field_name}", source, "a text that says where the number comes from"
            )
    device = Device(
        name=name,
        memory=MemoryPath(**memory),
        regions={key: Region(**value) for key, value in regions.items()},
        sources=sources,
        **table,
    )
    for rule in RULES:
        rule(device)
    return device


def _subtable(name: str, table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.pop(key, {})
    if not isinstance(value, dict):
        _refuse(name, "table", key, value, f"a table [{key}]")
    return dict(value)


def _check_fields(name: str, prefix: str, table: Mapping[str, Any], record: type, excluded: tuple[str, ...]) -> None:
    """Refuse unknown keys, wrong types and missing required fields."""
    known = {item.name: str(item.type) for item in fields(record) if item.name not in excluded}
    for key, value in table.items():
        if key not in known:
            _refuse(name, "known-key", prefix + key, value, ", ".join(known))
        expected = known[key]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = (
            (number and ("float" in expected or ("int" in expected and isinstance(value, int))))
            or (isinstance(value, bool) and expected == "bool")
            or (isinstance(value, str) and expected in ("str", "Kind", "Fpu", "Uart", "RegionKind", "Core | None"))
        )
        if not fits:
            _refuse(name, "type", prefix + key, value, expected.removesuffix(" | None"))
    for key in ("title", "kind", "profiler", "origin", "bytes"):
        if key in known and key not in table:
            _refuse(name, "required", prefix + key, None, "must be given")


def _refuse(device: str, rule: str, key: str, value: object, allowed: str) -> None:
    raise DeviceError(f"device {device}: rule {rule}: {key} = {value!r}; allowed: {allowed}")


def _known_choice(device: Device) -> None:
    for key, choices in (("kind", ("cortex_m", "host", "npu")), ("fpu", get_args(Fpu)), ("uart", get_args(Uart))):
        if getattr(device, key) not in choices:
            _refuse(device.name, "known-choice", key, getattr(device, key), ", ".join(choices))
    if device.core is not None and device.core not in get_args(Core):
        _refuse(device.name, "known-choice", "core", device.core, ", ".join(get_args(Core)))


def _complete_chip(device: Device) -> None:
    for key in ("core", "clock_hz", "flash_origin", "flash_bytes", "ram_origin", "ram_bytes"):
        given = getattr(device, key) is not None
        if given != (device.kind == "cortex_m"):
            allowed = (
                "must be given for a cortex_m" if device.kind == "cortex_m" else f"must be absent for a {device.kind}"
            )
            _refuse(device.name, "complete-chip", key, getattr(device, key), allowed)


def _within(key: str, low: float, high: float) -> Callable[[Device], None]:
    def rule(device: Device) -> None:
        value = getattr(device, key)
        if value is not None and not low <= value <= high:
            _refuse(device.name, "range", key, value, f"{low:g} to {high:g}")

    return rule


def _whole_pages(device: Device) -> None:
    for key in ("flash_origin", "flash_bytes", "ram_origin", "ram_bytes"):
        value = getattr(device, key)
        if value is not None and value % 1024:
            _refuse(device.name, "whole-pages", key, value, "a multiple of 1024")


def _apart(device: Device) -> None:
    """No two memories overlap."""
    if device.kind != "cortex_m":
        return
    places = [
        ("flash_origin", device.flash_origin or 0, device.flash_bytes or 0),
        ("ram_origin", device.ram_origin or 0, device.ram_bytes or 0),
    ]
    places += [(f"regions.{name}.origin", region.origin, region.bytes) for name, region in device.regions.items()]
    places.sort(key=lambda place: place[1])
    for (_, first, size), (key, origin, _) in pairwise(places):
        if origin < first + size:
            _refuse(
                device.name, "memories-apart", key, hex(origin), f"{first + size:#x} or more, after what lies before"
            )


def _regions(device: Device) -> None:
    for name, region in device.regions.items():
        if region.kind not in get_args(RegionKind):
            _refuse(device.name, "known-choice", f"regions.{name}.kind", region.kind, ", ".join(get_args(RegionKind)))
        if region.origin % 4096 or region.bytes % 4096 or region.bytes <= 0 or not 0 <= region.origin < 2**32:
            place = (hex(region.origin), region.bytes)
            _refuse(device.name, "whole-pages", f"regions.{name}", place, "multiples of 4096, the emulator's pages")


def _serial_port(device: Device) -> None:
    if (device.uart == "none") != (device.uart_origin is None):
        _refuse(device.name, "serial-port", "uart_origin", device.uart_origin, "given together with uart")


def _core_has_it(device: Device) -> None:
    if device.dsp and device.core not in _DSP_CORES:
        _refuse(device.name, "core-has-dsp", "dsp", device.dsp, f"true only for {', '.join(_DSP_CORES)}")
    units = _FPU_BY_CORE.get(device.core or "", ("none",))
    if device.fpu not in units:
        _refuse(device.name, "core-has-fpu", "fpu", device.fpu, ", ".join(units))


def _memory_path(device: Device) -> None:
    path = device.memory
    for key, high in (("fetch_stall_share", 2.0), ("error_share", 1.0)):
        if not 0 <= getattr(path, key) <= high:
            _refuse(device.name, "range", f"memory.{key}", getattr(path, key), f"0 to {high:g}")
    for side in ("instruction", "data"):
        size, line, ways, miss = (
            getattr(path, f"{side}_{part}") for part in ("cache_bytes", "line_bytes", "ways", "miss_cycles")
        )
        if min(line, size, ways, miss) < 0:
            _refuse(device.name, "range", f"memory.{side}_cache_bytes", (size, line, ways, miss), "not negative")
        whole = not line if size == 0 else line > 0 and not line & (line - 1) and size % (line * max(ways, 1)) == 0
        if not whole:
            allowed = "whole sets of lines, a line a power of two of bytes"
            _refuse(device.name, "whole-lines", f"memory.{side}_cache_bytes", size, allowed)
    if path.unified_cache and path.data_cache_bytes:
        size = path.data_cache_bytes
        _refuse(device.name, "unified-cache", "memory.data_cache_bytes", size, "0: the instruction cache serves both")


def _energy_pair(device: Device) -> None:
    if (device.active_current_ma is None) != (device.supply_v is None):
        _refuse(device.name, "energy-pair", "supply_v", device.supply_v, "given together with active_current_ma")


def _sourced(device: Device) -> None:
    numbers = {item.name for item in fields(device) if _is_number(getattr(device, item.name))}
    numbers |= {f"memory.{key}" for key, value in vars(device.memory).items() if value}
    numbers |= {f"regions.{key}" for key in device.regions}
    for key in sorted(numbers - set(device.sources)):
        head, _, rest = key.partition(".")
        value = getattr(device, head) if not rest else device.as_json()[head][rest]
        _refuse(device.name, "sourced", key, value, f"a number with its source: add {key!r} to [sources]")
    known = {item.name for item in fields(Device)} | {f"memory.{item.name}" for item in fields(MemoryPath)}
    known |= {f"regions.{key}" for key in device.regions}
    for key in sorted(set(device.sources) - known):
        _refuse(device.name, "known-key", f"sources.{key}", device.sources[key], ", ".join(sorted(known)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


RULES: tuple[Callable[[Device], None], ...] = (
    _known_choice,
    _complete_chip,
    _within("clock_hz", 1_000_000, 2_000_000_000),
    _within("flash_bytes", 1024, 256 * 2**20),
    _within("ram_bytes", 1024, 256 * 2**20),
    _within("flash_origin", 0, 2**32 - 1),
    _within("ram_origin", 0, 2**32 - 1),
    _within("active_current_ma", 0.01, 10_000),
    _within("supply_v", 0.5, 12),
    _whole_pages,
    _regions,
    _apart,
    _serial_port,
    _core_has_it,
    _memory_path,
    _energy_pair,
    _sourced,
)
