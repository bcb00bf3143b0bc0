/* SPDX-License-Identifier: MIT-0
 *
 * kws_dense for cores with the DSP extension; same parameters, output.kind not KWS_CLAMPED. For the files of one width of
 * weights: KWS_WEIGHT_BITS and KWS_SIZED are defined.
 */
#ifndef KWS_DENSE_DSP_H
#define KWS_DENSE_DSP_H

#include "kws_dense.h"
#include "kws_dsp.h"
#include "kws_weights.h"

#if KWS_DSP
void KWS_SIZED(kws_dense_dsp)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                              int8_t *scratch);
void KWS_SIZED(kws_dense_dsp_few)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                                  int8_t *scratch);

/* KWS_DENSE_ROWS rows that lie unpacked in `words`: [units of depth][elements 0 2 or 1 3][row], 16 bits an element. */
void KWS_SIZED(kws_dense_dsp_block)(const kws_dense_params *params, const uint32_t *words, int8_t *output);

/* A part of one row to its place among four in such words; `count` is a multiple of four. */
static inline void kws_unpack(const int8_t *from, int32_t count, uint32_t *words)
{
    const int8_t *const end = from + count;
    for (; end - from >= 16; from += 16, words += 8 * KWS_DENSE_ROWS) {
        const uint32_t a = kws_load_four(from), b = kws_load_four(from + 4);
        const uint32_t c = kws_load_four(from + 8), d = kws_load_four(from + 12);
        words[0] = (uint32_t)kws_even(a);
        words[KWS_DENSE_ROWS] = (uint32_t)kws_odd(a);
        words[2 * KWS_DENSE_ROWS] = (uint32_t)kws_even(b);
        words[3 * KWS_DENSE_ROWS] = (uint32_t)kws_odd(b);
        words[4 * KWS_DENSE_ROWS] = (uint32_t)kws_even(c);
        words[5 * KWS_DENSE_ROWS] = (uint32_t)kws_odd(c);
        words[6 * KWS_DENSE_ROWS] = (uint32_t)kws_even(d);
        words[7 * KWS_DENSE_ROWS] = (uint32_t)kws_odd(d);
    }
    for (; from != end; from += 4, words += 2 * KWS_DENSE_ROWS) {
        const uint32_t four = kws_load_four(from);
        words[0] = (uint32_t)kws_even(four);
        words[KWS_DENSE_ROWS] = (uint32_t)kws_odd(four);
    }
}
#endif

#endif
