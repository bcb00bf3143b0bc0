/* SPDX-License-Identifier: MIT-0
 *
 * Dense layer: every output channel is the dot product of an input row with the channel's weights.
 * A fully connected layer has one row a batch, a 1x1 convolution one a pixel.
 */
#ifndef KWS_DENSE_H
#define KWS_DENSE_H

#include <stdint.h>

typedef struct {
    const int8_t *weights;      /* [channels][depth] */
    const int32_t *bias;        /* [channels], in units of the accumulator, input zero point folded in */
    const int32_t *multiplier;  /* [channels] or [1], accumulator to output units, Q31 */
    const int8_t *shift;        /* beside multiplier, power of two, left if positive */
    int32_t multiplier_step;    /* 1: a multiplier for each channel; 0: one for all */
    int32_t depth;              /* elements of an input row */
    int32_t channels;           /* elements of an output row */
    int32_t output_zero_point;  /* output units */
    int32_t output_min;         /* output units, from the activation */
    int32_t output_max;         /* output units, from the activation */
} kws_dense_params;

/* input: [rows][depth], output: [rows][channels]; they must not overlap. */
void kws_dense(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output);

#endif
