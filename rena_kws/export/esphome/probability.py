"""Logits → the probability of one class, of operators that ESPHome knows. A softmax is not among them.

    logits ─ FULLY_CONNECTED: z(word) − z(other), for each other class ─ LOGISTIC ─ FULLY_CONNECTED ─ QUANTIZE

LOGISTIC gives the word's share against each other class alone, s = 1 / (1 + exp(z(other) − z(word))). The second sum is
1 − Σ (1 − s), or 0. With two classes that is the softmax. With more it is the softmax p where one other class has all
the rest, and else a lower bound of it: never less than 2 − 1/p, so at most 0.05 below where p is 0.8, 0.01 at 0.9.
(1 / (1 + Σ e) with e = exp(z(other) − z(word)), and 1 − s = e / (1 + e), of which the sum is at most that of e.)
"""

from __future__ import annotations

import numpy as np

from rena_kws.convert.model_builder import ModelBuilder
from rena_kws.errors import ModelError

_MARGIN_SCALE = 1 / 16
"""Of z(word) − z(other), from −8 to 8: beyond, the logistic function is within half a step of 0 or 1."""
_SHARE_SCALE, _SHARE_ZERO = 1 / 256, -128  # What TFLite demands of LOGISTIC in int8.
_ONE = 127 - _SHARE_ZERO  # The largest share, 255/256, is taken for certain.


def add_probability(builder: ModelBuilder, logits: int, word: int) -> int:
    """Add it to a model whose `logits` are int8 [1, classes] → the tensor uint8 [1, 1], in 256ths."""
    _, classes = builder.shape(logits)
    if not 0 <= word < classes:
        raise ModelError(f"a model of {classes} classes has no class {word}")
    others = [index for index in range(classes) if index != word]
    shares = _logistic(builder, _margins(builder, logits, word, others), len(others))
    one = shares if len(others) == 1 else _sum(builder, shares, len(others))
    probability = builder.tensor((1, 1), scale=_SHARE_SCALE, zero_point=0, dtype="uint8", name="probability")
    builder.op("QUANTIZE", [one], [probability], "QuantizeOptions")
    return probability


def _margins(builder: ModelBuilder, logits: int, word: int, others: list[int]) -> int:
    weights = np.zeros((len(others), len(others) + 1), np.int8)
    weights[:, word] = 1
    weights[np.arange(len(others)), others] = -1
    margins = builder.tensor((1, len(others)), scale=_MARGIN_SCALE, name="margins")
    constant = builder.tensor(weights.shape, scale=1.0, data=weights)
    builder.op("FULLY_CONNECTED", [logits, constant, -1], [margins], "FullyConnectedOptions", version=4)
    return margins


def _logistic(builder: ModelBuilder, margins: int, count: int) -> int:
    shares = builder.tensor((1, count), scale=_SHARE_SCALE, zero_point=_SHARE_ZERO, name="shares")
    builder.op("LOGISTIC", [margins], [shares], version=2)
    return shares


def _sum(builder: ModelBuilder, shares: int, count: int) -> int:
    """1 − Σ (1 − s), exactly: all scales are the same, so nothing is rounded."""
    weights = builder.tensor((1, count), scale=1.0, data=np.ones((1, count), np.int8))
    bias = builder.tensor((1,), scale=_SHARE_SCALE, data=np.array([_ONE * (1 - count)]), dtype="int32")
    total = builder.tensor((1, 1), scale=_SHARE_SCALE, zero_point=_SHARE_ZERO, name="sum")
    builder.op("FULLY_CONNECTED", [shares, weights, bias], [total], "FullyConnectedOptions", version=4)
    return total
