"""The stream in a C bundle: its sources, a test of it, and what the bundle's README says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rena_kws.artifacts import Firmware
from rena_kws.decisions import DecisionSettings
from rena_kws.errors import ModelError
from rena_kws.export.c_front_end import FrontEndFiles
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit_stream import StreamEvaluation, evaluation_of, new_rows_of, stream_sources
from rena_kws.profilers.cortex_m.stream_profile import StreamCost


@dataclass(frozen=True)
class StreamFiles:
    """`sources` are empty where a bundle cannot listen to a stream; `reason` says why, for people."""

    decisions: DecisionSettings = field(default_factory=DecisionSettings)
    chosen: bool = False  # or the defaults
    sources: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    evaluation: StreamEvaluation = "whole"
    whole_because: str = ""

    def as_json(self, device: str, cost: StreamCost | None) -> Mapping[str, Any]:
        """For the bundle's manifest. `cost`: on `device`, None where the stream does not run there."""
        if not self.sources:
            return {}
        how = {"evaluation": self.evaluation} | ({"because": self.whole_because} if self.whole_because else {})
        return how | ({"device": device, "how": cost.how, **cost.as_part()} if cost else {})


def stream_new_rows(manifest: Manifest, whole: bool) -> int | None:
    """By how many rows a stream's input moves on, for `generate`; None where a result is a run of the whole network."""
    if whole or not manifest.front_end:
        return None
    return new_rows_of(manifest.read_front_end(), DecisionSettings.from_json(manifest.decisions))


def stream_files(manifest: Manifest, firmware: Firmware, front_end: FrontEndFiles) -> StreamFiles:
    """What a bundle of `firmware` holds for listening. Raises `ModelError` for decisions that cannot be read."""
    if front_end.front_end is None:
        return StreamFiles(reason=front_end.reason)
    decisions = DecisionSettings.from_json(manifest.decisions)
    try:
        sources = stream_sources(front_end.front_end, firmware, manifest.labels, decisions)
    except ModelError as error:
        return StreamFiles(reason=str(error))
    evaluation, because = evaluation_of(front_end.front_end, firmware, decisions)
    return StreamFiles(decisions, bool(manifest.decisions), sources, "", evaluation, because)


_EVALUATIONS: Mapping[StreamEvaluation, str] = {
    "incremental": "incremental. What is known of earlier frames is kept, so a result computes new rows alone; the\n"
    "hops a result are fixed in the generated code. `rena-kws export --whole` runs the whole network instead",
    "whole": "whole. Each result is a run of the whole network",
}


def stream_check(name: str) -> str:
    """C that pushes the test's sounds in odd pieces and counts the scores that differ from those of whole clips."""
    upper = name.upper()
    return f"""
static int wrong_results(unsigned char *arena)
{{
    static int16_t samples[{upper}_CLIP_SAMPLES];
    static {name}_features_word scratch[{upper}_FEATURES_SCRATCH_WORDS];
    static {name}_stream stream;
    int8_t scores[{upper}_CLASSES];
    int wrong = 0;
    for (int i = 0; i < TEST_SOUNDS; i++) {{
        make_sound(12345U + (uint32_t)i, samples);
        {name}_features(samples, {name}_input(arena), scratch);
        {name}_run(arena);
        memcpy(scores, {name}_output(arena), sizeof scores);
        {name}_stream_init(&stream, arena, 0, 0);
        for (size_t at = 0; at < {upper}_CLIP_SAMPLES; at += 77) {{
            const size_t left = {upper}_CLIP_SAMPLES - at;
            {name}_stream_push(&stream, samples + at, left < 77 ? left : 77);
        }}
        wrong += memcmp(scores, stream.scores, sizeof scores) != 0;
    }}
    printf("%d streams, %d results are not those of their clips\\n", TEST_SOUNDS, wrong);
    return wrong;
}}
"""


def stream_readme(name: str, stream: StreamFiles, example: str, device: str, cost: StreamCost | None) -> str:
    """`example`: a sentence on the program that shows it. `cost`: what the stream costs on `device`, None where it does
    not run there."""
    upper = name.upper()
    origin = (
        "were chosen on streams" if stream.chosen else "are defaults; `rena-kws evaluate --stream --save` chooses them"
    )
    if not stream.sources:
        return f"\nIt does not listen to a stream: {stream.reason}.\n"
    return f"""
## Listening

    {name}_stream_init(&stream, arena, on_event, 0);
    {name}_stream_push(&stream, samples, n);         any number of samples, as they come

`stream` is a `{name}_stream` of yours, `arena` {upper}_STREAM_ARENA_BYTES bytes, aligned to
{upper}_ARENA_ALIGNMENT, which may serve other purposes between two pushes. Each hop costs a frame of the front end;
once in {upper}_HOPS_A_RESULT hops there is a result for the last {upper}_CLIP_SAMPLES samples: the scores of
`{name}_run` for the very features that `{name}_features` makes of them. Where a word is detected `on_event` is told the
label, its smoothed probability and the sample. {example}

Evaluation: {_EVALUATIONS[stream.evaluation]}{f" ({stream.whole_because})" if stream.whole_because else ""}.

The numbers that decide lie in `{name}_stream_settings.h`; they {origin}.

On {device}: {cost.as_line() if cost else "it does not fit"}.
"""
