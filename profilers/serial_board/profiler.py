"""A real board: the model is on it already, or the bench's commands put it there; its own clock is the measure.

The protocol tells neither memory nor cycles. Results come with three decimals, whatever the output's scale, and are
compared as such with what this computer computes from the same model. A firmware that prints something else than the
model's outputs, as MLPerf Tiny's for anomaly detection does, cannot be compared and is refused.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rena_kws import cache
from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices.bench import Bench, read_bench
from rena_kws.devices.description import Device
from rena_kws.errors import DeviceError, ModelError, UnavailableError
from rena_kws.files import locked
from rena_kws.profilers.base import Profiler, batch_of, energy_uj
from rena_kws.profilers.serial_board.flash import flash
from rena_kws.profilers.serial_board.protocol import DECIMALS, Window
from rena_kws.profilers.serial_board.reference import reference_of

if TYPE_CHECKING:
    from rena_kws.profilers.serial_board.session import Identity, Session

_HALF_A_DIGIT = 0.5 * 10.0**-DECIMALS
_CLOCK_TOLERANCE = 1.02
_QUEUE_S = 600.0
"""How long a process waits for others of this computer that use the same board."""


class SerialBoardProfiler(Profiler):
    """`latency_ms` is the median over the windows of the first input; the other inputs run once, for their outputs."""

    def unavailable(self) -> str | None:
        found = importlib.util.find_spec("serial")
        return None if found else "a board on a serial port needs a package that is missing: pip install pyserial"

    def profile(self, model: ConvertedModel, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        if reason := self.unavailable():
            raise UnavailableError(reason)
        bench = read_bench(device.name)
        network = _Network.of(model)
        batch = batch_of(inputs, network.input_shape, network.input_dtype)
        port = os.path.realpath(bench.port) if os.path.exists(bench.port) else bench.port
        key = hashlib.sha256(port.encode()).hexdigest()[:16]
        with locked(cache.root() / "boards" / key, _QUEUE_S, f"the board on {bench.port}"):
            if bench.flash_command:
                flash(bench, model)
            return self._measure(model, network, device, bench, batch)

    def _measure(
        self, model: ConvertedModel, network: _Network, device: Device, bench: Bench, batch: NDArray[Any]
    ) -> Measurement:
        from rena_kws.profilers.serial_board.link import Link  # pyserial, which may be missing
        from rena_kws.profilers.serial_board.session import BAUDS, Session

        deadline = time.monotonic() + bench.limit_s
        wait_s = bench.boot_s if bench.flash_command else 0.0
        with Link.open(bench.port, bench.baud or BAUDS[0], deadline, wait_s) as link:
            session = Session.begin(link, bench)
            _refuse_other_model(model, session.identity.sha256, bench)
            windows = session.measure(batch[0].tobytes())
            others = [session.outputs(sample.tobytes()) for sample in batch[1:]]
            printed = _printed(model, network, bench, [windows[0], *others])
            samples_ms = tuple(window.latency_us / 1e3 for window in windows)
            latency_ms = float(np.median(samples_ms))
            return Measurement(
                device=device.name,
                how="emulated" if _is_emulated(session.identity) else "measured",
                latency_ms=latency_ms,
                outputs=network.outputs(printed),
                samples_ms=samples_ms,
                energy_uj=energy_uj(device, latency_ms),
                environment=_environment(session, windows) | {"outputs": network.agreement(printed, model, batch)},
            )


@dataclass(frozen=True)
class _Network:
    """The ends of a .tflite model. A scale of 0: not quantised. Shapes begin with the batch of one."""

    input_shape: tuple[int, ...]
    input_dtype: str
    output_shape: tuple[int, ...]
    output_dtype: str
    scale: float
    zero_point: int

    @classmethod
    def of(cls, model: ConvertedModel) -> _Network:
        from rena_kws.firmware.graph import read_graph

        if model.format != "tflite":
            raise ModelError(f"a board is compared with its .tflite model: got a model in format {model.format}")
        graph = read_graph(model)
        if (len(graph.inputs), len(graph.outputs)) != (1, 1):
            ports = f"{len(graph.inputs)} and {len(graph.outputs)}"
            raise ModelError(f"the serial protocol has one input and one output: {model.name} has {ports}")
        source, sink = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
        scale, zero_point = (sink.scale, sink.zero_point) if sink.scales else (0.0, 0)
        return cls(source.shape, source.dtype, sink.shape, sink.dtype, scale, zero_point)

    def outputs(self, printed: NDArray[np.float64]) -> NDArray[Any]:
        """Printed results in the model's own dtype: exact where a step of the output is above a thousandth."""
        from rena_kws.convert.evaluate_int8 import quantise

        values = quantise(printed.astype(np.float32), self.scale, self.zero_point, np.dtype(self.output_dtype))
        return values.reshape(len(printed), *self.output_shape[1:])

    def agreement(self, printed: NDArray[np.float64], model: ConvertedModel, batch: NDArray[Any]) -> str:
        """How the board's results compare with this computer's, in words."""
        from rena_kws.convert.evaluate_int8 import dequantise

        try:
            reference = reference_of(model, batch)
        except ModelError as error:
            return f"not compared: {error}"
        expected = dequantise(reference.outputs, self.scale, self.zero_point).reshape(printed.shape)
        apart = np.abs(printed - expected)
        differing = int(np.sum(apart > _HALF_A_DIGIT + 1e-6 * (1 + np.abs(expected))))
        if not differing:
            return f"all {printed.size} as {reference.source} gives them, to the {DECIMALS} decimals that are printed"
        step = f" (a step of the output is {self.scale:.4f})" if self.scale else ""
        return f"{differing} of {printed.size} differ from {reference.source}, by at most {apart.max():.3f}{step}"


