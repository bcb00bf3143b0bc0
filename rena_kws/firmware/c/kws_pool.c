/* SPDX-License-Identifier: MIT-0
 *
 * One walk over the windows; what is done with a window's column of one channel is the only difference.
 */
#include "kws_pool.h"

#include "kws_dsp.h"
#include "kws_quantized.h"

/* The part of one window that lies inside the image. */
typedef struct {
    const int8_t *input; /* its first pixel */
    int32_t rows;        /* pixels down */
    int32_t columns;     /* pixels across */
} cutout;

#if KWS_DSP
/* Sums of four channels, two in a word of 16 bits each; up to 255 pixels cannot overflow them. */
static void average_four(const kws_pool_params *params, const cutout *part, int32_t channel, int8_t *output)
{
    const int32_t count = part->rows * part->columns;
    const int8_t *row = part->input + channel;
    int16x2_t even = 0, odd = 0;
    for (int32_t y = 0; y < part->rows; y++, row += params->window.input_width * params->channels) {
        const int8_t *x = row;
        for (int32_t column = part->columns; column > 0; column--, x += params->channels) {
            const uint32_t four = kws_load_four(x);
            even = __sxtab16(even, (int8x4_t)four);
            odd = __sxtab16(odd, (int8x4_t)(four >> 8 | four << 24));
        }
    }
    const int32_t sums[4] = {(int16_t)even, (int16_t)odd, (int32_t)even >> 16, (int32_t)odd >> 16};
    for (int i = 0; i < 4; i++) {
        const int32_t value = (sums[i] > 0 ? sums[i] + count / 2 : sums[i] - count / 2) / count;
        output[i] = (int8_t)kws_clamp(value, params->output_min, params->output_max);
    }
}
#endif

typedef int32_t (*reduction)(const kws_pool_params *params, const cutout *part, int32_t channel);

static int32_t average(const kws_pool_params *params, const cutout *part, int32_t channel)
{
    const int32_t count = part->rows * part->columns;
    const int8_t *row = part->input + channel;
    int32_t sum = 0;
    for (int32_t y = 0; y < part->rows; y++, row += params->window.input_width * params->channels) {
        const int8_t *x = row;
        for (int32_t column = 0; column < part->columns; column++, x += params->channels) {
            sum += *x;
        }
    }
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count; /* to nearest, ties away from zero */
}

static int32_t maximum(const kws_pool_params *params, const cutout *part, int32_t channel)
{
    const int8_t *row = part->input + channel;
    int32_t largest = INT8_MIN;
    for (int32_t y = 0; y < part->rows; y++, row += params->window.input_width * params->channels) {
        const int8_t *x = row;
        for (int32_t column = 0; column < part->columns; column++, x += params->channels) {
            largest = *x > largest ? *x : largest;
        }
    }
    return largest;
}

static inline void pool(const kws_pool_params *params, const int8_t *input, int8_t *output, reduction reduce)
{
    const int32_t height = params->window.input_height;
    const int32_t width = params->window.input_width;
    for (int32_t batch = 0; batch < params->batches; batch++, input += height * width * params->channels) {
        for (int32_t row = 0; row < params->window.output_height; row++) {
            const int32_t y = row * params->window.stride_height - params->window.pad_top;
            const int32_t top = y > 0 ? y : 0;
            const int32_t bottom = y + params->window.height < height ? y + params->window.height : height;
            for (int32_t column = 0; column < params->window.output_width; column++) {
                const int32_t x = column * params->window.stride_width - params->window.pad_left;
                const int32_t left = x > 0 ? x : 0;
                const int32_t right = x + params->window.width < width ? x + params->window.width : width;
                const cutout part = {input + (top * width + left) * params->channels, bottom - top, right - left};
                int32_t channel = 0;
#if KWS_DSP
                if (reduce == average && part.rows * part.columns <= 255) {
                    for (; channel + 4 <= params->channels; channel += 4, output += 4) {
                        average_four(params, &part, channel, output);
                    }
                }
#endif
                for (; channel < params->channels; channel++) {
                    const int32_t value = reduce(params, &part, channel);
                    *output++ = (int8_t)kws_clamp(value, params->output_min, params->output_max);
                }
            }
        }
    }
}

void kws_average_pool(const kws_pool_params *params, const int8_t *input, int8_t *output)
{
    pool(params, input, output, average);
}

void kws_max_pool(const kws_pool_params *params, const int8_t *input, int8_t *output)
{
    pool(params, input, output, maximum);
}
