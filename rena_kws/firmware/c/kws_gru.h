/* SPDX-License-Identifier: MIT-0
 *
 * A GRU layer (reset after the product) that gives its last state. gru_reference.py defines every rounding.
 */
#ifndef KWS_GRU_H
#define KWS_GRU_H

#include <stdint.h>

enum { KWS_GRU_UPDATE, KWS_GRU_RESET, KWS_GRU_CANDIDATE, KWS_GRU_GATES };

#define KWS_GRU_BLOCK 4    /* elements that are multiplied at a time */
#define KWS_GRU_POINTS 257 /* of a gate's function, Q0.15, at -8, -8 + 1/16, ... 8 */

/* A sum in Q3.12: ((sum * 2^lift * multiplier / 2^32, rounded down) + half) / 2^shift, rounded down and saturated. */
typedef struct {
    int32_t lift;
    int32_t multiplier;
    int32_t half;
    int32_t shift;
} kws_gru_scale;

/* One of the two products of all gates; weights are filled up with zeros. */
typedef struct {
    const int8_t *weights;  /* [units][depth / KWS_GRU_BLOCK][gates][KWS_GRU_BLOCK] */
    const int32_t *bias;    /* [units][gates], in units of the sum; zero point of what is read folded in */
    int32_t depth;          /* elements of what is read, rounded up to blocks */
    kws_gru_scale update;
    kws_gru_scale reset;
    kws_gru_scale candidate;
} kws_gru_products;

typedef struct {
    int32_t steps;
    int32_t features;
    int32_t units;
    kws_gru_products from_input;
    kws_gru_products from_state;
    const int16_t *sigmoid;  /* KWS_GRU_POINTS */
    const int16_t *tanh;     /* KWS_GRU_POINTS */
} kws_gru_params;

/* input: [steps][features]; output: [units], not over the input. scratch, word aligned: 3 bytes a unit, in whole blocks,
 * and, unless the features are whole blocks, a byte for each of the blocks that hold them. */
void kws_gru(const kws_gru_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

#endif
