"""The seam of profilers: a converted model and a device in, a measurement out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rena_kws import registry
from rena_kws.artifacts import ConvertedModel, Measurement
from rena_kws.devices.description import Device
from rena_kws.errors import ModelError, UnavailableError
from rena_kws.spec.architecture import TFLITE_KINDS

if TYPE_CHECKING:
    from rena_kws.firmware.toolchain import Optimize


class Profiler(ABC):
    """Measures models on one kind of device."""

    @abstractmethod
    def unavailable(self) -> str | None:
        """Why this profiler cannot work here and what to install, on one line; None where it can."""

    @abstractmethod
    def profile(self, model: ConvertedModel, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        """Run the model on the device.

        `inputs`: a batch in the model's own dtype, first axis the batch, the rest the model's input without its batch
        of one; None for a single input of zeros. The measurement's `outputs` answer in the same order.
        Raises `ModelError` for a file or inputs that cannot be used, `CandidateError` for a network that does not work
        out on the device, `DeviceError` for a device that misbehaves, `UnavailableError` as `unavailable` says.
        """

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of layers that its devices run: a search for one proposes no others."""
        return TFLITE_KINDS

    def optimized_for(self, goal: Optimize) -> Profiler:
        """This profiler, compiling for `goal`. Raises `UnavailableError` where it compiles nothing."""
        raise UnavailableError(f"nothing is compiled for this device, so nothing for {goal}; leave --optimize out")


def profiler_for(device: Device) -> Profiler:
    """The profiler that measures on `device`: one instance a process, so that what it keeps warm stays warm."""
    return _instance(device.profiler)


@cache
def _instance(name: str) -> Profiler:
    profiler = registry.load("profilers", name)()
    assert isinstance(profiler, Profiler)
    return profiler


def refuse_custom_operators(model: ConvertedModel, runtime: str) -> None:
    """Raise `ModelError` for a model with operators that `runtime`, a name for people, does not know."""
    from rena_kws.firmware.graph import custom_operators

    if names := custom_operators(model):
        operators = ", ".join(name.removeprefix("CUSTOM ") for name in names)
        raise ModelError(
            f"{model.name} has the operator {operators}, which {runtime} does not know; a Cortex-M runs KWS_GRU"
        )


def energy_uj(device: Device, latency_ms: float) -> float | None:
    """An estimate: the data sheet's active current times voltage times time; None where the device tells neither."""
    if device.active_current_ma is None or device.supply_v is None:
        return None
    return device.active_current_ma * device.supply_v * latency_ms


def batch_of(inputs: NDArray[Any] | None, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """`inputs` as (batch, *shape[1:]), checked against the model's input `shape` and `dtype`; zeros(1) for None.

    `shape` begins with the model's static batch of one. A flat or otherwise shaped sample of the right size will do.
    """
    sample = tuple(shape[1:])
    if inputs is None:
        return np.zeros((1, *sample), dtype)
    if inputs.dtype != np.dtype(dtype):
        raise ModelError(f"inputs must have the model's dtype: got {inputs.dtype}, the model reads {dtype}")
    if inputs.ndim < 1 or len(inputs) == 0 or inputs.size != len(inputs) * int(np.prod(sample)):
        raise ModelError(f"inputs must be a batch of samples: got shape {inputs.shape}, the model reads {sample} each")
    return np.ascontiguousarray(inputs).reshape(len(inputs), *sample)
