"""An int8 network that looks at a clip → the same network as microcontrollers run it on a stream.

Each call gets the newest frames only. What a window needs of earlier ones is kept in a resource variable before it:

    READ_VARIABLE ─┐
    new rows ──────┴─ CONCATENATION ─┬─ PAD, CONV_2D, … ─ new rows of the next map
                                     └─ STRIDED_SLICE ─ ASSIGN_VARIABLE

Each row is computed once, by the very operator of the clip's network, so the result is bit by bit what that computes of
the last `frames` frames. A stream begins as if silence had been before it.

The average at the end reads all rows there are, which makes its variable by far the largest. A `lean` model keeps the
mean of each row instead, rounded to int8: where exactness is not the point, that saves most of the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.convert.model_builder import ModelBuilder, SubgraphBuilder
from rena_kws.errors import ModelError
from rena_kws.export.esphome.probability import add_probability
from rena_kws.export.esphome.windows import Chain, Window, take_apart
from rena_kws.firmware.graph import Graph, Op, Tensor, read_graph
from rena_kws.litert import Interpreter, OpResolverType

INPUT_SCALE = 26 / 255
"""Of the input, whose zero point is -128: that of microWakeWord's models. ESPHome does not read it. It turns the front
end's numbers into int8 by itself, 666 of them to 256 steps (micro_wake_word.cpp), which is this scale but for 0.3 %."""
MOST_VARIABLES = 20
"""ESPHome makes room for so many (streaming_model.cpp)."""

_FEATURES = 40
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "PAD": "PadOptions",
    "MEAN": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
}
_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "RESHAPE": 1}
"""Of the int8 operators, as converters write them; 2 for the others."""


@dataclass(frozen=True)
class StreamingModel:
    """`model`: int8 [1, stride, 40] → uint8 [1, 1], in 256ths the probability of the word in the last `frames` frames
    but for the newest `lag`; those before the first call are silence."""

    model: ConvertedModel
    stride: int
    frames: int
    lag: int


def streaming_model(model: ConvertedModel, word: int, lean: bool = False) -> StreamingModel:
    """The network on a stream, for the class with the index `word`.

    With `lean` the average may come out a unit apart. Raises `ModelError` where the network is no chain of windows
    without padding in time on frames of 40 features, or keeps more than ESPHome has room for.
    """
    graph = read_graph(model)
    _check_input(graph)
    chain = take_apart(graph)
    variables = sum(window.kept_rows > 0 for window in chain.windows)
    if variables > MOST_VARIABLES:
        raise ModelError(f"ESPHome keeps at most {MOST_VARIABLES} variables for a model; this one needs {variables}")
    data = _Writer(graph, chain, _after_silence(model, graph), lean).write(word)
    return StreamingModel(ConvertedModel("tflite", data, model.name), chain.stride, chain.frames, chain.lag)


def _check_input(graph: Graph) -> None:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError("a stream's network has one input and one output")
    tensor = graph.tensors[graph.inputs[0]]
    fits = len(tensor.shape) == 4 and (tensor.shape[0], *tensor.shape[2:]) == (1, _FEATURES, 1)
    if tensor.dtype != "int8" or not tensor.scales or not fits:
        raise ModelError(
            f"ESPHome's front end makes int8 frames of {_FEATURES} features; the network reads {tensor.dtype} of shape "
            f"{tensor.shape}, not (1, frames, {_FEATURES}, 1): train it with the front end MICRO_FRONTEND"
        )


