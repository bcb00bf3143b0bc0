/* SPDX-License-Identifier: MIT-0
 *
 * Each input channel is first copied to a plane of its own, with its padding around it: no tap has to ask whether it lies
 * in the image, and the output may take the input's place. With the DSP extension kws_depthwise_dsp.c does the work.
 */
#include "kws_depthwise.h"

#include <string.h>

#include "kws_depthwise_dsp.h"
#include "kws_dsp.h"

/* One channel to [2 * plane_lines][plane_width]. */
static void copy_plane(const kws_depthwise_params *params, const int8_t *channel, int8_t *plane)
{
    const int32_t width = params->plane_width;
    const int32_t channels = params->input_channels;
    memset(plane, params->input_zero_point, (size_t)(2 * params->plane_lines * width));
    plane += params->window.pad_top * width + params->window.pad_left;
    for (int32_t y = 0; y < params->window.input_height; y++, plane += width) {
        for (int32_t x = 0; x < params->window.input_width; x++, channel += channels) {
            plane[x] = *channel;
        }
    }
}

/* The taps of one window: `rows` rows of three side by side. */
static int32_t dot_three(const int8_t *x, const int8_t *w, int32_t rows, int32_t pitch, int32_t sum)
{
    for (; rows > 0; rows--, x += pitch, w += 3) {
        sum += x[0] * w[0];
        sum += x[1] * w[1];
        sum += x[2] * w[2];
    }
    return sum;
}

static int32_t dot_any(const kws_depthwise_params *params, const int8_t *x, const int8_t *w, int32_t pitch, int32_t sum)
{
    for (int32_t row = 0; row < params->window.height; row++, x += pitch) {
        const int8_t *tap = x;
        for (int32_t column = params->window.width; column > 0; column--, tap += params->window.dilation_width) {
            sum += *tap * *w++;
        }
    }
    return sum;
}

/* One output channel from its input's plane; `output` holds `step` channels a pixel. */
static void convolve_plane(const kws_depthwise_params *params, const int8_t *plane, int32_t channel, int8_t *output,
                           int32_t step)
{
    const kws_channels *record = params->records + channel / 2;
    const int32_t bias = record->bias[channel % 2];
    const int32_t multiplier = record->multiplier[channel % 2], adjustment = record->adjustment[channel % 2];
    const int8_t *weights = params->weights + channel * params->window.height * params->window.width;
    const int32_t tap_row = params->window.dilation_height * params->plane_width;
    const int32_t row_step = params->window.stride_height * params->plane_width;
    const int three = params->window.width == 3 && params->window.dilation_width == 1;
    for (int32_t row = 0; row < params->window.output_height; row++, plane += row_step) {
        const int8_t *window = plane;
        for (int32_t column = 0; column < params->window.output_width; column++, window += params->window.stride_width) {
            const int32_t sum = three ? dot_three(window, weights, params->window.height, tap_row, bias)
                                      : dot_any(params, window, weights, tap_row, bias);
            *output = kws_requantize(&params->output, multiplier, adjustment, sum);
            output += step;
        }
    }
}

void kws_depthwise_portable(const kws_depthwise_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    const int32_t output_channels = params->input_channels * params->channel_multiplier;
    for (int32_t batch = 0; batch < params->batches; batch++) {
        for (int32_t channel = 0; channel < params->input_channels; channel++) {
            copy_plane(params, input + channel, scratch);
            for (int32_t i = 0; i < params->channel_multiplier; i++) {
                const int32_t to = channel * params->channel_multiplier + i;
                convolve_plane(params, scratch, to, output + to, output_channels);
            }
        }
        input += params->window.input_height * params->window.input_width * params->input_channels;
        output += params->window.output_height * params->window.output_width * output_channels;
    }
}

void kws_depthwise(const kws_depthwise_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
#if KWS_DSP
    kws_depthwise_dsp(params, input, output, scratch);
#else
    kws_depthwise_portable(params, input, output, scratch);
#endif
}
