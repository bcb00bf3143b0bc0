"""An Arm Ethos-U NPU, estimated by Arm's own compiler for it, Vela (package `ethos-u-vela`).

Nothing runs: Vela compiles the model and tells what it expects of cycles and memory. No outputs, no samples.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError, ModelError, UnavailableError
from rena_kws.firmware.graph import read_graph
from rena_kws.profilers.base import Profiler, batch_of, refuse_custom_operators

_TIMEOUT_S = 300
_KIB = 1024


class EthosUProfiler(Profiler):
    """`device.name` is Vela's accelerator configuration. RAM is the SRAM that the network uses, flash what it reads."""

    def unavailable(self) -> str | None:
        found = importlib.util.find_spec("ethosu")
        return None if found else "an Ethos-U is estimated by a package that is missing: pip install ethos-u-vela"

    def profile(self, model: ConvertedModel, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        if reason := self.unavailable():
            raise UnavailableError(reason)
        if model.format != "tflite":
            raise ModelError(f"an Ethos-U runs int8 .tflite models: got a model in format {model.format}")
        refuse_custom_operators(model, "an Ethos-U")
        graph = read_graph(model)
        source = graph.tensors[graph.inputs[0]]
        batch_of(inputs, source.shape, source.dtype)  # nothing is run, but a wrong input is wrong here too
        summary, printed = _vela(model, device.name)
        cycles = int(float(summary["cycles_total"]))
        ram_bytes = _bytes(summary, "sram_memory_used", "dram_memory_used")
        flash_bytes = _bytes(summary, "on_chip_flash_memory_used", "off_chip_flash_memory_used")
        notes = {
            "estimator": f"ethos-u-vela {version('ethos-u-vela')}",
            "system": f"{summary['system_config']}, {summary['memory_mode']}",
            "clock": f"{float(summary['core_clock']) / 1e6:g} MHz",
            "outputs": "none: nothing was run",
        }
        on_cpu = re.search(r"CPU operators = (\d+)", printed)
        if on_cpu and int(on_cpu[1]):
            notes["troubles"] = f"{on_cpu[1]} operators are left to the processor beside it, and not in these figures"
        return Measurement(
            device=device.name,
            how="estimated",
            latency_ms=float(summary["inference_time"]) * 1e3,
            outputs=np.zeros(0, np.int8),
            cycles=cycles,
            ram_bytes=ram_bytes,
            flash_bytes=flash_bytes,
            environment=notes,
        )


def _vela(model: ConvertedModel, accelerator: str) -> tuple[Mapping[str, str], str]:
    """The row of Vela's summary, and what it printed. In a process of its own: it keeps state, and may exit."""
    with tempfile.TemporaryDirectory(prefix="vela-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(model.data)
        command = [sys.executable, "-m", "ethosu.vela", str(path), "--accelerator-config", accelerator]
        try:
            done = subprocess.run(
                [*command, "--output-dir", folder], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise CandidateError(f"Vela took longer than {_TIMEOUT_S} s for {model.name}") from None
        summaries = list(Path(folder).glob("*_summary_*.csv"))
        if done.returncode or not summaries:
            lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            reason = lines[-1] if lines else "no reason given"
            raise CandidateError(f"Vela refused {model.name} for {accelerator}: {reason}")
        with summaries[0].open(newline="") as file:
            return next(csv.DictReader(file)), done.stdout


def _bytes(summary: Mapping[str, str], *columns: str) -> int:
    return round(sum(float(summary[column]) for column in columns) * _KIB)
