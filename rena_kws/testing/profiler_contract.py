"""What every profiler must do, as a test class to inherit from, and a fake profiler that fails on demand.

A plug-in's test suite gets the whole contract from one subclass:

    class TestMyProfiler(ProfilerContract):
        @pytest.fixture
        def case(self) -> ProfilerCase:
            return ProfilerCase(MyProfiler(), device, model, inputs, expected)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel, How, Measurement
from rena_kws.devices.description import Device
from rena_kws.errors import ModelError, RenaError, UnavailableError
from rena_kws.profilers.base import Profiler


@dataclass(frozen=True)
class ProfilerCase:
    """A profiler with something to profile. `expected` are the model's outputs for `inputs`, computed elsewhere.

    `tolerance` is the greatest difference allowed, in the outputs' units. `how` is what the device's figures are.
    """

    profiler: Profiler
    device: Device
    model: ConvertedModel
    inputs: NDArray[Any]
    expected: NDArray[Any]
    how: How
    tolerance: float = 0.0


class ProfilerContract:
    """Inherit, and give the fixture `case`."""

    @pytest.fixture
    def case(self) -> ProfilerCase:
        raise NotImplementedError("a subclass gives the fixture 'case'")

    @pytest.fixture
    def measurement(self, case: ProfilerCase) -> Measurement:
        return case.profiler.profile(case.model, case.device, case.inputs)

    def test_it_says_that_it_is_available(self, case: ProfilerCase) -> None:
        assert case.profiler.unavailable() is None

    def test_the_outputs_answer_the_inputs(self, case: ProfilerCase, measurement: Measurement) -> None:
        assert measurement.outputs.shape == case.expected.shape
        assert measurement.outputs.dtype == case.expected.dtype
        difference = np.abs(measurement.outputs.astype(np.float64) - case.expected.astype(np.float64))
        assert difference.max() <= case.tolerance

    def test_the_figures_say_what_they_are(self, case: ProfilerCase, measurement: Measurement) -> None:
        assert measurement.device == case.device.name
        assert measurement.how == case.how
        assert measurement.latency_ms > 0
        assert measurement.samples_ms and min(measurement.samples_ms) > 0
        assert min(measurement.samples_ms) <= measurement.latency_ms <= max(measurement.samples_ms)
        assert measurement.environment

    def test_memory_is_a_count_or_unknown(self, measurement: Measurement) -> None:
        for size in (measurement.ram_bytes, measurement.flash_bytes):
            assert size is None or (isinstance(size, int) and size >= 0)

    def test_a_measurement_is_plain_json(self, measurement: Measurement) -> None:
        import json

        assert json.loads(json.dumps(measurement.as_json()))["latency_ms"] == measurement.latency_ms

    def test_without_inputs_it_runs_zeros(self, case: ProfilerCase) -> None:
        alone = case.profiler.profile(case.model, case.device)
        zeros = case.profiler.profile(case.model, case.device, np.zeros_like(case.inputs[:1]))
        assert alone.outputs.shape[0] == 1
        np.testing.assert_array_equal(alone.outputs, zeros.outputs)

    def test_inputs_of_another_dtype_are_refused(self, case: ProfilerCase) -> None:
        with pytest.raises(ModelError, match="dtype"):
            case.profiler.profile(case.model, case.device, case.inputs.astype(np.int32))

    def test_inputs_of_another_size_are_refused(self, case: ProfilerCase) -> None:
        with pytest.raises(ModelError, match="shape"):
            case.profiler.profile(case.model, case.device, case.inputs.reshape(len(case.inputs), -1)[:, :-1])

    @pytest.mark.parametrize("damage", ["empty", "noise", "cut"])
    def test_bytes_that_are_no_model_are_refused_on_one_line(self, case: ProfilerCase, damage: str) -> None:
        data = {"empty": b"", "noise": b"\x5a" * 500, "cut": case.model.data[: len(case.model.data) // 3]}[damage]
        with pytest.raises(ModelError) as caught:
            case.profiler.profile(replace(case.model, data=data), case.device)
        assert "\n" not in str(caught.value)


@dataclass
class FakeProfiler(Profiler):
    """A profiler without a device, for tests of what uses one. It answers `answer`, or fails as told.

    `failure` is raised by `profile`; `reason` is what `unavailable` says. `asked` are the models it was given.
    """

    answer: Measurement
    failure: RenaError | None = None
    reason: str | None = None
    asked: list[ConvertedModel] = field(default_factory=list)

    def unavailable(self) -> str | None:
        return self.reason

    def profile(self, model: ConvertedModel, device: Device, inputs: NDArray[Any] | None = None) -> Measurement:
        self.asked.append(model)
        if self.reason:
            raise UnavailableError(self.reason)
        if self.failure is not None:
            raise self.failure
        outputs = self.answer.outputs if inputs is None else np.repeat(self.answer.outputs[:1], len(inputs), axis=0)
        return replace(self.answer, device=device.name, outputs=outputs)