def _after_silence(model: ConvertedModel, graph: Graph) -> Mapping[int, NDArray[np.int8]]:
    """Tensor index → what a row of it is in silence: without padding in time all rows of a map are alike."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    source = graph.tensors[graph.inputs[0]]
    try:
        interpreter = Interpreter(
            model_content=model.data, experimental_op_resolver_type=resolver, experimental_preserve_all_tensors=True
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(source.index, np.full(source.shape, np.clip(source.zero_point, -128, 127), np.int8))
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"not a TFLite model that LiteRT can run: {str(error).splitlines()[0]:.200}") from error
    indices = [op.inputs[0] for op in graph.ops]
    maps = {index: interpreter.get_tensor(index) for index in indices if len(graph.tensors[index].shape) == 4}
    return {index: values[:, :1] for index, values in maps.items()}


class _Writer:
    def __init__(self, graph: Graph, chain: Chain, silence: Mapping[int, NDArray[np.int8]], lean: bool) -> None:
        self._graph, self._chain, self._silence, self._lean = graph, chain, silence, lean
        self._main = ModelBuilder()
        self._first_call, self._start = self._main.subgraph("start")
        self._constants: dict[int, int] = {}

    def write(self, word: int) -> bytes:
        self._main.op("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=self._first_call)
        source, rows = self._input()
        new_rows = self._chain.stride
        for number, window in enumerate(self._chain.windows):
            rows = self._window(f"state_{number}", window, rows, new_rows)
            new_rows //= window.stride
        for op in self._chain.head:
            rows = self._copy(op, rows, self._output(op).shape)
        probability = add_probability(self._main, rows, word)
        return self._main.build([source], [probability])

    def _input(self) -> tuple[int, int]:
        """The model's input, and the same as rows of the network's, quantised as it was trained."""
        shape = (1, self._chain.stride, _FEATURES)
        source = self._main.tensor(shape, scale=INPUT_SCALE, zero_point=-128, name="features")
        network = self._graph.tensors[self._graph.inputs[0]]
        rows = source
        if not _same_steps(network):
            rows = self._main.tensor(shape, scale=network.scales, zero_point=network.zero_point)
            self._main.op("QUANTIZE", [source], [rows], "QuantizeOptions")
        return source, self._reshape(rows, (*shape, 1), network)

    def _window(self, name: str, window: Window, new: int, new_rows: int) -> int:
        """The operators of a window, on the rows that are kept and `new_rows` new ones → the new rows of its output."""
        source = self._graph.tensors[window.ops[0].inputs[0]]
        rows, count, before = new, new_rows, self._silence[source.index]
        if self._lean and window.ops[-1].name == "MEAN":
            rows, before = self._row_means(source, rows, new_rows), np.rint(before.mean(axis=2, keepdims=True))
        if window.kept_rows:
            rows, count = self._with_kept(name, np.repeat(before, window.kept_rows, axis=1), source, rows, new_rows)
        for op in window.ops:
            shape = list(self._output(op).shape)
            if len(shape) == 4:
                count = count if op is not window.ops[-1] else new_rows // window.stride
                shape[1] = count
            rows = self._copy(op, rows, shape)
        return rows

    def _row_means(self, like: Tensor, rows: int, count: int) -> int:
        """Each row's mean along frequency, in the steps of the map."""
        means = self._like(like, (1, count, 1, like.shape[3]))
        axis = self._main.tensor((1,), data=np.array([2]), dtype="int32")
        self._main.op("MEAN", [rows, axis], [means], "ReducerOptions", version=2, keepDims=True)
        return means

    def _with_kept(self, name: str, begin: NDArray[Any], like: Tensor, new: int, new_rows: int) -> tuple[int, int]:
        """The kept rows, at first `begin`, before the new ones, and how many both are. The last of these are kept."""
        main, (_, kept_rows, *row) = self._main, begin.shape
        handle = _variable(main, name)
        start = self._like(like, begin.shape, self._start, begin)
        self._start.op("ASSIGN_VARIABLE", [_variable(self._start, name), start], [], "AssignVariableOptions")

        kept = self._like(like, (1, kept_rows, *row))
        main.op("READ_VARIABLE", [handle], [kept], "ReadVariableOptions")
        count = kept_rows + new_rows
        rows = self._like(like, (1, count, *row))
        main.op("CONCATENATION", [kept, new], [rows], "ConcatenationOptions", version=2, axis=1)
        last = self._like(like, (1, kept_rows, *row))
        bounds = ((0, new_rows, 0, 0), (1, count, *row), (1, 1, 1, 1))
        slice_at = [main.tensor((4,), data=np.array(bound), dtype="int32") for bound in bounds]
        main.op("STRIDED_SLICE", [rows, *slice_at], [last], "StridedSliceOptions", version=2)
        main.op("ASSIGN_VARIABLE", [handle, last], [], "AssignVariableOptions")
        return rows, count

    def _copy(self, op: Op, data: int, shape: Any) -> int:
        """An operator of the network on other rows, with its own constants and options → its output."""
        if op.name == "RESHAPE":
            return self._reshape(data, shape, self._output(op))
        output = self._like(self._output(op), shape)
        constants = [index if index < 0 else self._constant(index) for index in op.inputs[1:]]
        version = _VERSIONS.get(op.name, 2)
        self._main.op(op.name, [data, *constants], [output], _OPTIONS[op.name], version=version, **op.options)
        return output

    def _reshape(self, data: int, shape: Any, like: Tensor) -> int:
        output = self._like(like, shape)
        sizes = self._main.tensor((len(shape),), data=np.array(shape), dtype="int32")
        self._main.op("RESHAPE", [data, sizes], [output], "ReshapeOptions", newShape=list(shape))
        return output

    def _constant(self, index: int) -> int:
        if index not in self._constants:
            tensor = self._graph.tensors[index]
            self._constants[index] = self._like(tensor, tensor.shape, self._main, tensor.data)
        return self._constants[index]

    def _output(self, op: Op) -> Tensor:
        return self._graph.tensors[op.outputs[0]]

    def _like(
        self, tensor: Tensor, shape: Any, where: SubgraphBuilder | None = None, data: NDArray[Any] | None = None
    ) -> int:
        """A tensor that is quantised as one of the network's."""
        return (where or self._main).tensor(
            shape,
            scale=tensor.scales or None,
            zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
            axis=tensor.quantized_dimension,
            data=data,
            dtype=tensor.dtype,
        )


def _variable(where: SubgraphBuilder, name: str) -> int:
    handle = where.tensor((), dtype="resource", name=name)
    where.op("VAR_HANDLE", [], [handle], "VarHandleOptions", container=b"", sharedName=name.encode())
    return handle


def _same_steps(tensor: Tensor) -> bool:
    """Whether each step of the input means to the network what it means to ESPHome."""
    steps = np.arange(256)
    theirs = np.clip(np.rint(steps * INPUT_SCALE / tensor.scale) + tensor.zero_point, -128, 127)
    return bool((theirs == steps - 128).all())
