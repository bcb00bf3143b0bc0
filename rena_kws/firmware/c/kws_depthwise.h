/* SPDX-License-Identifier: MIT-0
 *
 * Depthwise 2-D convolution: output channel c reads input channel c / channel_multiplier only. Tensors are NHWC.
 */
#ifndef KWS_DEPTHWISE_H
#define KWS_DEPTHWISE_H

#include <stdint.h>

typedef struct {
    const int8_t *weights;       /* [kernel_height][kernel_width][output_channels] */
    const int32_t *bias;         /* [output_channels], in units of the accumulator */
    const int32_t *multiplier;   /* [output_channels], accumulator to output units, Q31 */
    const int8_t *shift;         /* [output_channels], power of two, left if positive */
    int32_t batches;             /* images */
    int32_t input_height;        /* pixels */
    int32_t input_width;         /* pixels */
    int32_t input_channels;      /* elements of a pixel */
    int32_t input_zero_point;    /* input units */
    int32_t channel_multiplier;  /* output channels for each input channel */
    int32_t kernel_height;       /* taps */
    int32_t kernel_width;        /* taps */
    int32_t stride_height;       /* pixels */
    int32_t stride_width;        /* pixels */
    int32_t dilation_height;     /* pixels from tap to tap */
    int32_t dilation_width;      /* pixels from tap to tap */
    int32_t pad_top;             /* pixels */
    int32_t pad_left;            /* pixels */
    int32_t output_height;       /* pixels */
    int32_t output_width;        /* pixels */
    int32_t output_zero_point;   /* output units */
    int32_t output_min;          /* output units, from the activation */
    int32_t output_max;          /* output units, from the activation */
} kws_depthwise_params;

/* input and output must not overlap. */
void kws_depthwise(const kws_depthwise_params *params, const int8_t *input, int8_t *output);

#endif
