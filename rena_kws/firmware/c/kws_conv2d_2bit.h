/* SPDX-License-Identifier: MIT-0
 *
 * kws_conv2d for weights of 2 bits, packed as kws_weights.h says. Same parameters but for `dense.weights`.
 */
#ifndef KWS_CONV2D_2BIT_H
#define KWS_CONV2D_2BIT_H

#include "kws_conv2d.h"
#include "kws_dense_2bit.h"

void kws_conv2d_2bit(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_conv2d_portable_2bit(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

#endif
