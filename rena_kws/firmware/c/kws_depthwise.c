/* SPDX-License-Identifier: MIT-0
 *
 * For each pixel the taps inside the image are found once; then four channels go over them together, since channels
 * lie side by side in input and weights.
 */
#include "kws_depthwise.h"

#include "kws_dsp.h"
#include "kws_quantized.h"

/* The taps of one output pixel that fall inside the image. */
typedef struct {
    const int8_t *input;   /* first pixel under a tap */
    const int8_t *weights; /* that tap */
    int32_t rows;          /* taps down */
    int32_t columns;       /* taps across */
} window;

/* First tap at or after 0, when tap 0 lies at position `start` and taps are `dilation` apart. */
static inline int32_t first_tap(int32_t start, int32_t dilation)
{
    return start < 0 ? (dilation - 1 - start) / dilation : 0;
}

/* One past the last of `taps` taps that lies before `size`. */
static inline int32_t end_tap(int32_t start, int32_t dilation, int32_t taps, int32_t size)
{
    const int32_t inside = start < size ? (size - start + dilation - 1) / dilation : 0;
    return inside < taps ? inside : taps;
}

static window window_at(const kws_depthwise_params *params, const int8_t *image, int32_t y, int32_t x)
{
    const int32_t output_channels = params->input_channels * params->channel_multiplier;
    const int32_t top = first_tap(y, params->dilation_height);
    const int32_t left = first_tap(x, params->dilation_width);
    const int32_t bottom = end_tap(y, params->dilation_height, params->kernel_height, params->input_height);
    const int32_t right = end_tap(x, params->dilation_width, params->kernel_width, params->input_width);
    const int32_t first_y = y + top * params->dilation_height;
    const int32_t first_x = x + left * params->dilation_width;
    window result = {image, params->weights, 0, 0};
    if (bottom > top && right > left) {
        result.input += (first_y * params->input_width + first_x) * params->input_channels;
        result.weights += (top * params->kernel_width + left) * output_channels;
        result.rows = bottom - top;
        result.columns = right - left;
    }
    return result;
}

static inline int8_t finish(const kws_depthwise_params *params, int32_t channel, int32_t sum)
{
    const int32_t scaled = kws_scale(sum, params->multiplier[channel], params->shift[channel]);
    return (int8_t)kws_clamp(scaled + params->output_zero_point, params->output_min, params->output_max);
}

/* One tap of four channels: sum[c] += (x[c] - zero_point) * w[c]. */
static inline void add_tap(int32_t sum[4], const int8_t *x, const int8_t *w, int32_t zero_point)
{
#if KWS_DSP
    const uint32_t x_word = kws_load_four(x);
    const uint32_t w_word = kws_load_four(w);
    const int16x2_t offset = (int16x2_t)((uint32_t)zero_point << 16 | ((uint32_t)zero_point & 0xFFFFU));
    const int32_t x_even = (int32_t)__ssub16(kws_even(x_word), offset);
    const int32_t x_odd = (int32_t)__ssub16(kws_odd(x_word), offset);
    const int32_t w_even = (int32_t)kws_even(w_word);
    const int32_t w_odd = (int32_t)kws_odd(w_word);
    sum[0] = __smlabb(x_even, w_even, sum[0]);
    sum[1] = __smlabb(x_odd, w_odd, sum[1]);
    sum[2] = __smlatt(x_even, w_even, sum[2]);
    sum[3] = __smlatt(x_odd, w_odd, sum[3]);
#else
    for (int32_t c = 0; c < 4; c++) {
        sum[c] += (x[c] - zero_point) * w[c];
    }
#endif
}

/* Output channels `channel` to `channel + 3` of a pixel; needs channel_multiplier 1. */
static void four_channels(const kws_depthwise_params *params, const window *taps, int32_t channel, int8_t *output)
{
    const int32_t channels = params->input_channels;
    const int32_t zero_point = params->input_zero_point;
    const int32_t tap_step = params->dilation_width * channels;
    const int32_t row_step = params->dilation_height * params->input_width * channels;
    const int8_t *x_row = taps->input + channel;
    const int8_t *w_row = taps->weights + channel;
    int32_t sum[4] = {params->bias[channel], params->bias[channel + 1], params->bias[channel + 2],
                      params->bias[channel + 3]};
    for (int32_t row = 0; row < taps->rows; row++, x_row += row_step, w_row += params->kernel_width * channels) {
        const int8_t *x = x_row;
        const int8_t *w = w_row;
        for (int32_t column = 0; column < taps->columns; column++, x += tap_step, w += channels) {
            add_tap(sum, x, w, zero_point);
        }
    }
    for (int32_t c = 0; c < 4; c++) {
        output[c] = finish(params, channel + c, sum[c]);
    }
}

/* One output channel of a pixel, any channel_multiplier. */
static int8_t one_channel(const kws_depthwise_params *params, const window *taps, int32_t channel)
{
    const int32_t output_channels = params->input_channels * params->channel_multiplier;
    const int32_t tap_step = params->dilation_width * params->input_channels;
    const int32_t row_step = params->dilation_height * params->input_width * params->input_channels;
    const int8_t *x_row = taps->input + channel / params->channel_multiplier;
    const int8_t *w_row = taps->weights + channel;
    int32_t sum = params->bias[channel];
    for (int32_t row = 0; row < taps->rows; row++, x_row += row_step, w_row += params->kernel_width * output_channels) {
        const int8_t *x = x_row;
        const int8_t *w = w_row;
        for (int32_t column = 0; column < taps->columns; column++, x += tap_step, w += output_channels) {
            sum += (*x - params->input_zero_point) * *w;
        }
    }
    return finish(params, channel, sum);
}

void kws_depthwise(const kws_depthwise_params *params, const int8_t *input, int8_t *output)
{
    const int32_t output_channels = params->input_channels * params->channel_multiplier;
    const int32_t by_four = params->channel_multiplier == 1 ? output_channels / 4 * 4 : 0;
    for (int32_t batch = 0; batch < params->batches; batch++) {
        for (int32_t row = 0; row < params->output_height; row++) {
            const int32_t y = row * params->stride_height - params->pad_top;
            for (int32_t column = 0; column < params->output_width; column++) {
                const window taps = window_at(params, input, y, column * params->stride_width - params->pad_left);
                int32_t channel = 0;
                for (; channel < by_four; channel += 4) {
                    four_channels(params, &taps, channel, output + channel);
                }
                for (; channel < output_channels; channel++) {
                    output[channel] = one_channel(params, &taps, channel);
                }
                output += output_channels;
            }
        }
        input += params->input_height * params->input_width * params->input_channels;
    }
}
