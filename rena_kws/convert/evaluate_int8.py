"""What a converted model says about clips: probabilities and accuracy, through LiteRT or ONNX Runtime.

The int8 model sees what the chip will see: features quantised by its own input's scale and zero point, and LiteRT's
plain kernels (BUILTIN_WITHOUT_DEFAULT_DELEGATES): nearer to TensorFlow Lite Micro, and so to the firmware, than XNNPACK
is, and equal to it but for a unit in a few outputs of a hundred. A GRU, which LiteRT lacks, is run by its definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.convert.gru_operator import split
from rena_kws.errors import ModelError

if TYPE_CHECKING:
    from rena_kws.datasets.features import Features

Array = NDArray[Any]


def accuracy(model: ConvertedModel, features: Features) -> tuple[float, NDArray[np.intp]]:
    """The share of clips whose most probable class is the label, and that class for every clip."""
    predictions = probabilities(model, features.x).argmax(axis=1)
    return float(np.mean(predictions == features.y)), predictions


def probabilities(model: ConvertedModel, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities (clips, classes) for features (clips, *input_shape)."""
    outputs, scale, zero_point = _run(model, x)
    return dequantise(outputs, scale, zero_point)


def quantise(x: NDArray[np.float32], scale: float, zero_point: int, dtype: Any = np.int8) -> Array:
    """Real values as integers of `dtype`: round(x / scale) + zero_point, saturated. A scale of 0: not quantised."""
    if not scale:
        return x.astype(dtype)
    limits = np.iinfo(dtype)
    quantised: Array = np.clip(np.rint(x / np.float32(scale)) + zero_point, limits.min, limits.max).astype(dtype)
    return quantised


def dequantise(values: Array, scale: float, zero_point: int) -> NDArray[np.float32]:
    """The inverse of `quantise`, up to rounding."""
    if not scale:
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def quantised_inputs(model: ConvertedModel, x: NDArray[np.float32]) -> Array:
    """Features as the .tflite model's input takes them: quantised where it is."""
    parts = split(model)
    detail = _interpreter(parts.front if parts else model).get_input_details()[0]
    scale, zero_point = detail["quantization"]
    return quantise(x, scale, zero_point, detail["dtype"])


LITERT_PATHS = {
    "reference kernels": "BUILTIN_REF",
    "plain kernels": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "XNNPACK": "AUTO",
}
"""LiteRT's ways to run a model, by the name of the resolver that chooses each."""


def run_quantised(model: ConvertedModel, inputs: Array, path: str = "plain kernels") -> Array:
    """What a .tflite model answers, in its own dtype, to inputs in its own dtype; the first axis is the batch.

    Each clip runs by itself: the model's batch is static, and the profilers compare outputs bit by bit.
    """
    parts = split(model)
    if parts is None:
        return _run_litert(model, inputs, path)
    return _run_litert(parts.back, parts.states(_run_litert(parts.front, inputs, path)), path)


def _run_litert(model: ConvertedModel, inputs: Array, path: str) -> Array:
    interpreter = _interpreter(model, path)
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if inputs.shape[1:] != tuple(source["shape"][1:]) or inputs.dtype != source["dtype"]:
        wanted = f"{np.dtype(source['dtype'])} clips of shape {tuple(source['shape'][1:])}"
        raise ModelError(f"the model takes {wanted}; got {inputs.dtype} of shape {inputs.shape[1:]}")
    outputs = np.empty((len(inputs), *sink["shape"][1:]), sink["dtype"])
    for index, clip in enumerate(inputs):
        interpreter.set_tensor(source["index"], clip[None])
        interpreter.invoke()
        outputs[index] = interpreter.get_tensor(sink["index"])[0]
    return outputs


def _run(model: ConvertedModel, x: NDArray[np.float32]) -> tuple[Array, float, int]:
    if model.format == "onnx":
        return _run_onnx(model, x), 0.0, 0
    outputs = run_quantised(model, quantised_inputs(model, x))
    parts = split(model)
    return outputs, *_interpreter(parts.back if parts else model).get_output_details()[0]["quantization"]


def _run_onnx(model: ConvertedModel, x: NDArray[np.float32]) -> Array:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(model.data, providers=["CPUExecutionProvider"])
    except Exception as error:  # Its exceptions have no base class but this one
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"not an ONNX model that ONNX Runtime can run: {message:.200}") from error
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: clip[None]})[0] for clip in x])


def _interpreter(model: ConvertedModel, path: str = "plain kernels") -> Any:
    from rena_kws.litert import Interpreter, OpResolverType

    resolver = getattr(OpResolverType, LITERT_PATHS[path])
    try:
        interpreter = Interpreter(model_content=model.data, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"not a TFLite model that LiteRT can run: {str(error).splitlines()[0]:.200}") from error
    return interpreter
