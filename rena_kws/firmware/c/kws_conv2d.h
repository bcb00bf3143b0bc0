/* SPDX-License-Identifier: MIT-0
 *
 * 2-D convolution, any kernel, stride, dilation and padding. Tensors are NHWC.
 */
#ifndef KWS_CONV2D_H
#define KWS_CONV2D_H

#include <stdint.h>

#include "kws_dense.h"
#include "kws_window.h"

typedef struct {
    kws_dense_params dense;    /* depth: window.height * window.width * input_channels; channels: output channels */
    int32_t batches;           /* images */
    kws_window window;
    int32_t input_channels;    /* elements of a pixel */
    int32_t input_zero_point;  /* input units: what padding contributes */
    int32_t padded_height;     /* pixels; 0: the image is read where it is, else copied with its padding around it */
    int32_t padded_width;      /* pixels */
    int32_t ring_blocks;       /* blocks of outputs that wait before they take the input's place; 0: none has to */
} kws_conv2d_params;

/* scratch: KWS_DENSE_ROWS receptive fields of dense.depth bytes, rounded up to words, after them what kws_dense asks for as
 * many rows, then the ring, then the padded image. The output may be the input itself where the ring is long enough for
 * it: a block leaves it when the fields of the last one in it have been read. It must not overlap the input otherwise.
 * kws_conv2d: the fast path of the core; dense.output.kind must not be KWS_CLAMPED. */
void kws_conv2d(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_conv2d_portable(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch);

#endif
