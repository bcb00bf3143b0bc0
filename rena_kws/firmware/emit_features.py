"""A front end and a network's input → the C that makes one of the other on the chip.

The tables come from the functions that training uses (`rena_kws.frontend.features`), so both compute the same. As with
the kernels, the prefix `kws_` of the templates in `front_end/` stands for the network's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Port
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import renamed
from rena_kws.firmware.fixed_features import fixed_tables, half_rows
from rena_kws.frontend.features import band_position, dct_matrix
from rena_kws.frontend.settings import FrontEnd

_TEMPLATES = {
    "front_end": (
        "kws_features.h",
        "kws_features.c",
        "kws_features_fixed.h",
        "kws_features_fixed.c",
        "kws_reversed_bits.h",
    ),
    "c": ("kws_assembly.h", "kws_dsp.h"),
}
"""By folder: what any front end shares, and what it borrows from the kernels."""
_MOST_BANDS = 255


def features_sources(front_end: FrontEnd, port: Port, name: str) -> Mapping[str, str]:
    """File name → text: `NAME_features{,_fixed}.{h,c}`, which any front end shares, in single precision and integers,
    with the headers that they include; and `NAME_front_end.{h,c}`, which chooses between them, with the tables of both.

    `port`: the network's input. Raises `ModelError` where the front end does not make that input, or has an FFT that is
    no power of two, or a setting out of the C's range, or is the micro frontend, which is not written in C here.
    """
    if front_end.kind == "micro_frontend":
        raise ModelError("the micro_frontend is none of the front ends in C, mfcc and log_mel: export it to esphome")
    if int(np.prod(front_end.shape)) != port.size_bytes or port.dtype != "int8":
        raise ModelError(
            f"the front end makes {' x '.join(map(str, front_end.shape))} features, the network reads "
            f"{' x '.join(map(str, port.shape))} of {port.dtype}"
        )
    if front_end.fft_size & (front_end.fft_size - 1) or front_end.fft_size < 8 or front_end.mel_bands > _MOST_BANDS:
        sizes = f"fft_size {front_end.fft_size} and mel_bands {front_end.mel_bands}"
        raise ModelError(f"{sizes}: in C the one is a power of two of at least 8, the other at most {_MOST_BANDS}")
    folder = resources.files("rena_kws.firmware")
    shared = {
        renamed(file, name): renamed((folder / place / file).read_text("utf-8"), name)
        for place, files in _TEMPLATES.items()
        for file in files
    }
    return {
        **shared,
        f"{name}_front_end.h": _header(front_end, name),
        f"{name}_front_end.c": _source(front_end, port, name),
    }


def scratch_words(front_end: FrontEnd) -> int:
    return max(front_end.fft_size, front_end.mel_bands)


def _header(front_end: FrontEnd, name: str) -> str:
    upper = name.upper()
    by_peak = front_end.loudness == "clip_peak"
    loudness = "The clip's loudness does not matter." if by_peak else "The clip counts as loud as it is."
    peak = "the clip's largest sample, or 32768 where none is positive" if by_peak else "32768"
    pieces = -(-front_end.clip_samples // front_end.hop_samples)
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
#define {upper}_PIECES {pieces} /* of a clip, each of a hop, the last one of what is left */
#define {upper}_FRAMES {front_end.frames}
#define {upper}_FEATURES_A_FRAME {front_end.shape[1]}
#define {upper}_MEL_BANDS {front_end.mel_bands}
#define {upper}_FEATURES_SCRATCH_WORDS {scratch_words(front_end)}

/* 1: in integers, for cores without an FPU. 0: in single precision. Define it for all files to choose yourself. */
#ifndef {upper}_FRONT_END_FIXED
#if defined(__ARM_ARCH) && !defined(__ARM_FP)
#define {upper}_FRONT_END_FIXED 1
#else
#define {upper}_FRONT_END_FIXED 0
#endif
#endif

#if {upper}_FRONT_END_FIXED
typedef int32_t {name}_features_word;
#else
typedef float {name}_features_word;
#endif

/* {upper}_CLIP_SAMPLES samples to the network's input ({name}_input). {loudness}
 * scratch: {upper}_FEATURES_SCRATCH_WORDS words. */
void {name}_features(const int16_t *samples, int8_t *input, {name}_features_word *scratch);

/* A frame in two steps: {upper}_WINDOW_SAMPLES samples to {upper}_MEL_BANDS bands, as 16-bit codes, */
void {name}_frame_bands(const int16_t *samples, uint16_t *bands, {name}_features_word *scratch);

/* and those to {upper}_FEATURES_A_FRAME features. peak: {peak}.
 * scratch: {upper}_MEL_BANDS words. */
void {name}_frame_features(const uint16_t *bands, int32_t peak, int8_t *features, {name}_features_word *scratch);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _source(front_end: FrontEnd, port: Port, name: str) -> str:
    position = band_position(front_end)
    inside = np.flatnonzero((position > 0) & (position < front_end.mel_bands + 1))
    bins = int(inside[-1]) + 1
    band = np.clip(np.floor(position[:bins]), 0, front_end.mel_bands).astype(np.uint8)
    rise = np.clip(position[:bins] - band, 0, 1)
    sizes = {
        "window_samples": front_end.window_samples,
        "hop_samples": front_end.hop_samples,
        "frames": front_end.frames,
        "fft_size": front_end.fft_size,
        "unused_bits": 34 - front_end.fft_size.bit_length(),
        "bins": bins,
        "mel_bands": front_end.mel_bands,
        "coefficients": front_end.shape[1],
        "zero_point": port.zero_point,
    }
    window, cosines = _half_window(front_end), _quarter_circle(front_end)
    fixed = fixed_tables(front_end, port, window, cosines, band, rise)
    upper = name.upper()
    return "\n".join(
        [
            "/* SPDX-License-Identifier: MIT-0\n *\n * Tables of the front end. Generated; not for editing.\n */",
            f'#include "{name}_front_end.h"\n',
            _constant("band", band),
            f"\n#if {upper}_FRONT_END_FIXED",
            *_variant(f"{name}_features_fixed", {"band": band, **fixed.tables}, {**sizes, **fixed.members}),
            "#else",
            *_variant(
                f"{name}_features",
                {"band": band, **_float_tables(front_end, window, cosines, rise)},
                {**sizes, "log_floor": _literal(front_end.log_floor), "steps": _literal(1 / port.scale)},
            ),
            "#endif",
            _functions(front_end, name),
        ]
    )


def _half_window(front_end: FrontEnd) -> NDArray[np.float64]:
    """In double precision; training's is this rounded to single."""
    n = front_end.window_samples
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n // 2 + 1) / n)


