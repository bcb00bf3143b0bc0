/* SPDX-License-Identifier: MIT-0
 *
 * Any function of one int8 value: requantisation, ReLU, logistic. The generator computed its 256 values.
 */
#ifndef KWS_LOOKUP_H
#define KWS_LOOKUP_H

#include <stdint.h>

typedef struct {
    const int8_t *table; /* [256], output units, for inputs -128 to 127 */
    int32_t length;      /* elements */
} kws_lookup_params;

/* The output may be the input itself. */
void kws_lookup(const kws_lookup_params *params, const int8_t *input, int8_t *output);

#endif
