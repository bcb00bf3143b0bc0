/* SPDX-License-Identifier: MIT-0
 *
 * Average and max pooling over windows; padding takes no part in either. Tensors are NHWC.
 */
#ifndef KWS_POOL_H
#define KWS_POOL_H

#include <stdint.h>

#include "kws_window.h"

typedef struct {
    int32_t batches;        /* images */
    kws_window window;
    int32_t channels;       /* elements of a pixel */
    int32_t output_min;     /* output units, from the activation */
    int32_t output_max;     /* output units, from the activation */
} kws_pool_params;

/* Scale and zero point of input and output are the same. The output may be the input itself where window.pad_top and
 * window.pad_left are 0, and must not overlap it otherwise. */
void kws_average_pool(const kws_pool_params *params, const int8_t *input, int8_t *output);
void kws_max_pool(const kws_pool_params *params, const int8_t *input, int8_t *output);

#endif