def _quarter_circle(front_end: FrontEnd) -> NDArray[np.float64]:
    return np.cos(2 * np.pi * np.arange(front_end.fft_size // 4 + 1) / front_end.fft_size)


def _float_tables(
    front_end: FrontEnd, window: NDArray[np.float64], cosines: NDArray[np.float64], rise: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    tables = {"window": window, "cosines": cosines, "rise": rise}
    if front_end.kind == "mfcc":
        tables["transform"] = half_rows(dct_matrix(front_end).T.astype(np.float64))
    return {member: table.astype(np.float32) for member, table in tables.items()}


def _variant(prefix: str, tables: Mapping[str, NDArray[Any]], members: Mapping[str, int | str]) -> list[str]:
    """The tables of one kind of arithmetic, its record of parameters, and the functions that compute a frame by it."""
    pointers = {table: table for table in tables} | ({} if "transform" in tables else {"transform": "0"})
    return [
        f'#include "{prefix}.h"\n',
        *(_constant(member, table) for member, table in tables.items() if member != "band"),
        f"static const {prefix}_params params = {{",
        *(f"    .{member} = {value}," for member, value in {**pointers, **members}.items()),
        "};",
        f"#define COMPUTE_BANDS {prefix}_bands",
        f"#define COMPUTE_FEATURES {prefix}_of_bands",
    ]


_CLIP_PEAK = """    int32_t peak = 0;
    for (int32_t i = 0; i < {upper}_CLIP_SAMPLES; i++) {{
        peak = samples[i] > peak ? samples[i] : peak;
    }}
    peak = peak > 0 ? peak : 32768;
"""


def _functions(front_end: FrontEnd, name: str) -> str:
    upper = name.upper()
    peak = _CLIP_PEAK.format(upper=upper) if front_end.loudness == "clip_peak" else "    const int32_t peak = 32768;\n"
    return f"""
void {name}_frame_bands(const int16_t *samples, uint16_t *bands, {name}_features_word *scratch)
{{
    COMPUTE_BANDS(&params, samples, bands, scratch);
}}

void {name}_frame_features(const uint16_t *bands, int32_t peak, int8_t *features, {name}_features_word *scratch)
{{
    COMPUTE_FEATURES(&params, bands, peak, features, scratch);
}}

void {name}_features(const int16_t *samples, int8_t *input, {name}_features_word *scratch)
{{
    uint16_t bands[{upper}_MEL_BANDS];
{peak}    for (int32_t frame = 0; frame < {upper}_FRAMES; frame++) {{
        {name}_frame_bands(samples + frame * {upper}_HOP_SAMPLES, bands, scratch);
        {name}_frame_features(bands, peak, input + frame * {upper}_FEATURES_A_FRAME, scratch);
    }}
}}
"""


def _constant(symbol: str, table: NDArray[Any]) -> str:
    is_float = table.dtype.kind == "f"
    texts = [_literal(float(value)) if is_float else str(int(value)) for value in np.ravel(table)]
    per_line = 6 if table.itemsize == 4 else 12
    body = ",\n".join("    " + ", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line))
    return f"static const {'float' if is_float else f'{table.dtype}_t'} {symbol}[{len(texts)}] = {{\n{body}\n}};"


def _literal(value: float) -> str:
    """A float constant that reads back as the same float."""
    text = f"{value:.9g}"
    return f"{text if any(c in text for c in '.en') else text + '.0'}f"
