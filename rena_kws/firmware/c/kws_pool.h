/* SPDX-License-Identifier: MIT-0
 *
 * Average and max pooling over windows; padding takes no part in either. Tensors are NHWC.
 */
#ifndef KWS_POOL_H
#define KWS_POOL_H

#include <stdint.h>

typedef struct {
    int32_t batches;        /* images */
    int32_t input_height;   /* pixels */
    int32_t input_width;    /* pixels */
    int32_t channels;       /* elements of a pixel */
    int32_t window_height;  /* pixels */
    int32_t window_width;   /* pixels */
    int32_t stride_height;  /* pixels */
    int32_t stride_width;   /* pixels */
    int32_t pad_top;        /* pixels */
    int32_t pad_left;       /* pixels */
    int32_t output_height;  /* pixels */
    int32_t output_width;   /* pixels */
    int32_t output_min;     /* output units, from the activation */
    int32_t output_max;     /* output units, from the activation */
} kws_pool_params;

/* input and output must not overlap; their scale and zero point are the same. */
void kws_average_pool(const kws_pool_params *params, const int8_t *input, int8_t *output);
void kws_max_pool(const kws_pool_params *params, const int8_t *input, int8_t *output);

#endif
