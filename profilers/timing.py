"""One model timed in a fresh process of its own: what the sessions of the CPU and of the GPU share.

The folder holds `model` and perhaps `inputs.npy`; it gets `outputs.npy` and `report.json`. Memory is the growth of this
process's peak resident set from just before the model is loaded; only Linux lets a process reset that peak.
"""

from __future__ import annotations

import json
import platform
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices.description import Device
from rena_kws.errors import DeviceError, ModelError, UnavailableError
from rena_kws.profilers.base import batch_of
from rena_kws.profilers.child import python_command

THREADS = 1
_WARM_UP_S, _SAMPLING_S = 0.05, 0.3
_LEAST_SAMPLES, _MOST_SAMPLES = 20, 1000


class Session(ABC):
    """A loaded model: its input's shape and dtype, and one inference."""

    shape: tuple[int, ...]
    dtype: str

    @abstractmethod
    def infer(self, sample: NDArray[Any]) -> NDArray[Any]:
        """The output for one sample with a batch of one."""


def report_on(folder: Path, open_session: Callable[[bytes], tuple[Session, Mapping[str, str]]]) -> None:
    """In the fresh process: time the model in the folder. `open_session(data)` → the session, and notes on it.

    A model that cannot be used, or hardware that is not there, is a report, not a failure.
    """
    try:
        report = _measure(folder, open_session)
    except ModelError as error:
        report = {"model_error": str(error)}
    except UnavailableError as error:
        report = {"unavailable": str(error)}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def _measure(folder: Path, open_session: Callable[[bytes], tuple[Session, Mapping[str, str]]]) -> dict[str, Any]:
    data = (folder / "model").read_bytes()
    before = _reset_peak_bytes()
    session, notes = open_session(data)
    given = folder / "inputs.npy"
    batch = batch_of(np.load(given, allow_pickle=False) if given.exists() else None, session.shape, session.dtype)
    samples_ms = _samples_ms(session, batch[:1])
    after = _peak_bytes()
    outputs = np.concatenate([session.infer(batch[index : index + 1]) for index in range(len(batch))])
    np.save(folder / "outputs.npy", outputs, allow_pickle=False)
    return {
        "samples_ms": samples_ms,
        "ram_bytes": after - before if before is not None and after is not None else None,
        "environment": {
            "cpu": _cpu_name(),
            "system": platform.platform(),
            "threads": str(THREADS),
            "warm_up_s": str(_WARM_UP_S),
            **notes,
        },
    }


def measure_apart(
    session: str,
    model: ConvertedModel,
    device: Device,
    inputs: NDArray[Any] | None,
    timeout_s: float,
) -> Measurement:
    """Start the module `session` in a fresh process on the model."""
    with tempfile.TemporaryDirectory(prefix="rena-kws-") as name:
        folder = Path(name)
        (folder / "model").write_bytes(model.data)
        if inputs is not None:
            np.save(folder / "inputs.npy", inputs, allow_pickle=False)
        _run(session, model, folder, device, timeout_s)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        if "model_error" in report:
            raise ModelError(f"{model.name}: {report['model_error']}")
        if "unavailable" in report:
            raise UnavailableError(report["unavailable"])
        outputs = np.load(folder / "outputs.npy", allow_pickle=False)
    return Measurement(
        device=device.name,
        how="measured",
        latency_ms=float(np.median(report["samples_ms"])),
        samples_ms=tuple(report["samples_ms"]),
        outputs=outputs,
        ram_bytes=report["ram_bytes"],
        flash_bytes=len(model.data),
        environment=report["environment"],
    )


def _run(session: str, model: ConvertedModel, folder: Path, device: Device, timeout_s: float) -> None:
    command = python_command(session, model.format, str(folder), device.name)
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        where = device.name.upper()
        raise DeviceError(f"{model.name} took longer than {timeout_s:g} s on the {where} and was stopped") from None
    if done.returncode < 0:
        raise ModelError(f"{model.name} crashes its runtime (signal {-done.returncode}): the file is damaged")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise DeviceError(
            f"the {device.name.upper()} profiler's process failed with status {done.returncode}: {lines[-1]}"
        )


def _samples_ms(session: Session, sample: NDArray[Any]) -> list[float]:
    end = time.perf_counter() + _WARM_UP_S
    session.infer(sample)
    while time.perf_counter() < end:
        session.infer(sample)
    samples: list[float] = []
    end = time.perf_counter() + _SAMPLING_S
    while len(samples) < _LEAST_SAMPLES or (len(samples) < _MOST_SAMPLES and time.perf_counter() < end):
        start = time.perf_counter_ns()
        session.infer(sample)
        samples.append((time.perf_counter_ns() - start) / 1e6)
    return samples


def check_ports(inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise ModelError(f"a model with one input and one output is needed: it has {inputs} and {outputs}")


def _reset_peak_bytes() -> int | None:
    """Set this process's peak memory back to what it uses now, and return that; None where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak resident set size
    except OSError:
        return None
    return _peak_bytes()


def _peak_bytes() -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return int(line.split()[1]) * 1024 if line else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())
