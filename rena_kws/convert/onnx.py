"""Keras → ONNX, float or statically quantised (QDQ: QuantizeLinear and DequantizeLinear about every tensor)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import BuiltModel, ConvertedModel
from rena_kws.convert.base import Converter, check_calibration, quiet
from rena_kws.model.keras_model import copy_of


class OnnxConverter(Converter):
    """float32; the input is named `input`; the calibration is not used."""

    def convert(self, built: BuiltModel, calibration: NDArray[np.float32]) -> ConvertedModel:
        with quiet("ONNX conversion"), tempfile.TemporaryDirectory() as folder:
            return ConvertedModel("onnx", _export(built, Path(folder)).read_bytes())


class QuantizedOnnxConverter(Converter):
    """Weights of 7 bits per channel and int8 activations between float32 input and output."""

    def convert(self, built: BuiltModel, calibration: NDArray[np.float32]) -> ConvertedModel:
        calibration = check_calibration(built, calibration)
        with quiet("quantised ONNX conversion"), tempfile.TemporaryDirectory() as folder:
            from onnxruntime import quantization

            class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
                def __init__(self) -> None:
                    self._clips: Iterator[NDArray[np.float32]] = iter(calibration)

                def get_next(self) -> dict[str, NDArray[np.float32]] | None:
                    clip = next(self._clips, None)
                    return None if clip is None else {"input": clip[None]}

            floating = _export(built, Path(folder))
            prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
            # Folds batch normalisation into the convolutions and infers the shapes that quantisation asks for.
            quantization.shape_inference.quant_pre_process(str(floating), str(prepared), skip_symbolic_shape=True)
            # Weights of 7 bits: on AVX2 without VNNI, ONNX Runtime sums pairs of 8-bit products in a saturating int16.
            quantization.quantize_static(str(prepared), str(quantised), Reader(), per_channel=True, reduce_range=True)
            return ConvertedModel("onnx", quantised.read_bytes())


def _export(built: BuiltModel, folder: Path) -> Path:
    path = folder / "model.onnx"
    shape = (1, *built.architecture.input_shape)
    signature = [keras.InputSpec(shape=shape, dtype="float32", name="input")]
    copy_of(built, batch_size=1).export(str(path), format="onnx", input_signature=signature, verbose=False)
    return path
