/* SPDX-License-Identifier: MIT-0
 *
 * A convolution is a dense layer over receptive fields: gather each field into a row, padding included, then multiply.
 * Padding holds the input's zero point, so the offset that is folded into the bias holds at the borders as well.
 */
#include "kws_conv2d.h"

#include <string.h>

/* One kernel row of a receptive field: kernel_width pixels of image row y from column x on. */
static void gather_row(const kws_conv2d_params *params, const int8_t *image, int32_t y, int32_t x, int8_t *row)
{
    const int32_t channels = params->input_channels;
    const int32_t span = params->kernel_width * channels;
    if (y < 0 || y >= params->input_height) {
        memset(row, params->input_zero_point, (size_t)span);
        return;
    }
    const int8_t *line = image + y * params->input_width * channels;
    const int32_t last = x + (params->kernel_width - 1) * params->dilation_width;
    if (params->dilation_width == 1 && x >= 0 && last < params->input_width) {
        memcpy(row, line + x * channels, (size_t)span);
        return;
    }
    for (int32_t tap = 0; tap < params->kernel_width; tap++, x += params->dilation_width, row += channels) {
        if (x < 0 || x >= params->input_width) {
            memset(row, params->input_zero_point, (size_t)channels);
        } else {
            memcpy(row, line + x * channels, (size_t)channels);
        }
    }
}

void kws_conv2d(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    const int32_t span = params->kernel_width * params->input_channels;
    const int32_t pixels = params->output_height * params->output_width;
    for (int32_t batch = 0; batch < params->batches; batch++) {
        int32_t patches = 0;
        for (int32_t pixel = 0; pixel < pixels; pixel++) {
            const int32_t y = pixel / params->output_width * params->stride_height - params->pad_top;
            const int32_t x = pixel % params->output_width * params->stride_width - params->pad_left;
            int8_t *patch = scratch + patches * params->dense.depth;
            for (int32_t tap = 0; tap < params->kernel_height; tap++) {
                gather_row(params, input, y + tap * params->dilation_height, x, patch + tap * span);
            }
            patches++;
            if (patches == KWS_CONV2D_PATCHES || pixel + 1 == pixels) {
                kws_dense(&params->dense, patches, scratch, output);
                output += patches * params->dense.channels;
                patches = 0;
            }
        }
        input += params->input_height * params->input_width * params->input_channels;
    }
}
