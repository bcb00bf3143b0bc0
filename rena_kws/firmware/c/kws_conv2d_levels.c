/* SPDX-License-Identifier: MIT-0
 *
 * The weights are unpacked for all output pixels together.
 */
#include "kws_conv2d_levels.h"

typedef void (*convolution)(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

static inline void unpacked(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch,
                            convolution convolve)
{
    kws_conv2d_params plain = *params;
    plain.dense.weights = scratch;
    kws_unpack_levels(&params->dense, 0, params->dense.channels, scratch);
    convolve(&plain, input, output, scratch + kws_unpacked_bytes(&params->dense, params->dense.channels));
}

void kws_conv2d_levels(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    unpacked(params, input, output, scratch, kws_conv2d);
}

void kws_conv2d_portable_levels(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    unpacked(params, input, output, scratch, kws_conv2d_portable);
}
