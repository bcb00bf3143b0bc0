/* SPDX-License-Identifier: MIT-0
 *
 * Dense layer: every output channel is the dot product of an input row with the channel's weights.
 * A fully connected layer has one row a batch, a 1x1 convolution one a pixel.
 */
#ifndef KWS_DENSE_H
#define KWS_DENSE_H

#include <stdint.h>

#include "kws_quantized.h"

#define KWS_DENSE_ROWS 4 /* rows that are multiplied at a time */

/* Two channels at a time, four elements at a time: channel a at even, channel b at odd places, elements 0 2 1 3, so that
 * one SXTB16 of a word gives two weights of a channel. Filled up with zeros. Kernels for packed weights (kws_weights.h,
 * kws_dense_levels.h) read another order. */
typedef struct {
    const int8_t *weights;        /* [(channels + 1) / 2][(depth + 3) / 4][a0 b0 a2 b2 a1 b1 a3 b3] */
    const kws_channels *records;  /* [(channels + 1) / 2] */
    int32_t depth;                /* elements of an input row */
    int32_t channels;             /* elements of an output row */
    kws_requantization output;
} kws_dense_params;

/* input: [rows][depth], output: [rows][channels]. They must not overlap, but output may be input where channels <= depth
 * and rows >= KWS_DENSE_ROWS.
 * scratch: KWS_DENSE_ROWS * 2 bytes an element of a row, the row rounded up to four, or to eight for weights of 2 bits;
 * with fewer than KWS_DENSE_ROWS rows one byte an element, and none where the depth needs no rounding. Word aligned.
 * kws_dense and kws_dense_few: the fast path of the core; output.kind must not be KWS_CLAMPED. kws_dense_few: fewer than
 * KWS_DENSE_ROWS rows, not in place, and without the code for more in the image. */
void kws_dense(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_dense_few(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_dense_portable(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                        int8_t *scratch);

#endif
