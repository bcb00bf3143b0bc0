"""What every converter must do, as a test class to inherit from.

A plug-in's test suite gets the whole contract from one subclass:

    class TestMyConverter(ConverterContract):
        @pytest.fixture(scope="class")
        def case(self) -> ConverterCase:
            return ConverterCase(MyConverter(), built, calibration, clips, mean_difference=1e-6, same_answer=1.0)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel
from rena_kws.convert.agreement import check
from rena_kws.convert.base import Converter
from rena_kws.convert.evaluate_int8 import probabilities
from rena_kws.errors import CandidateError


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

    @pytest.fixture(scope="class")
    def case(self) -> ConverterCase:
        raise NotImplementedError("a subclass gives the fixture 'case'")

    @pytest.fixture(scope="class")
    def converted(self, case: ConverterCase) -> ConvertedModel:
        return case.converter.convert(case.built, case.calibration)

    def test_it_says_what_keras_says(self, case: ConverterCase, converted: ConvertedModel) -> None:
        agreement = check(case.built, converted, case.clips)
        assert agreement.clips == len(case.clips)
        assert agreement.mean_difference <= case.mean_difference
        assert agreement.same_answer >= case.same_answer

    def test_it_repeats_itself_in_silence_and_leaves_the_network_as_it_is(
        self, case: ConverterCase, converted: ConvertedModel, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = case.built.keras_model.get_weights()
        again = case.converter.convert(case.built, case.calibration)
        assert capfd.readouterr() == ("", "")
        for kept, now in zip(before, case.built.keras_model.get_weights(), strict=True):
            np.testing.assert_array_equal(kept, now)
        np.testing.assert_array_equal(probabilities(again, case.clips), probabilities(converted, case.clips))

    def test_the_weights_are_those_of_the_moment(self, case: ConverterCase, converted: ConvertedModel) -> None:
        """A search converts twice: untrained for the profile, then trained."""
        other = replace(case.built, keras_model=keras.models.clone_model(case.built.keras_model))  # Fresh weights
        fresh = case.converter.convert(other, case.calibration)
        assert not np.array_equal(probabilities(fresh, case.clips), probabilities(converted, case.clips))

    def test_a_failure_is_the_candidates_and_one_line(self, case: ConverterCase) -> None:
        stranger = keras.Sequential([keras.Input(case.built.architecture.input_shape), keras.layers.Flatten()])
        with pytest.raises(CandidateError) as caught:
            case.converter.convert(replace(case.built, keras_model=stranger), case.calibration)
        assert "\n" not in str(caught.value)
