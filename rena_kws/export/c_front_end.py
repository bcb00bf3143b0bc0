"""The front end in a C bundle: its sources, and a test of them on sounds that need no file.

What the front end is to make of the sounds is computed by the one that trains; a value may be one step apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Firmware
from rena_kws.errors import ModelError
from rena_kws.export.manifest import Manifest
from rena_kws.firmware.emit_features import features_sources
from rena_kws.frontend.settings import FrontEnd

TEST_SOUNDS = 2


@dataclass(frozen=True)
class FrontEndFiles:
    """`sources` are empty where a bundle has no front end in C; `reason` says why, for people."""

    front_end: FrontEnd | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    vectors: str = ""
    reason: str = ""


def front_end_files(manifest: Manifest, firmware: Firmware) -> FrontEndFiles:
    """What a bundle of `firmware` holds for its front end. Raises `ModelError` where the manifest's cannot be read."""
    if not manifest.front_end:
        return FrontEndFiles(reason="the model came without a manifest that says what its features are")
    front_end = manifest.read_front_end()
    try:
        sources = features_sources(front_end, firmware.inputs[0], firmware.name)
    except ModelError as error:
        return FrontEndFiles(reason=str(error))
    return FrontEndFiles(front_end, sources, _vectors(front_end, firmware))


def _vectors(front_end: FrontEnd, firmware: Firmware) -> str:
    from rena_kws.frontend.features import compute

    port = firmware.inputs[0]
    sounds = np.stack([sound(number, front_end.clip_samples) for number in range(TEST_SOUNDS)])
    real = compute(front_end, sounds.astype(np.float32) / 32768)
    values = np.clip(np.round(real / port.scale) + port.zero_point, -128, 127).astype(np.int8)
    rows = ",\n".join("    {" + ", ".join(str(int(v)) for v in row.ravel()) + "}" for row in values)
    return f"""
#define TEST_SOUNDS {TEST_SOUNDS}
static const int8_t test_features[{TEST_SOUNDS}][{port.size_bytes}] = {{
{rows}
}};
"""


def sound(number: int, samples: int) -> NDArray[np.int16]:
    """Noise that swells, the same as `make_sound` of the test program makes."""
    state, out = 12345 + number, np.empty(samples, np.int16)
    for i in range(samples):
        state = (state * 1103515245 + 12345) & 0xFFFFFFFF
        out[i] = ((state >> 16) - 32768) * (i % 4096) // 4096
    return out


def check_functions(name: str) -> str:
    """C that makes the sounds and counts the features that are more than one step from what training computes."""
    upper = name.upper()
    return f"""
static void make_sound(uint32_t state, int16_t *samples)
{{
    for (int32_t i = 0; i < {upper}_CLIP_SAMPLES; i++) {{
        state = state * 1103515245U + 12345U;
        const int32_t product = ((int32_t)(state >> 16) - 32768) * (i % 4096);
        samples[i] = (int16_t)(product >= 0 ? product / 4096 : -((-product + 4095) / 4096)); /* rounded down */
    }}
}}

static int wrong_features(void)
{{
    static int16_t samples[{upper}_CLIP_SAMPLES];
    static {name}_features_word scratch[{upper}_FEATURES_SCRATCH_WORDS];
    static int8_t features[sizeof test_features[0]];
    int wrong = 0;
    for (int i = 0; i < TEST_SOUNDS; i++) {{
        make_sound(12345U + (uint32_t)i, samples);
        {name}_features(samples, features, scratch);
        for (size_t j = 0; j < sizeof features; j++) {{
            const int apart = features[j] - test_features[i][j];
            wrong += apart < -1 || apart > 1;
        }}
    }}
    printf("%d sounds, %d features are not those of training\\n", TEST_SOUNDS, wrong);
    return wrong;
}}
"""
