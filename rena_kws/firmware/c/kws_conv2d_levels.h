/* SPDX-License-Identifier: MIT-0
 *
 * kws_conv2d for channels that know at most 16 levels, packed as kws_dense_levels.h says. scratch: the unpacked weights,
 * then what kws_conv2d asks for.
 */
#ifndef KWS_CONV2D_LEVELS_H
#define KWS_CONV2D_LEVELS_H

#include "kws_conv2d.h"
#include "kws_dense_levels.h"

void kws_conv2d_levels(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_conv2d_portable_levels(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

#endif
