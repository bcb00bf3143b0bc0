/* SPDX-License-Identifier: MIT-0
 *
 * Softmax over rows. The exponentials of all differences to a row's maximum are a table that the generator computed.
 * Output units are 1/256, zero point -128.
 */
#ifndef KWS_SOFTMAX_H
#define KWS_SOFTMAX_H

#include <stdint.h>

typedef struct {
    const int32_t *exponentials; /* [table_length], exp(-i * input scale * beta), Q31 */
    int32_t table_length;        /* larger differences count as exp = 0 */
    int32_t rows;                /* distributions */
    int32_t depth;               /* elements of a row */
} kws_softmax_params;

/* The output may be the input itself. */
void kws_softmax(const kws_softmax_params *params, const int8_t *input, int8_t *output);

#endif
