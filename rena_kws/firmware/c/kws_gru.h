/* SPDX-License-Identifier: MIT-0
 *
 * A GRU layer (reset after the product) that gives the state after each step. gru_reference.py defines every rounding.
 */
#ifndef KWS_GRU_H
#define KWS_GRU_H

#include <stdint.h>

enum { KWS_GRU_UPDATE, KWS_GRU_RESET, KWS_GRU_CANDIDATE, KWS_GRU_GATES };

#define KWS_GRU_POINTS 257 /* of a gate's function, Q0.15, at -8, -8 + 1/16, ... 8 */

/* One of the two products of a gate: units x depth weights, sums to Q3.12. */
typedef struct {
    const int8_t *weights;  /* units rows of `depth` */
    const int32_t *bias;    /* units of the sum; zero point of what is multiplied folded in */
    int32_t multiplier;     /* sum to Q3.12, Q31 */
    int32_t shift;          /* beside it, power of two, left if positive */
} kws_gru_product;

typedef struct {
    int32_t steps;
    int32_t features;
    int32_t units;
    kws_gru_product from_input[KWS_GRU_GATES];
    kws_gru_product from_state[KWS_GRU_GATES];
    const int16_t *sigmoid;  /* KWS_GRU_POINTS */
    const int16_t *tanh;     /* KWS_GRU_POINTS */
} kws_gru_params;

/* input: steps x features; output: steps x units, not over the input; state: `units` values of scratch, Q0.15. */
void kws_gru(const kws_gru_params *params, const int8_t *input, int16_t *state, int8_t *output);

#endif
