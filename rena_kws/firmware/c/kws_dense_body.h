/* SPDX-License-Identifier: MIT-0
 *
 * The dense layer for weights of KWS_WEIGHT_BITS, compiled once a width: kws_dense.c and its kin. Blocks of rows by two
 * channels, since single dot products need two loads for each product. Portable: two rows. With the DSP extension
 * kws_dense_dsp_body.h takes four.
 */
#include "kws_dense.h"

#include <string.h>

#include "kws_dense_dsp.h"
#include "kws_dense_v6m.h"
#include "kws_dsp.h"
#include "kws_weights.h"

typedef struct {
    int32_t sum[2][2]; /* [row][channel], in units of the accumulator; of the codes while they are added up */
} block;

/* Adds the products of `rows` rows (1 or 2), `pitch` apart, with a pair of channels. */
static inline void multiply(const int8_t *x0, int32_t rows, const int8_t *weights, int32_t depth, int32_t pitch,
                            block *sums)
{
    const int8_t *x1 = x0 + pitch;
    const int8_t *const end = x0 + depth / KWS_UNIT * KWS_UNIT;
    int32_t a0 = sums->sum[0][0], b0 = sums->sum[0][1];
    int32_t a1 = sums->sum[1][0], b1 = sums->sum[1][1];
    for (; x0 != end; x0 += KWS_UNIT, x1 += KWS_UNIT, weights += KWS_UNIT_BYTES) {
        for (int i = 0; i < KWS_UNIT; i++) {
            const int8_t *pair = kws_bytes_of(weights, i);
            a0 += x0[i] * kws_weight(pair[0], i);
            b0 += x0[i] * kws_weight(pair[1], i);
            if (rows == 2) {
                a1 += x1[i] * kws_weight(pair[0], i);
                b1 += x1[i] * kws_weight(pair[1], i);
            }
        }
    }
    for (int32_t i = 0; i < depth % KWS_UNIT; i++) {
        const int8_t *pair = kws_bytes_of(weights, i);
        a0 += x0[i] * kws_weight(pair[0], i);
        b0 += x0[i] * kws_weight(pair[1], i);
        if (rows == 2) {
            a1 += x1[i] * kws_weight(pair[0], i);
            b1 += x1[i] * kws_weight(pair[1], i);
        }
    }
    sums->sum[0][0] = a0;
    sums->sum[0][1] = b0;
    sums->sum[1][0] = a1;
    sums->sum[1][1] = b1;
}

static void multiply_two_rows(const int8_t *rows, const int8_t *weights, int32_t depth, block *sums)
{
#if KWS_V6M
    const int32_t whole = depth / KWS_UNIT * KWS_UNIT;
    if (whole) {
        KWS_SIZED(kws_multiply_v6m)(rows, weights, whole, sums->sum, depth);
    }
    multiply(rows + whole, 2, weights + whole / KWS_UNIT * KWS_UNIT_BYTES, depth - whole, depth, sums);
#else
    multiply(rows, 2, weights, depth, depth, sums);
#endif
}

static void multiply_one_row(const int8_t *row, const int8_t *weights, int32_t depth, block *sums)
{
#if KWS_V6M
    const int32_t whole = depth / KWS_UNIT * KWS_UNIT;
    if (whole) {
        KWS_SIZED(kws_multiply_row_v6m)(row, weights, whole, sums->sum[0]);
    }
    multiply(row + whole, 1, weights + whole / KWS_UNIT * KWS_UNIT_BYTES, depth - whole, 0, sums);
#else
    multiply(row, 1, weights, depth, 0, sums);
#endif
}

static void finish(const kws_requantization *output, const kws_channels *record, int pair, const int32_t *sums,
                   int8_t *to)
{
    to[0] = kws_requantize(output, record->multiplier[0], record->adjustment[0], sums[0]);
    if (pair) {
        to[1] = kws_requantize(output, record->multiplier[1], record->adjustment[1], sums[1]);
    }
}

/* The sums of codes of a row's pair of channels to accumulators. */
static inline void scale(int32_t *sums, const int32_t *bias, const int8_t *steps)
{
    sums[0] = bias[0] + steps[0] * sums[0];
    sums[1] = bias[1] + steps[1] * sums[1];
}

void KWS_SIZED(kws_dense_portable)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                                   int8_t *scratch)
{
    const int32_t depth = params->depth;
    const int32_t channels = params->channels;
    const int32_t pair_bytes = kws_pair_bytes(depth);
    const int in_place = input == output;
    for (int32_t row = 0; row < rows; row += 2, input += 2 * depth, output += 2 * channels) {
        const int8_t *x = input;
        if (in_place) {
            memcpy(scratch, input, (size_t)(row + 1 < rows ? 2 * depth : depth));
            x = scratch;
        }
        const int8_t *weights = params->weights;
        const kws_channels *record = params->records;
        for (int32_t first = 0; first < channels; first += 2, weights += pair_bytes, record++) {
            const int32_t *bias = record->bias;
            const int pair = first + 1 < channels;
            block sums = {{{bias[0], bias[1]}, {bias[0], bias[1]}}};
            if (KWS_PACKED) {
                memset(&sums, 0, sizeof sums);
            }
            if (row + 1 < rows) {
                multiply_two_rows(x, weights, depth, &sums);
                if (KWS_PACKED) {
                    scale(sums.sum[1], bias, weights + pair_bytes - KWS_STEPS_BYTES);
                }
                finish(&params->output, record, pair, sums.sum[1], output + channels + first);
            } else {
                multiply_one_row(x, weights, depth, &sums);
            }
            if (KWS_PACKED) {
                scale(sums.sum[0], bias, weights + pair_bytes - KWS_STEPS_BYTES);
            }
            finish(&params->output, record, pair, sums.sum[0], output + first);
        }
    }
}

void KWS_SIZED(kws_dense)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                          int8_t *scratch)
{
#if KWS_DSP
    KWS_SIZED(kws_dense_dsp)(params, rows, input, output, scratch);
#else
    KWS_SIZED(kws_dense_portable)(params, rows, input, output, scratch);
#endif
}

void KWS_SIZED(kws_dense_few)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                              int8_t *scratch)
{
#if KWS_DSP
    KWS_SIZED(kws_dense_dsp_few)(params, rows, input, output, scratch);
#else
    KWS_SIZED(kws_dense_portable)(params, rows, input, output, scratch);
#endif
}
