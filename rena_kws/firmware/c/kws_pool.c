/* SPDX-License-Identifier: MIT-0
 *
 * One walk over the windows; what is done with a window's column of one channel is the only difference.
 */
#include "kws_pool.h"

#include "kws_quantized.h"

/* The part of one window that lies inside the image. */
typedef struct {
    const int8_t *input; /* its first pixel */
    int32_t rows;        /* pixels down */
    int32_t columns;     /* pixels across */
} window;

typedef int32_t (*reduction)(const kws_pool_params *params, const window *part, int32_t channel);

static int32_t average(const kws_pool_params *params, const window *part, int32_t channel)
{
    const int32_t count = part->rows * part->columns;
    const int8_t *row = part->input + channel;
    int32_t sum = 0;
    for (int32_t y = 0; y < part->rows; y++, row += params->input_width * params->channels) {
        const int8_t *x = row;
        for (int32_t column = 0; column < part->columns; column++, x += params->channels) {
            sum += *x;
        }
    }
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count; /* to nearest, ties away from zero */
}

static int32_t maximum(const kws_pool_params *params, const window *part, int32_t channel)
{
    const int8_t *row = part->input + channel;
    int32_t largest = INT8_MIN;
    for (int32_t y = 0; y < part->rows; y++, row += params->input_width * params->channels) {
        const int8_t *x = row;
        for (int32_t column = 0; column < part->columns; column++, x += params->channels) {
            largest = *x > largest ? *x : largest;
        }
    }
    return largest;
}

static inline void pool(const kws_pool_params *params, const int8_t *input, int8_t *output, reduction reduce)
{
    const int32_t height = params->input_height;
    const int32_t width = params->input_width;
    for (int32_t batch = 0; batch < params->batches; batch++, input += height * width * params->channels) {
        for (int32_t row = 0; row < params->output_height; row++) {
            const int32_t y = row * params->stride_height - params->pad_top;
            const int32_t top = y > 0 ? y : 0;
            const int32_t bottom = y + params->window_height < height ? y + params->window_height : height;
            for (int32_t column = 0; column < params->output_width; column++) {
                const int32_t x = column * params->stride_width - params->pad_left;
                const int32_t left = x > 0 ? x : 0;
                const int32_t right = x + params->window_width < width ? x + params->window_width : width;
                const window part = {input + (top * width + left) * params->channels, bottom - top, right - left};
                for (int32_t channel = 0; channel < params->channels; channel++) {
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
