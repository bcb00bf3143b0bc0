/* SPDX-License-Identifier: MIT-0
 *
 * Mean over neighbouring axes: the input is seen as [outer][reduced][inner], the output as [outer][inner].
 */
#ifndef KWS_MEAN_H
#define KWS_MEAN_H

#include <stdint.h>

typedef struct {
    int32_t outer;              /* elements before the reduced axes */
    int32_t reduced;            /* elements to average */
    int32_t inner;              /* elements after the reduced axes */
    int32_t input_zero_point;   /* input units */
    int32_t multiplier;         /* sum to output units, the division by `reduced` included, Q31 */
    int32_t shift;              /* beside multiplier, power of two, left if positive */
    int32_t output_zero_point;  /* output units */
} kws_mean_params;

/* input and output must not overlap. */
void kws_mean(const kws_mean_params *params, const int8_t *input, int8_t *output);

#endif
