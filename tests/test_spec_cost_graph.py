"""The cost graph against sums done by hand (Keras checks it in test_model_keras)."""

from __future__ import annotations

import pytest

from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.spec.cost_graph import cost

CONV = Layer("conv2d", (0,), kernel_h=3, kernel_w=3, channels=4)


def test_one_convolution() -> None:
    figures = cost(Architecture(2, (CONV,), (8, 6, 1)))
    assert figures.params == (9 * 4 + 4) + (4 * 2 + 2)
    assert figures.weight_bytes == (9 * 4 + 4 * 4) + (4 * 2 + 4 * 2)
    assert figures.macs == 48 * 36 + 8
    conv, mean, head = (48 + 192 + 36 + 16), (192 + 4), (4 + 2 + 8 + 8)
    assert figures.bytes_moved == conv + mean + head
    assert figures.intensity == pytest.approx(2 * figures.macs / figures.bytes_moved)
    assert figures.activation_ram_bytes == 48 + 192


def test_a_skip_connection_keeps_its_source_alive() -> None:
    middle = Layer("conv2d", (1,), kernel_h=3, kernel_w=3, channels=8)
    back = Layer("conv2d", (2,), kernel_h=3, kernel_w=3, channels=4)
    chain = Architecture(2, (CONV, middle, back), (8, 6, 1))
    skip = Architecture(2, (CONV, middle, back, Layer("add", (3, 1))), (8, 6, 1))
    assert cost(chain).activation_ram_bytes == 48 * (4 + 8)
    assert cost(skip).activation_ram_bytes == 48 * (4 + 8 + 4)


def test_add_pays_for_its_projection() -> None:
    wide = Layer("conv2d", (1,), kernel_h=1, kernel_w=1, stride=(2, 2), channels=8)
    figures = cost(Architecture(2, (CONV, wide, Layer("add", (2, 1))), (8, 6, 1)))
    projection = next(op for op in figures.ops if "project" in op.name)
    assert projection.output_shape == (4, 3, 8)
    assert (projection.weights, projection.biases, projection.macs) == (4 * 8, 8, 12 * 32)


def test_flattening_is_free() -> None:
    figures = cost(Architecture(2, (Layer("dense", (0,), channels=16),), (8, 6, 1)))
    assert [op.op for op in figures.ops] == ["dense", "dense"]
    assert figures.macs == 48 * 16 + 16 * 2
    assert figures.activation_ram_bytes == 48 + 16


def test_a_gru_multiplies_each_row_and_each_state() -> None:
    figures = cost(Architecture(2, (Layer("gru", (0,), channels=16),), (8, 6, 3)))
    assert [op.op for op in figures.ops] == ["gru", "dense"]
    assert figures.macs == 8 * (18 + 16) * 48 + 16 * 2
    assert figures.params == (18 + 16 + 2) * 48 + 16 * 2 + 2
