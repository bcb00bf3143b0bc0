"""A network with its front end → the C that listens without end and reports detections.

Everything about one network is a number in `NAME_stream_settings.h`; the templates in `stream/` are the same for all,
but for what a stream keeps of the sound, `NAME_history.{h,c}`. Of that there are three:

    peaks   bands of all frames, where the front end divides a clip by its peak; a result runs the whole network
    frames  features of all frames, where it does not; a result runs the whole network
    rows    rows of the network's images, where it pads nothing along time either; a result computes new rows alone
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Literal

from rena_kws.artifacts import Firmware
from rena_kws.decisions import STEPS, DecisionSettings, keyword_indices
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import renamed
from rena_kws.firmware.emit_features import scratch_words
from rena_kws.frontend.settings import FrontEnd

StreamEvaluation = Literal["incremental", "whole"]
"""How a result comes about: of new rows alone, or by a run of the whole network."""

_TEMPLATES = ("kws_decisions.h", "kws_decisions.c", "kws_stream.h", "kws_stream.c")


def new_rows_of(front_end: FrontEnd, decisions: DecisionSettings) -> int | None:
    """For `generate`: by how many rows the network's input moves on from one result to the next, as far as the front
    end leaves its rows alone; None where all of them change with the clip's peak."""
    return decisions.hops_a_result if front_end.loudness == "none" else None


def evaluation_of(front_end: FrontEnd, firmware: Firmware, decisions: DecisionSettings) -> tuple[StreamEvaluation, str]:
    """How a stream of this firmware is evaluated, and where it is by whole runs, why."""
    if front_end.loudness != "none":
        return "whole", "the front end divides each clip by its peak"
    run, shape = firmware.incremental, firmware.inputs[0].shape
    if run is None:
        return "whole", firmware.whole_because or "that was asked for"
    if run.new_rows != decisions.hops_a_result or shape[1] != front_end.frames:
        return "whole", f"its rows, {run.new_rows} of {shape[1]} a result, are not the front end's frames"
    return "incremental", ""


def stream_arena_bytes(front_end: FrontEnd, firmware: Firmware, decisions: DecisionSettings) -> int:
    """NAME_STREAM_ARENA_BYTES."""
    run = firmware.incremental
    moving = run is not None and evaluation_of(front_end, firmware, decisions)[0] == "incremental"
    return max(run.arena_bytes if run and moving else firmware.arena_bytes, 4 * scratch_words(front_end))


def stream_sources(
    front_end: FrontEnd, firmware: Firmware, labels: Sequence[str], decisions: DecisionSettings
) -> Mapping[str, str]:
    """File name → text: `NAME_stream.{h,c}`, `NAME_history.{h,c}`, `NAME_decisions.{h,c}` and the settings of all.

    They need the sources of `generate` and `features_sources` beside them. Raises `ModelError` for a network whose
    output is not one probability a label, and where no label is a keyword.
    """
    _check(firmware, labels)
    folder = resources.files("rena_kws.firmware.stream")
    name = firmware.name
    kept = "peaks"
    if front_end.loudness == "none":
        kept = "rows" if evaluation_of(front_end, firmware, decisions)[0] == "incremental" else "frames"
    templates = {file: file for file in _TEMPLATES} | {
        f"kws_history.{end}": f"kws_history_{kept}.{end}" for end in "hc"
    }
    shared = {
        renamed(file, name): _filled_in((folder / template).read_text("utf-8"), name)
        for file, template in templates.items()
    }
    return {**shared, f"{name}_stream_settings.h": _settings(front_end, name, labels, decisions)}


def _check(firmware: Firmware, labels: Sequence[str]) -> None:
    port = firmware.outputs[0]
    if len(firmware.outputs) != 1 or port.size_bytes != len(labels):
        raise ModelError(f"a stream needs a score for each of {len(labels)} labels; the network has {port.size_bytes}")
    if port.zero_point != -128 or not math.isclose(port.scale, 1 / STEPS, rel_tol=1e-6):
        raise ModelError(
            f"a stream needs probabilities, as a softmax gives them (scale 1/{STEPS}, zero point -128); the network's "
            f"output has scale {port.scale:g} and zero point {port.zero_point}"
        )
    if not keyword_indices(labels):
        raise ModelError(f"a stream needs a label that is a word: {', '.join(labels)}")


def _filled_in(text: str, name: str) -> str:
    return renamed(text, name).replace('"kws.h"', f'"{name}.h"')  # last: the name may begin with kws_


def _settings(front_end: FrontEnd, name: str, labels: Sequence[str], decisions: DecisionSettings) -> str:
    upper = name.upper()
    keywords = keyword_indices(labels)
    flags = ", ".join(str(int(index in keywords)) for index in range(len(labels)))
    return f"""/* SPDX-License-Identifier: MIT-0
 *
 * How {name} listens. Generated from the manifest; change a number to try another.
 */
#ifndef {upper}_STREAM_SETTINGS_H
#define {upper}_STREAM_SETTINGS_H

#include <stdint.h>

/* There is a result once in so many hops of {front_end.hop_ms} ms. */
#define {upper}_HOPS_A_RESULT {decisions.hops_a_result}

/* Results that a decision takes the mean of. */
#define {upper}_SMOOTHED_RESULTS {decisions.smoothed_results}

/* The least mean probability that is a detection: 1000000 is 1. */
#define {upper}_THRESHOLD_MILLIONTHS {_millionths(decisions)}

/* For so long after a detection there is no other. */
#define {upper}_REFRACTORY_MS {decisions.refractory_ms}

/* Which classes are words to detect. */
#define {upper}_CLASSES {len(labels)}
#define {upper}_IS_KEYWORD {{{flags}}}

/* What follows from these: the sum of results at probability 1, */
#define {upper}_FULL_SCORE ({STEPS} * {upper}_SMOOTHED_RESULTS)

/* the least sum that is a detection, no more than results can come to, which are {STEPS - 1} at most, */
#define {upper}_THRESHOLD \\
    ({upper}_THRESHOLD_MILLIONTHS * {STEPS}LL > {STEPS - 1} * 1000000LL \\
         ? {STEPS - 1} * {upper}_SMOOTHED_RESULTS \\
         : (int32_t)(({upper}_THRESHOLD_MILLIONTHS * {STEPS}LL * {upper}_SMOOTHED_RESULTS + 999999) / 1000000))

/* and how many results after a detection are not looked at. */
#define {upper}_RESULT_MS ({front_end.hop_ms} * {upper}_HOPS_A_RESULT)
#define {upper}_RESTING_RESULTS ({upper}_REFRACTORY_MS > 0 ? ({upper}_REFRACTORY_MS - 1) / {upper}_RESULT_MS : 0)

#endif
"""


def _millionths(decisions: DecisionSettings) -> int:
    """The threshold in C: the millionths nearest to it that give the same `threshold_sum`."""
    exact = 1e6 * decisions.threshold
    nearest = sorted((math.floor(exact), math.floor(exact) + 1), key=lambda count: abs(count - exact))
    most = (STEPS - 1) * decisions.smoothed_results
    sums = {count: min(-(-count * decisions.full_score // 1_000_000), most) for count in nearest}
    return next(count for count in nearest if sums[count] == decisions.threshold_sum)
