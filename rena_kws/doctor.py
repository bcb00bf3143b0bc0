"""What works on this machine: every part is tried out, not only looked for, and what fails names its remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from rena_kws import cache
from rena_kws.artifacts import ConvertedModel
from rena_kws.errors import DatasetError, RenaError, UnavailableError

State = Literal["works", "lacking", "broken"]

_BASE = ("numpy", "ai-edge-litert", "onnxruntime", "ziglang", "unicorn", "capstone", "pyelftools", "pyserial")
_SEARCH = ("keras", "tf2onnx", "onnx", "librosa", "espeakng-loader")


@dataclass(frozen=True)
class Finding:
    """A part, whether it works, what was seen, and the command that mends it (empty where nothing is to be done).

    What is `lacking` is optional or not plugged in; what is `broken` is installed, and fails.
    """

    part: str
    state: State
    seen: str
    mend: str = ""


def examine() -> Iterator[Finding]:
    """Every part in turn, each as soon as it was tried. Takes some seconds."""
    for part, check in _CHECKS.items():
        try:
            yield check(part)
        except RenaError as error:
            yield Finding(part, "broken", str(error), _again("rena-kws"))
        except Exception as error:  # whatever a broken installation raises is what a doctor is asked for
            yield Finding(part, "broken", f"{type(error).__name__}: {error}", _again("rena-kws"))


def _python(part: str) -> Finding:
    seen = f"{sys.version.split()[0]}, {sys.platform}"
    if (3, 10) <= sys.version_info < (3, 14):
        return Finding(part, "works", seen)
    return Finding(part, "broken", f"{seen}; supported are 3.10 to 3.13", "python3.12 -m venv .venv")


def _packages(names: Sequence[str], extra: str) -> Callable[[str], Finding]:
    def check(part: str) -> Finding:
        versions = {name: _version(name) for name in names}
        if missing := [name for name, found in versions.items() if found is None]:
            return Finding(part, "lacking", f"without {', '.join(missing)}", f"pip install 'rena-kws{extra}'")
        return Finding(part, "works", ", ".join(f"{name} {found}" for name, found in versions.items()))

    return check


def _tensorflow(part: str) -> Finding:
    """Only looked for: importing it takes longer than all the rest."""
    for name in ("tensorflow", "tensorflow-cpu"):
        if found := _version(name):
            return Finding(part, "works", f"{name} {found}")
    return Finding(part, "lacking", "searching and training need it", "pip install 'rena-kws[search]'")


def _cache(part: str) -> Finding:
    try:
        folder, limit = cache.root(), cache.limit_bytes()
    except UnavailableError as error:
        return Finding(part, "broken", str(error), "unset RENA_KWS_CACHE_MB")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(part, "broken", f"{folder}: {error.strerror}", "export RENA_KWS_CACHE=/a/folder/of/yours")
    used, free = cache.used_bytes(), shutil.disk_usage(folder).free
    return Finding(part, "works", f"{folder}, {used >> 20:,} of {limit >> 20:,} MB used, {free >> 20:,} MB free")


def _compiler(part: str) -> Finding:
    from rena_kws.firmware.toolchain import Target, ZigToolchain, compile_host_library

    zig = ZigToolchain()
    if reason := zig.unavailable():
        return Finding(part, "lacking", reason, "pip install ziglang")
    sources = {"twice.c": "int twice(int x) { return 2 * x; }"}
    zig.compile(sources, Target("cortex-m4", True), entry="twice")
    compile_host_library(sources, libc=False)
    return Finding(part, "works", f"{zig.identity}, for Cortex-M and for this computer")


def _other_compiler(part: str) -> Finding:
    from rena_kws.firmware.toolchain import GccToolchain

    gcc = GccToolchain()
    if gcc.unavailable():
        return Finding(part, "lacking", "not needed; a second opinion", "apt-get install gcc-arm-none-eabi")
    return Finding(part, "works", gcc.identity)


def _runs_on(device: str) -> Callable[[str], Finding]:
    """A network of one ReLU is profiled, and its outputs are looked at."""

    def check(part: str) -> Finding:
        from rena_kws.api import profile

        inputs = np.array([[-128, -1, 0, 127]], np.int8)
        measurement = profile(_relu(), device, inputs)
        if not np.array_equal(measurement.outputs, np.maximum(inputs, 0)):
            seen = f"computes {measurement.outputs.tolist()} for ReLU of {inputs.tolist()}"
            return Finding(part, "broken", seen, _again("rena-kws"))
        notes = measurement.environment
        with_what = notes.get("emulator") or notes.get("runtime")
        where = " on ".join(filter(None, (with_what, notes.get("adapter"))))
        seen = f"{where}: a network ran, outputs right ({measurement.how})"
        return Finding(part, "works", "; ".join(filter(None, (seen, notes.get("troubles")))))

    return check


def _relu() -> ConvertedModel:
    """ReLU over int8[1, 4]."""
    from rena_kws.convert.model_builder import ModelBuilder

    builder = ModelBuilder()
    x, y = (builder.tensor((1, 4), scale=1.0) for _ in range(2))
    builder.op("RELU", [x], [y])
    return ConvertedModel("tflite", builder.build([x], [y]), "relu")


def _gpu(part: str) -> Finding:
    try:
        return _runs_on("gpu")(part)
    except UnavailableError as error:
        return Finding(part, "lacking", str(error))


def _gpu_for_onnx(part: str) -> Finding:
    import onnxruntime

    from rena_kws.profilers.gpu.session import PROVIDERS

    providers = onnxruntime.get_available_providers()
    if found := [name for name in PROVIDERS if name in providers]:
        return Finding(part, "works", f"onnxruntime {onnxruntime.__version__}: {', '.join(found)}")
    mend = (
        "pip install onnxruntime-directml" if sys.platform == "win32" else "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    )
    return Finding(
        part, "lacking", f"onnxruntime knows {', '.join(providers)}", "" if sys.platform == "darwin" else mend
    )


def _speech(part: str) -> Finding:
    from rena_kws.datasets.espeak import ENGLISH, speak, voices
    from rena_kws.datasets.utterance import Utterance

    if importlib.util.find_spec("espeakng_loader") is None:
        return Finding(part, "lacking", "synthetic speech needs it", "pip install 'rena-kws[search]'")
    known = voices("en")
    (sound,) = speak([Utterance("yes", next(iter(known)), ENGLISH[0], 50, 150)], workers=1)
    return Finding(part, "works", f"eSpeak NG: {len(known)} voices; said 'yes' in {len(sound) / 16:.0f} ms")


def _more_speech(name: str) -> Callable[[str], Finding]:
    """The check of a synthesiser that may join in."""

    def check(part: str) -> Finding:
        from rena_kws.datasets.synthetic_speech import MORE_VOICES
        from rena_kws.datasets.utterance import Utterance

        synthesiser = MORE_VOICES[name]
        try:
            known = synthesiser.voices("en")
        except (UnavailableError, DatasetError) as error:
            return Finding(part, "lacking", str(error))
        people = f"speakers of English: {len(set(known.values()))}"
        try:
            (sound,) = synthesiser.speak([Utterance("yes", next(iter(known)), "en", 50, 150)], workers=1)
        except UnavailableError as error:
            return Finding(part, "broken", str(error))
        said = f"said 'yes' in {len(sound) / 16:.0f} ms"
        return Finding(part, "works", f"{people}; {said}; for synthetic?more_voices={name}")

    return check


def _serial(part: str) -> Finding:
    from rena_kws.profilers.serial_board.usb import boards_on_usb

    boards = boards_on_usb()
    ports = [board.name.partition(":")[2] for board in boards]
    if locked := [port for port in ports if os.path.exists(port) and not os.access(port, os.R_OK | os.W_OK)]:
        mend = "sudo usermod -aG dialout $USER, then log in again"
        return Finding(part, "broken", f"no right to open {', '.join(locked)}", mend)
    if not boards:
        return Finding(part, "lacking", "no probe or converter that is known is plugged in")
    return Finding(part, "works", "; ".join(f"{board.name} {board.title}" for board in boards))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _again(package: str) -> str:
    return f"pip install --force-reinstall '{package}'"


_CHECKS: dict[str, Callable[[str], Finding]] = {
    "Python": _python,
    "packages": _packages(_BASE, ""),
    "packages for search": _packages(_SEARCH, "[search]"),
    "packages for ESPHome": _packages(("pymicro-features",), "[esphome]"),
    "TensorFlow": _tensorflow,
    "cache": _cache,
    "compiler": _compiler,
    "arm-none-eabi-gcc": _other_compiler,
    "emulated Cortex-M": _runs_on("cortex-m4"),
    "this CPU": _runs_on("cpu"),
    "GPU": _gpu,
    "GPU for .onnx": _gpu_for_onnx,
    "speech": _speech,
    "flite's voices": _more_speech("flite"),
    "Piper's voices": _more_speech("piper"),
    "Silero's voices": _more_speech("silero"),
    "boards on USB": _serial,
}
