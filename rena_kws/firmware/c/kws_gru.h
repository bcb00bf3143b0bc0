/* SPDX-License-Identifier: MIT-0
 *
 * A GRU layer (reset after the product) that gives its last state. gru_reference.py defines every rounding.
 */
#ifndef KWS_GRU_H
#define KWS_GRU_H

#include <stdint.h>

enum { KWS_GRU_UPDATE, KWS_GRU_RESET, KWS_GRU_CANDIDATE, KWS_GRU_GATES };

#define KWS_GRU_POINTS 257 /* of a gate's function, Q0.15, at -8, -8 + 1/16, ... 8 */

/* One of the two products of all gates. */
typedef struct {
    const int8_t *weights;             /* [units][gates][depth] */
    const int32_t *bias;               /* [units][gates], in units of the sum; zero point of what is read folded in */
    int32_t depth;
    int32_t multiplier[KWS_GRU_GATES]; /* sum to Q3.12, Q31 */
    int32_t shift[KWS_GRU_GATES];      /* beside it, power of two, left if positive */
} kws_gru_products;

typedef struct {
    int32_t steps;
    int32_t units;
    kws_gru_products from_input;
    kws_gru_products from_state;
    const int16_t *sigmoid;            /* KWS_GRU_POINTS */
    const int16_t *tanh;               /* KWS_GRU_POINTS */
} kws_gru_params;

/* input: [steps][depth of from_input]; output: [units], not over the input; scratch: 2 bytes a unit, aligned to 2. */
void kws_gru(const kws_gru_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

#endif
