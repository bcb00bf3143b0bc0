"""The command line as a user meets it: answers fast, and a mistake gets one line and exit status 2."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from rena_kws import registry
from rena_kws.cli import board_cmd, search_cmd
from rena_kws.cli.main import COMMANDS, main
from rena_kws.datasets.base import open_dataset
from rena_kws.errors import DeviceError, UnavailableError
from rena_kws.run_folder import RunFolder
from rena_kws.search_settings import SearchSettings
from rena_kws.testing.host_board import BoardFirmware

HEAVY = ("tensorflow", "keras", "onnxruntime", "librosa", "unicorn", "ai_edge_litert", "scipy")


def rena_kws(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from rena_kws.cli.main import main; sys.exit(main())", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


@pytest.mark.parametrize("arguments", [["--help"], ["devices"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom rena_kws.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert "rena-kws" in done.stdout or "cortex-m4" in done.stdout


MISTAKES = {
    "unknown device": (["profile", "m.tflite", "--device", "cortex-n4"], "did you mean 'cortex-m4'"),
    "unknown dataset": (["search", "--dataset", "sinthetic"], "did you mean 'synthetic'"),
    "unknown limit": (["search", "--limit", "latencyms=3"], "did you mean 'latency_ms'"),
    "limit without a value": (["search", "--limit", "latency_ms"], "NAME=VALUE"),
    "negative limit": (["search", "--limit", "latency_ms=-1"], "positive"),
    "unknown controller": (["search", "--controller", "rana"], "did you mean 'rena'"),
    "unknown format": (["export", "float.tflite", "--format", "d", "--out", "o"], "unknown exporter 'd'"),
    "minutes that are none": (["search", "--minutes", "soon"], "a positive number"),
    "no such file": (["profile", "nothing.tflite"], "cannot read the model nothing.tflite"),
    "empty file": (["profile", "empty.tflite"], "is empty"),
    "text": (["profile", "text.tflite"], "neither a TFLite nor an ONNX model"),
    "truncated model": (["profile", "truncated.tflite"], "truncated: not a"),
    "no run": (["report", "."], "no run folder"),
    "start from nothing": (["search", "--start", "nowhere"], "--start takes a run, whose winner has weights.npz"),
    "start from a bare model": (["search", "--start", "float.tflite"], "weights.npz: No such file"),
    "start from a broken run": (["search", "--start", "run"], "must hold a network's weights"),
    "start from no network": (["search", "--start", "list.json"], "an architecture is a JSON object"),
    "option without a value": (["search", "--dataset", "synthetic?seed"], "?NAME=VALUE&NAME=VALUE, not 'seed'"),
    "unknown option of a dataset": (["search", "--dataset", "synthetic?colour=red"], "no option 'colour'"),
    "unknown language": (["data", "describe", "synthetic", "--language", "xx"], "no language 'xx'; it has af"),
    "resume without a run": (["search", "--resume"], "--run DIR"),
    "missing path": (["search", "--dataset", "folder:nowhere", "--trials", "1"], "nowhere"),
    "one class": (["data", "describe", "folder:one"], "class"),
    "text renamed .wav": (["data", "describe", "folder:texts"], ""),
    "no command": ([], "required"),
    "unknown command": (["serch"], "did you mean 'search'"),
    "unknown option": (["profile", "m.tflite", "--devise", "cpu"], "--devise cpu (see rena-kws profile --help)"),
    "word too many": (["search", "extra"], "unrecognized arguments: extra (see rena-kws search --help)"),
    "port that is none": (["profile", "m.tflite", "--device", "serial:COM3?bord=x"], "did you mean 'board'"),
    "harness of a file": (["export", "float.tflite", "--format", "tflite", "--out", "o", "--harness"], "formats c, a"),
    "inputs that are none": (["profile", "truncated.tflite", "--inputs", "text.tflite"], "no .npy array: the magic"),
    "no such inputs": (
        ["profile", "truncated.tflite", "--inputs", "x.npy"],
        "cannot read --inputs x.npy: No such",
    ),
    "outputs nowhere": (["profile", "float.tflite", "--outputs", "nowhere/y.npy"], "there is no folder nowhere"),
    "outputs into a folder": (["profile", "float.tflite", "--outputs", "run"], "a file to write, got 'run', a folder"),
    "budget of a network": (["profile", "float.tflite", "--instructions", "10"], "--instructions is for firmware"),
    "time of a network": (["profile", "float.tflite", "--seconds", "3"], "--seconds is for firmware images"),
    "calls of a network": (["profile", "float.tflite", "--calls", "3"], "--calls is for firmware images"),
    "no calls": (["profile", "zeros.bin", "--calls", "0"], "a whole number from 1, got '0'"),
    "negative budget": (["profile", "zeros.bin", "--instructions", "-5"], "a whole number from 1, got '-5'"),
    "negative time": (["profile", "zeros.bin", "--seconds", "-1"], "a positive number, got '-1'"),
    "time that is none": (["profile", "zeros.bin", "--seconds", "nan"], "a positive number, got 'nan'"),
    "address that is none": (["profile", "zeros.bin", "--base", "abc"], "an address from 0 to 0xffffffff, got 'abc'"),
    "negative address": (["profile", "zeros.bin", "--base", "-1"], "an address from 0 to 0xffffffff, got '-1'"),
    "negative place": (["profile", "zeros.bin", "--start", "-1"], "an address from 0 to 0xffffffff, got '-1'"),
    "call with a word": (["profile", "zeros.bin", "--call", "x"], "up to four integers of 32 bits"),
    "call with five numbers": (["profile", "zeros.bin", "--call", "1,2,3,4,5"], "up to four integers of 32 bits"),
    "binary that lies nowhere": (["profile", "zeros.bin"], "give its load address (--base)"),
    "binary without a start": (["profile", "zeros.bin", "--base", "0x08000000"], "say where to start (--start)"),
    "no such image": (["profile", "nothing.elf"], "cannot read the image nothing.elf: No such file"),
    "bundle on a chip": (["listen", "a.wav", "--model", "bundle", "--device", "cortex-m4"], "heard on this computer"),
    "list of nothing": (["bench", "float.tflite", "--device", ","], "a list of words separated by commas, got ','"),
    "last of two devices": (["bench", "float.tflite", "--device", "cortex-m4,cortex-n4"], "did you mean 'cortex-m4'"),
    "port that there is not": (["board", "float.tflite", "--tcp", "99999"], "a whole number from 0 to 65535"),
    "negative port": (["board", "float.tflite", "--tcp", "-1"], "a whole number from 0 to 65535, got '-1'"),
    "negative seed": (["search", "--seed", "-1"], "a whole number from 0 to 4294967295, got '-1'"),
    "seed over 32 bits": (["search", "--seed", "4294967296"], "a whole number from 0 to 4294967295"),
    "negative seed of streams": (["evaluate", "m", "--dataset", "synthetic", "--stream", "--seed", "-1"], "from 0 to"),
    "level that is none": (["evaluate", "m", "--dataset", "synthetic", "--stream", "--snr-db", "nan"], "a number, got"),
    "report into a file": (["evaluate", "m", "--dataset", "synthetic", "--out", "text.tflite"], "is no folder"),
    "two devices": (["search", "--device", "cortex-m,cpu"], "one device, got 'cortex-m,cpu'; limits of others are"),
    "no seeds": (["compare", "--seeds", "0"], "a whole number from 1, got '0'"),
    "no workers": (["compare", "--workers", "0"], "a whole number from 1, got '0'"),
    "table of nothing": (["compare", "--collect", "-5"], "a whole number from 1, got '-5'"),
    "option that a controller lacks": (["compare", "--controllers", "rena:9:draughts=1"], "has the options drafts, "),
    "options of none": (["compare", "--controllers", "tpe:2:seed=3"], "tpe has no options, got 'seed'"),
    "option that is no number": (["compare", "--controllers", "rena:9:drafts=x"], "drafts of rena is a whole number"),
    "curves into a file": (["compare", "--plot", "text.tflite"], "is no folder"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mistakes")
    (path / "empty.tflite").write_bytes(b"")
    (path / "text.tflite").write_text("not a model")
    (path / "truncated.tflite").write_bytes(b"\x1c\0\0\0TFL3\x14\0\x20\0")
    (path / "float.tflite").write_bytes(b"\x1c\0\0\0TFL3\x14\0\x20\0")
    (path / "bundle").mkdir()
    (path / "bundle" / "kws_stream.h").write_text("")
    (path / "zeros.bin").write_bytes(bytes(100))
    (path / "list.json").write_text("[]")
    (path / "run" / "winner").mkdir(parents=True)
    for name in ("model.tflite", "weights.npz"):
        (path / "run" / "winner" / name).write_bytes(b"")
    for name, labels in (("one", ["yes"]), ("texts", ["yes", "no"])):
        for label in labels:
            (path / name / label).mkdir(parents=True)
            (path / name / label / "a_0.wav").write_text("no sound")
    return path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line(
    mistake: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, hint = MISTAKES[mistake]
    monkeypatch.chdir(folder)
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capfd.readouterr()
    assert status == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert hint in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_what_a_command_is_for(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"{COMMANDS[command][1:]}. " in " ".join(capsys.readouterr().out.split())


def test_the_summary_of_export_tells_every_format() -> None:
    assert all(name in COMMANDS["export"].lower() for name in registry.names("exporters"))


@pytest.mark.parametrize(("command", "told"), [("search", "--limit [DEVICE:]NAME=VALUE"), ("bench", "files, or runs")])
def test_help_tells_all_that_an_argument_may_be(command: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert told in " ".join(capsys.readouterr().out.split())


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"cannot listen on --tcp {port}: "):
            board_cmd.serve_tcp(cast(BoardFirmware, None), port)


def test_the_float_model_is_refused_on_a_chip(reference: Callable[..., Path]) -> None:
    done = rena_kws("profile", str(reference("models", "kws_ref_model_float32.tflite")))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "float" in done.stderr


def test_profile_prints_one_json_object(reference: Callable[..., Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.integers(-128, 128, (2, 49, 10, 1), dtype=np.int8)
    np.save(tmp_path / "x.npy", inputs)
    done = rena_kws(
        "profile", str(reference("models", "kws_ref_model.tflite")), "--device", "nucleo-l4r5zi", "--json",
        "--inputs", str(tmp_path / "x.npy"), "--outputs", str(tmp_path / "y.npy"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["how"] == "emulated"
    assert figures["cycles"] > 2_656_768 / 2  # one SMLAD is two MACs: no M4 is faster
    assert figures["latency_ms"] == pytest.approx((figures["cycles"] + figures["memory_cycles"]) / 120e3)
    assert sum(layer["macs"] for layer in figures["layers"]) == 2_656_768
    assert np.load(tmp_path / "y.npy").shape == (2, 12)


def test_search_arguments_become_settings() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    search_cmd.add_arguments(parser)
    text = "--device cortex-m7 --keywords yes,no --limit latency_ms=30 --limit cpu:latency_ms=1 --trials 5 --seed 3"
    text += " --language de --dataset synthetic?clips-per-word=7&seed=1"
    settings = search_cmd.settings_of(parser.parse_args(text.split()))
    assert settings.dataset_options == {"keywords": ("yes", "no"), "language": "de"}
    dataset = open_dataset(settings.dataset, settings.dataset_options)
    assert dataset.labels[:2] == ("yes", "no") and dataset.count("train") == 7 * (2 + 1 + 2)
    assert [str(limit) for limit in settings.limits] == ["latency_ms=30", "cpu:latency_ms=1"]
    assert (settings.trials, settings.minutes, settings.seed) == (5, None, 3)


def test_an_interrupted_search_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command it prints asks for the same run: were an option lost, the folder would be another run's."""
    asked = []

    def interrupted(settings: SearchSettings, run: Path, resume: bool, watch: object) -> None:
        RunFolder(run, settings.identity(), resume).close()
        asked.append((run, resume))
        raise KeyboardInterrupt

    monkeypatch.setattr("rena_kws.api.search", interrupted)
    monkeypatch.chdir(tmp_path)
    command = ["search", "--device", "cortex-m7", "--limit", "latency_ms=30"]
    for _ in range(3):
        assert main(command) == 130
        line = capfd.readouterr().err
        program, *command = shlex.split(line.partition("continue with: ")[2])
        assert program == "rena-kws" and line.count("\n") == 1
    assert [resume for _, resume in asked] == [False, True, True]
    assert len({run for run, _ in asked}) == 1


def test_a_search_whose_board_died_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def dies(settings: SearchSettings, run: Path, resume: bool, watch: object) -> None:
        RunFolder(run, settings.identity(), resume).close()
        raise DeviceError("the board on COM3: silent")

    monkeypatch.setattr("rena_kws.api.search", dies)
    assert main(["search", "--device", "serial:COM3", "--run", str(tmp_path / "run")]) == 2
    line = capfd.readouterr().err
    assert line.startswith("rena-kws: the board on COM3: silent; every finished trial is kept, continue with: rena-kws")
    assert line.rstrip().endswith("--resume") and line.count("\n") == 1


def test_a_full_disk_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not on this system")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "rena_kws", "devices", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    """As in `rena-kws devices | head -1`."""
    command = [sys.executable, "-m", "rena_kws", "devices", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0
