"""What running by bands of rows costs in cycles, beside running each operator once over the whole image.

An estimate for a Cortex-M4: the figures were fitted to the emulated core, and serve to choose between divisions of a
chain. What is reported to users is emulated, never this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rena_kws.firmware.by_rows import Schedule
from rena_kws.firmware.graph import Graph
from rena_kws.firmware.operands import Call, Stage
from rena_kws.firmware.packing import LEVELS, UNPACKING_CYCLES
from rena_kws.firmware.weights import DENSE_ROWS

CYCLES_A_MAC = 1.5
"""Of whole networks."""
CYCLES_A_BAND = 350
"""The call, the copy of its parameters, the arithmetic of rows."""
CYCLES_A_MOVED_BYTE = 0.6
CYCLES_A_CHANNEL = 110
"""What a depthwise convolution does for each channel before its first output."""
CYCLES_A_COPIED_ELEMENT = 2.5
"""What it does for each element of its input."""
SINGLE_ROW_FACTOR = 0.9
"""Cycles a MAC that a row of a dense layer costs more by itself than in a block."""


def network_cycles(graph: Graph) -> int:
    """An estimate of the whole network's cycles, at least 1."""
    return max(1, round(CYCLES_A_MAC * sum(graph.macs(op) for op in graph.ops)))


def extra_cycles(plain: Sequence[Call], stages: Sequence[Stage], schedule: Schedule) -> int:
    """Of one fused step."""
    total = 0.0
    for i, stage in enumerate(stages):
        bands = schedule.bands[i]
        total += CYCLES_A_BAND * len(bands) + CYCLES_A_MOVED_BYTE * schedule.moved_rows[i] * stage.output_row_bytes
        kind = plain[i].struct
        window = stage.by_rows.window
        if kind in ("dense", "conv2d"):
            params = plain[i].fields if kind == "dense" else plain[i].fields["dense"]
            single = sum((end - first) * window.output[1] % DENSE_ROWS for first, end in bands)
            single -= math.prod(window.output) % DENSE_ROWS
            total += SINGLE_ROW_FACTOR * single * params["depth"] * params["channels"]
            weights = plain[i].weights
            if weights and weights.encoding == LEVELS:  # unpacked anew for every band
                total += UNPACKING_CYCLES * params["depth"] * params["channels"] * (len(bands) - 1)
        if kind == "depthwise":
            channels = plain[i].fields["input_channels"]
            outputs = channels * plain[i].fields["channel_multiplier"]
            copied = sum(window.band(first, end).image[0] for first, end in bands) - window.image[0]
            total += CYCLES_A_CHANNEL * outputs * (len(bands) - 1)
            total += CYCLES_A_COPIED_ELEMENT * max(0, copied) * window.image[1] * channels
    return round(total)