def _refuse_other_model(model: ConvertedModel, sha256: str | None, bench: Bench) -> None:
    if sha256 not in (None, model.sha256):
        raise DeviceError(
            f"the board on {bench.port} runs another model than {model.name} (sha256 {str(sha256)[:12]}..., wanted "
            f"{model.sha256[:12]}...): export it with --harness and flash it, or name a flash_command in a bench file"
        )


def _printed(model: ConvertedModel, network: _Network, bench: Bench, windows: list[Window]) -> NDArray[np.float64]:
    """The results of each input, a row each."""
    wanted = math.prod(network.output_shape)
    for window in windows:
        if len(window.results) != wanted:
            raise DeviceError(
                f"the board on {bench.port} prints {len(window.results)} results and {model.name} has {wanted} "
                "outputs: another model is on it"
            )
    return np.array([window.results for window in windows], np.float64)


def _is_emulated(identity: Identity) -> bool:
    """An emulated board behind a port says so in its name; its time is the emulator's."""
    return identity.vendor.startswith("emulated")


def _environment(session: Session, windows: list[Window]) -> dict[str, str]:
    identity, bench, link = session.identity, session.bench, session.link
    notes = {
        "board": identity.vendor,
        "port": bench.port,
        "baud": str(identity.baud) if identity.baud else "none",
        "firmware": identity.profile or "unknown",
        "test_set": identity.test_set or "unknown",
        "windows": f"{len(windows)} of {windows[0].iterations} inferences, at least {bench.window_s:g} s each",
        "warm_up": f"{bench.warm_up} inferences before each window",
    }
    if bench.board:
        notes["device"] = bench.board
        notes["energy"] = "an estimate: the datasheet's active current times the latency"
    if link.echoes:
        notes["echo"] = "the board repeats what it is sent"
    if session.clock_rate > _CLOCK_TOLERANCE and not _is_emulated(identity):
        notes["clock"] = f"{session.clock_rate:.2f} times as fast as this computer's: what it calls µs are none"
    if session.troubles:
        notes["troubles"] = "; ".join(session.troubles)
    return notes
