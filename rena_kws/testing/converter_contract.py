"""What every converter must do, as a test class to inherit from.

A plug-in's test suite gets the whole contract from one subclass:

    class TestMyConverter(ConverterContract):
        @pytest.fixture
        def case(self) -> ConverterCase:
            return ConverterCase(MyConverter(), built, calibration, clips, mean_difference=1e-6, same_answer=1.0)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel
from rena_kws.convert.agreement import check
from rena_kws.convert.base import Converter
from rena_kws.convert.evaluate_int8 import probabilities
from rena_kws.errors import CandidateError
from rena_kws.train.trainer import predict


@dataclass(frozen=True)
class ConverterCase:
    """A converter with a trained network, clips to calibrate on and other clips to compare on.

    `mean_difference`: the greatest mean difference from Keras' probabilities that is allowed; `same_answer`: the least
    share of clips with the same most probable class.
    """

    converter: Converter
    built: BuiltModel
    calibration: NDArray[np.float32]
    clips: NDArray[np.float32]
    mean_difference: float
    same_answer: float


class ConverterContract:
    """Inherit, and give the fixture `case`."""

    @pytest.fixture
    def case(self) -> ConverterCase:
        raise NotImplementedError("a subclass gives the fixture 'case'")

    def test_it_says_what_keras_says_in_silence_and_leaves_the_network_as_it_is(
        self, case: ConverterCase, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = case.built.keras_model.get_weights()
        converted = case.converter.convert(case.built, case.calibration)
        assert capfd.readouterr() == ("", "")
        for kept, now in zip(before, case.built.keras_model.get_weights(), strict=True):
            np.testing.assert_array_equal(kept, now)
        agreement = check(case.built, converted, case.clips)
        assert agreement.clips == len(case.clips)
        assert agreement.mean_difference <= case.mean_difference
        assert agreement.same_answer >= case.same_answer
        again = case.converter.convert(case.built, case.calibration)
        np.testing.assert_array_equal(probabilities(again, case.clips), probabilities(converted, case.clips))

    def test_the_weights_are_those_of_the_moment(self, case: ConverterCase) -> None:
        """A search converts a network twice: untrained for its profile, then trained."""
        fresh = replace(case.built, keras_model=keras.models.clone_model(case.built.keras_model))
        assert not np.allclose(predict(fresh.keras_model, case.clips), predict(case.built.keras_model, case.clips))
        agreement = check(fresh, case.converter.convert(fresh, case.calibration), case.clips)
        assert agreement.mean_difference <= case.mean_difference

    def test_a_failure_is_the_candidates_and_one_line(self, case: ConverterCase) -> None:
        stranger = keras.Sequential([keras.Input(case.built.architecture.input_shape), keras.layers.Flatten()])
        with pytest.raises(CandidateError) as caught:
            case.converter.convert(replace(case.built, keras_model=stranger), case.calibration)
        assert "\n" not in str(caught.value)
