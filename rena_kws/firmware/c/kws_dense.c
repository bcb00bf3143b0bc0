/* SPDX-License-Identifier: MIT-0
 *
 * Two rows by two channels at a time: four products for four loads, where a single dot product needs two loads each.
 */
#include "kws_dense.h"

#include "kws_quantized.h"

static inline int8_t finish(const kws_dense_params *params, int32_t channel, int32_t sum)
{
    const int32_t at = channel * params->multiplier_step;
    const int32_t scaled = kws_scale(sum, params->multiplier[at], params->shift[at]);
    return (int8_t)kws_clamp(scaled + params->output_zero_point, params->output_min, params->output_max);
}

static void two_rows(const kws_dense_params *params, const int8_t *input, int8_t *output)
{
    const int32_t depth = params->depth;
    const int32_t channels = params->channels;
    for (int32_t channel = 0; channel < channels; channel += 2) {
        const int32_t other = channel + 1 < channels ? channel + 1 : channel; /* an odd last channel is computed twice */
        const int8_t *x0 = input;
        const int8_t *x1 = input + depth;
        const int8_t *w0 = params->weights + channel * depth;
        const int8_t *w1 = params->weights + other * depth;
        int32_t sum00 = params->bias[channel];
        int32_t sum01 = params->bias[other];
        int32_t sum10 = sum00;
        int32_t sum11 = sum01;
        for (int32_t i = 0; i < depth; i++) {
            sum00 += x0[i] * w0[i];
            sum01 += x0[i] * w1[i];
            sum10 += x1[i] * w0[i];
            sum11 += x1[i] * w1[i];
        }
        output[channel] = finish(params, channel, sum00);
        output[other] = finish(params, other, sum01);
        output[channels + channel] = finish(params, channel, sum10);
        output[channels + other] = finish(params, other, sum11);
    }
}

static void one_row(const kws_dense_params *params, const int8_t *input, int8_t *output)
{
    const int32_t depth = params->depth;
    const int32_t channels = params->channels;
    for (int32_t channel = 0; channel < channels; channel += 2) {
        const int32_t other = channel + 1 < channels ? channel + 1 : channel;
        const int8_t *w0 = params->weights + channel * depth;
        const int8_t *w1 = params->weights + other * depth;
        int32_t sum0 = params->bias[channel];
        int32_t sum1 = params->bias[other];
        for (int32_t i = 0; i < depth; i++) {
            sum0 += input[i] * w0[i];
            sum1 += input[i] * w1[i];
        }
        output[channel] = finish(params, channel, sum0);
        output[other] = finish(params, other, sum1);
    }
}

void kws_dense(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output)
{
    for (; rows >= 2; rows -= 2) {
        two_rows(params, input, output);
        input += 2 * params->depth;
        output += 2 * params->channels;
    }
    if (rows > 0) {
        one_row(params, input, output);
    }
}
