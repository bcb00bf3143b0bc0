/* SPDX-License-Identifier: MIT-0
 *
 * 2-D convolution, any kernel, stride, dilation and padding. Tensors are NHWC.
 */
#ifndef KWS_CONV2D_H
#define KWS_CONV2D_H

#include <stdint.h>

#include "kws_dense.h"

#define KWS_CONV2D_PATCHES 2 /* receptive fields gathered before they are multiplied: what kws_dense takes at a time */

typedef struct {
    kws_dense_params dense;    /* depth: kernel_height * kernel_width * input_channels; channels: output channels */
    int32_t batches;           /* images */
    int32_t input_height;      /* pixels */
    int32_t input_width;       /* pixels */
    int32_t input_channels;    /* elements of a pixel */
    int32_t input_zero_point;  /* input units: what padding contributes */
    int32_t kernel_height;     /* taps */
    int32_t kernel_width;      /* taps */
    int32_t stride_height;     /* pixels */
    int32_t stride_width;      /* pixels */
    int32_t dilation_height;   /* pixels from tap to tap */
    int32_t dilation_width;    /* pixels from tap to tap */
    int32_t pad_top;           /* pixels */
    int32_t pad_left;          /* pixels */
    int32_t output_height;     /* pixels */
    int32_t output_width;      /* pixels */
} kws_conv2d_params;

/* scratch: KWS_CONV2D_PATCHES * dense.depth bytes. Nothing may overlap. */
void kws_conv2d(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

#endif
