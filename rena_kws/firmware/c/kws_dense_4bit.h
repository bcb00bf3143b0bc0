/* SPDX-License-Identifier: MIT-0
 *
 * kws_dense for weights of 4 bits, packed as kws_weights.h says. Same parameters but for `weights`.
 */
#ifndef KWS_DENSE_4BIT_H
#define KWS_DENSE_4BIT_H

#include "kws_dense.h"

void kws_dense_4bit(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_dense_few_4bit(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                        int8_t *scratch);
void kws_dense_portable_4bit(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                             int8_t *scratch);

#endif
