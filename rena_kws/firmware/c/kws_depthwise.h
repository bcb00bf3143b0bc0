/* SPDX-License-Identifier: MIT-0
 *
 * Depthwise 2-D convolution: output channel c reads input channel c / channel_multiplier only. Tensors are NHWC.
 */
#ifndef KWS_DEPTHWISE_H
#define KWS_DEPTHWISE_H

#include <stdint.h>

#include "kws_quantized.h"
#include "kws_window.h"

#define KWS_DEPTHWISE_PLANES 4 /* input channels that are copied at a time */

typedef struct {
    const int8_t *weights;       /* [output_channels][window.height][window.width] */
    const kws_channels *records; /* [(output_channels + 1) / 2] */
    int32_t batches;             /* images */
    kws_window window;
    int32_t input_channels;      /* elements of a pixel */
    int32_t input_zero_point;    /* input units: what padding contributes */
    int32_t channel_multiplier;  /* output channels for each input channel */
    int32_t plane_lines;         /* pairs of rows of an input channel with its padding */
    int32_t plane_width;         /* pixels of such a row */
    kws_requantization output;
} kws_depthwise_params;

/* scratch: KWS_DEPTHWISE_PLANES * plane_lines * plane_width words, and after them 2 * ((window.height + 2) / 2) *
 * window.width. Word aligned.
 * The output may be the input itself where channel_multiplier is 1 and the output has no more pixels.
 * kws_depthwise: the fast path of the core, for taps side by side (dilation 1), a window.stride_height of 1 or 2 and an
 * output.kind that is not KWS_CLAMPED. */
void kws_depthwise(const kws_depthwise_params *params, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_depthwise_portable(const kws_depthwise_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

#endif
