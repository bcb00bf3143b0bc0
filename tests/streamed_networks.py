"""What a network answers to frames as they come: the streaming model, and by itself the network on clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from flatbuffer_models import ModelBuilder
from numpy.typing import NDArray

from rena_kws.artifacts import ConvertedModel
from rena_kws.export.esphome.probability import add_probability
from rena_kws.export.esphome.streaming_model import INPUT_SCALE, StreamingModel
from rena_kws.firmware.graph import read_graph
from rena_kws.litert import Interpreter, OpResolverType

Array = NDArray[Any]


class Net:
    """A model in LiteRT, with the values of its inner tensors."""

    def __init__(self, data: bytes) -> None:
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = Interpreter(
            model_content=data, experimental_op_resolver_type=resolver, experimental_preserve_all_tensors=True
        )
        self._interpreter.allocate_tensors()
        (self.source,), (self.sink,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def __call__(self, x: Array) -> Array:
        self._interpreter.set_tensor(self.source["index"], x.reshape(self.source["shape"]))
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self.sink["index"]))

    def tensor(self, index: int) -> Array:
        return np.array(self._interpreter.get_tensor(index))


def on_clips(model: ConvertedModel, frames: Array, streaming: StreamingModel, word: int) -> list[int]:
    """What the network on clips makes of frames as ESPHome gives them, silence before them: a probability a call."""
    graph, net = read_graph(model), Net(model.data)
    logits = graph.tensors[graph.ops[-1].inputs[0]]
    head = ModelBuilder()
    given = head.tensor(logits.shape, scale=logits.scale, zero_point=logits.zero_point)
    probability = Net(head.build([given], [add_probability(head, given, word)]))
    heard, stride = streaming.frames, streaming.stride
    stream = np.concatenate([np.full((heard + streaming.lag, 40), -128, np.int8), frames])
    stream = as_the_network_reads(stream, *net.source["quantization"])
    clip = np.zeros(net.source["shape"][1:3], np.int8)
    answers = []
    for end in range(heard + stride, len(stream) - streaming.lag + 1, stride):
        clip[:heard] = stream[end - heard : end]
        net(clip)
        answers.append(int(probability(net.tensor(logits.index))[0, 0]))
    return answers


def as_the_network_reads(frames: Array, scale: float, zero_point: int) -> Array:
    """Frames in ESPHome's steps as the network was trained on them, by TensorFlow Lite's operator for it."""
    builder = ModelBuilder()
    theirs = builder.tensor(frames.shape, scale=INPUT_SCALE, zero_point=-128)
    ours = builder.tensor(frames.shape, scale=scale, zero_point=zero_point)
    builder.op("QUANTIZE", [theirs], [ours], "QuantizeOptions")
    made = Net(builder.build([theirs], [ours]))(frames)
    exact = (frames + 128.0) * INPUT_SCALE / scale + zero_point
    assert np.abs(made - np.clip(exact, -128, 127)).max() <= 0.76  # it rounds twice
    return made


def on_stream(streaming: StreamingModel, frames: Array) -> list[int]:
    net = Net(streaming.model.data)
    return [int(net(call)[0, 0]) for call in frames.reshape(-1, streaming.stride, 40)]
