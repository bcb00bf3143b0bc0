"""A front end and a network's input → the C that makes one of the other on the chip.

The tables come from the functions that training uses (`rena_kws.frontend.features`), so both compute the same. As with
the kernels, the prefix `kws_` of the templates in `front_end/` stands for the network's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Port
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import renamed
from rena_kws.frontend.features import band_position, dct_matrix, hann_window
from rena_kws.frontend.settings import FrontEnd

_TEMPLATES = ("kws_features.h", "kws_features.c")
_MOST_BANDS = 255


def features_sources(front_end: FrontEnd, port: Port, name: str) -> Mapping[str, str]:
    """File name → text: `NAME_features.{h,c}`, which any front end shares, and `NAME_front_end.{h,c}` with its tables.

    `port`: the network's input. Raises `ModelError` where the front end does not make that input, or has an FFT that is
    no power of two.
    """
    if int(np.prod(front_end.shape)) != port.size_bytes or port.dtype != "int8":
        raise ModelError(
            f"the front end makes {' x '.join(map(str, front_end.shape))} features, the network reads "
            f"{' x '.join(map(str, port.shape))} of {port.dtype}"
        )
    if front_end.fft_size & (front_end.fft_size - 1) or front_end.fft_size < 8 or front_end.mel_bands > _MOST_BANDS:
        sizes = f"fft_size {front_end.fft_size} and mel_bands {front_end.mel_bands}"
        raise ModelError(f"{sizes}: in C the one is a power of two of at least 8, the other at most {_MOST_BANDS}")
    folder = resources.files("rena_kws.firmware.front_end")
    shared = {renamed(file, name): renamed((folder / file).read_text("utf-8"), name) for file in _TEMPLATES}
    return {
        **shared,
        f"{name}_front_end.h": _header(front_end, name),
        f"{name}_front_end.c": _source(front_end, port, name),
    }


def scratch_floats(front_end: FrontEnd) -> int:
    return front_end.fft_size + front_end.mel_bands


def _header(front_end: FrontEnd, name: str) -> str:
    upper = name.upper()
    kind = "MFCCs" if front_end.kind == "mfcc" else "logarithmic mel bands"
    return f"""/* SPDX-License-Identifier: MIT-0
 *
 * The front end of {name}: {front_end.clip_ms} ms of sound to {front_end.frames} frames of {front_end.shape[1]} {kind},
 * quantised for the network's input. Generated; not for editing.
 */
#ifndef {upper}_FRONT_END_H
#define {upper}_FRONT_END_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_SAMPLE_RATE_HZ {front_end.sample_rate_hz}
#define {upper}_CLIP_SAMPLES {front_end.clip_samples}
#define {upper}_WINDOW_SAMPLES {front_end.window_samples}
#define {upper}_HOP_SAMPLES {front_end.hop_samples}
#define {upper}_FRAMES {front_end.frames}
#define {upper}_FEATURES_A_FRAME {front_end.shape[1]}
#define {upper}_FEATURES_SCRATCH_FLOATS {scratch_floats(front_end)}

/* {upper}_CLIP_SAMPLES samples to the network's input ({name}_input). The clip's loudness does not matter.
 * scratch: {upper}_FEATURES_SCRATCH_FLOATS floats. */
void {name}_features(const int16_t *samples, int8_t *input, float *scratch);

/* {upper}_WINDOW_SAMPLES samples to the {upper}_FEATURES_A_FRAME features of one frame. loudness: 1 divided by the
 * clip's largest sample. */
void {name}_frame(const int16_t *samples, float loudness, int8_t *features, float *scratch);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _source(front_end: FrontEnd, port: Port, name: str) -> str:
    position = band_position(front_end)
    inside = np.flatnonzero((position > 0) & (position < front_end.mel_bands + 1))
    bins = int(inside[-1]) + 1
    band = np.clip(np.floor(position[:bins]), 0, front_end.mel_bands)
    rise = np.clip(position[:bins] - band, 0, 1)
    angles = -2 * np.pi * np.arange(front_end.fft_size // 2) / front_end.fft_size
    tables = {
        "window": hann_window(front_end)[: front_end.window_samples // 2 + 1],
        "twiddles": np.stack([np.cos(angles), np.sin(angles)], axis=1),
        "rise": rise,
    }
    if front_end.kind == "mfcc":
        tables["transform"] = dct_matrix(front_end).T
    transform = "transform" if front_end.kind == "mfcc" else "0"
    return "\n".join(
        [
            "/* SPDX-License-Identifier: MIT-0\n *\n * Tables of the front end. Generated; not for editing.\n */",
            f'#include "{name}_front_end.h"\n\n#include "{name}_features.h"\n',
            *(_floats(symbol, table) for symbol, table in tables.items()),
            _bytes("band", band),
            f"static const {name}_features_params params = {{",
            "    .window = window,",
            "    .twiddles = twiddles,",
            "    .band = band,",
            "    .rise = rise,",
            f"    .transform = {transform},",
            f"    .window_samples = {front_end.window_samples},",
            f"    .hop_samples = {front_end.hop_samples},",
            f"    .frames = {front_end.frames},",
            f"    .fft_size = {front_end.fft_size},",
            f"    .bins = {bins},",
            f"    .mel_bands = {front_end.mel_bands},",
            f"    .coefficients = {front_end.shape[1]},",
            f"    .log_floor = {_literal(front_end.log_floor)},",
            f"    .steps = {_literal(1 / port.scale)},",
            f"    .zero_point = {port.zero_point},",
            "};\n",
            f"void {name}_features(const int16_t *samples, int8_t *input, float *scratch)",
            "{",
            f"    {name}_features_clip(&params, samples, {name.upper()}_CLIP_SAMPLES, input, scratch);",
            "}\n",
            f"void {name}_frame(const int16_t *samples, float loudness, int8_t *features, float *scratch)",
            "{",
            f"    {name}_features_frame(&params, samples, loudness, features, scratch);",
            "}\n",
        ]
    )


def _floats(symbol: str, table: NDArray[np.floating]) -> str:
    texts = [_literal(float(np.float32(value))) for value in np.ravel(table)]
    body = ",\n".join("    " + ", ".join(texts[i : i + 6]) for i in range(0, len(texts), 6))
    return f"static const float {symbol}[{len(texts)}] = {{\n{body}\n}};"


def _bytes(symbol: str, table: NDArray[np.floating]) -> str:
    texts = [str(int(value)) for value in table]
    body = ",\n".join("    " + ", ".join(texts[i : i + 18]) for i in range(0, len(texts), 18))
    return f"static const uint8_t {symbol}[{len(texts)}] = {{\n{body}\n}};"


def _literal(value: float) -> str:
    """A float constant that reads back as the same float."""
    text = f"{value:.9g}"
    return f"{text if any(c in text for c in '.en') else text + '.0'}f"
