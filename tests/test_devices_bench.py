"""`serial:…` as text and as a bench file; what it cannot mean is refused on one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from rena_kws.cli.main import main
from rena_kws.devices import catalogue, probes
from rena_kws.devices.bench import Bench, read_bench
from rena_kws.errors import DeviceError, RenaError, UnknownNameError
from rena_kws.profilers.serial_board import link


@pytest.mark.parametrize(
    ("device", "bench"),
    [
        ("serial:/dev/ttyACM0", Bench("/dev/ttyACM0")),
        ("serial:COM3", Bench("COM3")),
        ("serial:/dev/ttyACM0?baud=921600&board=cortex-m4", Bench("/dev/ttyACM0", baud=921600, board="cortex-m4")),
        ("serial:COM3?window_s=10&windows=5", Bench("COM3", window_s=10, windows=5)),
        ("serial:COM3?window_s=0.5", Bench("COM3", window_s=0.5)),
        ("serial:socket://10.0.0.1:3333", Bench("socket://10.0.0.1:3333")),
        ("serial:socket://10.0.0.1:3333?windows=1", Bench("socket://10.0.0.1:3333", windows=1)),
        (
            "serial:rfc2217://host:7000?ign_set_control&timeout=3",
            Bench("rfc2217://host:7000?ign_set_control&timeout=3"),
        ),
    ],
)
def test_a_port_as_text(device: str, bench: Bench) -> None:
    assert read_bench(device) == bench


FILE = """
[desk]
port = "/dev/ttyACM0"
board = "nucleo-l4r5zi"
build_command = "make BUNDLE={bundle} ELF={elf}"
flash_command = "openocd -c 'program {elf} verify reset exit'"

[shelf]
port = "COM3"
windows = 5
window_s = 10
"""


def test_a_bench_file_names_boards(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(FILE)
    assert read_bench(f"serial:{path}#shelf") == Bench("COM3", windows=5, window_s=10, folder=tmp_path)
    assert read_bench(f"serial:{path}#desk").flash_command == "openocd -c 'program {elf} verify reset exit'"
    device = catalogue.get(f"serial:{path}#desk")
    assert (device.core, device.profiler, device.kind) == ("cortex-m4", "serial_board", "serial")
    with pytest.raises(UnknownNameError, match="did you mean 'desk'"):
        read_bench(f"serial:{path}#dsk")
    with pytest.raises(UnknownNameError, match="known: desk, shelf"):
        read_bench(f"serial:{path}")
    path.write_text(FILE.partition("[shelf]")[0])
    assert read_bench(f"serial:{path}").port == "/dev/ttyACM0"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[desk]\nwindows = 3", "port is missing"),
        ("[desk]\nport = 3", "port = 3; allowed: a text"),
        ('[desk]\nport = "x"\nbuad = 9600', "did you mean 'baud'"),
        ('[desk]\nport = "x"\nbaud = "fast"', "baud = 'fast'; allowed: a whole number"),
        ('[desk]\nport = "x"\nbaud = 9600.5', "allowed: a whole number"),
        ('[desk]\nport = "x"\nwindows = true', "allowed: a whole number"),
        ('[desk]\nport = "x"\nwindows = 0', "windows = 0; allowed: from 1"),
        ('[desk]\nport = "x"\nlimit_s = -1', "limit_s = -1; allowed: from 0"),
        ('[desk]\nport = "x"\nlimit_s = inf', "limit_s = inf; allowed"),
        ('[desk]\nport = "x"\nflash_command = "st-flash {elf}"', "add a build_command that makes {elf} from {bundle}"),
        ('port = "x"\n[desk]\nport = "x"', "'port' stands outside of a table"),
        ("[desk\n", "no valid TOML"),
    ],
)
def test_a_wrong_bench_file_is_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(text)
    with pytest.raises(RenaError) as caught:
        read_bench(f"serial:{path}#desk")
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "complaint"),
    [
        ("serial:", "names no port"),
        ("serial:?baud=9600", "names no port"),
        ("serial:COM3?bord=x", "did you mean 'board'"),
        ("serial:COM3?board=nucleo-l4r5z", "did you mean 'nucleo-l4r5zi'"),
        ("serial:COM3?baud=", "allowed: a whole number"),
        ("serial:nothing.toml", "cannot read the bench file nothing.toml"),
    ],
)
def test_a_wrong_text_is_one_line(device: str, complaint: str) -> None:
    with pytest.raises((DeviceError, UnknownNameError)) as caught:
        catalogue.get(device)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_every_probe_has_a_title_and_a_source() -> None:
    for key, row in probes.table().items():
        vid, _, pid = key.partition(":")
        assert len(vid) == 4 and int(vid, 16) > 0 and (pid == "*" or (len(pid) == 4 and int(pid, 16) >= 0)), key
        assert set(row) == {"title", "source"} and all(row.values()), key
        assert key == key.lower()
    assert probes.title(0x0483, 0x374B) == "ST-LINK/V2-1 (ST Nucleo, Discovery)"
    assert probes.title(0x1366, 0x1234) == "SEGGER J-Link"
    assert probes.title(0x0483, 0x0001) is None


def test_boards_that_are_plugged_in_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def port(device: str, vid: int | None, pid: int | None) -> ListPortInfo:
        info = ListPortInfo(device, skip_link_detection=True)
        info.vid, info.pid = vid, pid
        return info

    ports = [port("/dev/ttyACM1", 0x0483, 0x374B), port("/dev/ttyS0", None, None), port("/dev/ttyUSB0", 0x1234, 1)]
    monkeypatch.setattr(link.list_ports, "comports", lambda: ports)
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "serial:/dev/ttyACM1" in out and "ST-LINK/V2-1 (ST Nucleo, Discovery) (0483:374b), plugged in" in out
    assert "ttyS0" not in out and "ttyUSB0" not in out
