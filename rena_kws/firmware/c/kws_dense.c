/* SPDX-License-Identifier: MIT-0
 *
 * Blocks of two rows by two channels: four products for four loads, where single dot products need two loads each. With
 * the DSP extension a load brings four elements and a multiplication makes two products.
 */
#include "kws_dense.h"

#include "kws_dsp.h"
#include "kws_quantized.h"

typedef struct {
    int32_t sum[2][2]; /* [row][channel], in units of the accumulator */
} block;

static void multiply_two_rows(const int8_t *x0, const int8_t *w0, const int8_t *w1, int32_t depth, block *sums)
{
    const int8_t *x1 = x0 + depth;
    const int8_t *const end = x0 + depth / 4 * 4;
    int32_t sum00 = sums->sum[0][0];
    int32_t sum01 = sums->sum[0][1];
    int32_t sum10 = sums->sum[1][0];
    int32_t sum11 = sums->sum[1][1];
#if KWS_DSP
    for (; x0 != end; x0 += 4, x1 += 4, w0 += 4, w1 += 4) {
        const uint32_t x0_word = kws_load_four(x0);
        const uint32_t x1_word = kws_load_four(x1);
        const uint32_t w0_word = kws_load_four(w0);
        const uint32_t w1_word = kws_load_four(w1);
        const int16x2_t x0_even = kws_even(x0_word), x0_odd = kws_odd(x0_word);
        const int16x2_t x1_even = kws_even(x1_word), x1_odd = kws_odd(x1_word);
        const int16x2_t w0_even = kws_even(w0_word), w0_odd = kws_odd(w0_word);
        sum00 = __smlad(x0_odd, w0_odd, __smlad(x0_even, w0_even, sum00));
        sum10 = __smlad(x1_odd, w0_odd, __smlad(x1_even, w0_even, sum10));
        const int16x2_t w1_even = kws_even(w1_word), w1_odd = kws_odd(w1_word);
        sum01 = __smlad(x0_odd, w1_odd, __smlad(x0_even, w1_even, sum01));
        sum11 = __smlad(x1_odd, w1_odd, __smlad(x1_even, w1_even, sum11));
    }
#else
    for (; x0 != end; x0 += 4, x1 += 4, w0 += 4, w1 += 4) {
        for (int i = 0; i < 4; i++) {
            sum00 += x0[i] * w0[i];
            sum01 += x0[i] * w1[i];
            sum10 += x1[i] * w0[i];
            sum11 += x1[i] * w1[i];
        }
    }
#endif
    for (int32_t i = 0; i < depth % 4; i++) {
        sum00 += x0[i] * w0[i];
        sum01 += x0[i] * w1[i];
        sum10 += x1[i] * w0[i];
        sum11 += x1[i] * w1[i];
    }
    sums->sum[0][0] = sum00;
    sums->sum[0][1] = sum01;
    sums->sum[1][0] = sum10;
    sums->sum[1][1] = sum11;
}

static void multiply_one_row(const int8_t *x, const int8_t *w0, const int8_t *w1, int32_t depth, block *sums)
{
    const int8_t *const end = x + depth / 4 * 4;
    int32_t sum0 = sums->sum[0][0];
    int32_t sum1 = sums->sum[0][1];
#if KWS_DSP
    for (; x != end; x += 4, w0 += 4, w1 += 4) {
        const uint32_t x_word = kws_load_four(x);
        const uint32_t w0_word = kws_load_four(w0);
        const uint32_t w1_word = kws_load_four(w1);
        const int16x2_t even = kws_even(x_word), odd = kws_odd(x_word);
        sum0 = __smlad(odd, kws_odd(w0_word), __smlad(even, kws_even(w0_word), sum0));
        sum1 = __smlad(odd, kws_odd(w1_word), __smlad(even, kws_even(w1_word), sum1));
    }
#else
    for (; x != end; x += 4, w0 += 4, w1 += 4) {
        for (int i = 0; i < 4; i++) {
            sum0 += x[i] * w0[i];
            sum1 += x[i] * w1[i];
        }
    }
#endif
    for (int32_t i = 0; i < depth % 4; i++) {
        sum0 += x[i] * w0[i];
        sum1 += x[i] * w1[i];
    }
    sums->sum[0][0] = sum0;
    sums->sum[0][1] = sum1;
}

static inline int8_t finish(const kws_dense_params *params, int32_t channel, int32_t sum)
{
    const int32_t at = channel * params->multiplier_step;
    const int32_t scaled = kws_scale(sum, params->multiplier[at], params->shift[at]);
    return (int8_t)kws_clamp(scaled + params->output_zero_point, params->output_min, params->output_max);
}

void kws_dense(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output)
{
    const int32_t depth = params->depth;
    const int32_t channels = params->channels;
    for (int32_t row = 0; row < rows; row += 2, input += 2 * depth, output += 2 * channels) {
        for (int32_t first = 0; first < channels; first += 2) {
            const int32_t second = first + 1 < channels ? first + 1 : first; /* an odd last channel is computed twice */
            const int8_t *w0 = params->weights + first * depth;
            const int8_t *w1 = params->weights + second * depth;
            block sums = {{{params->bias[first], params->bias[second]}, {params->bias[first], params->bias[second]}}};
            if (row + 1 < rows) {
                multiply_two_rows(input, w0, w1, depth, &sums);
                output[channels + first] = finish(params, first, sums.sum[1][0]);
                output[channels + second] = finish(params, second, sums.sum[1][1]);
            } else {
                multiply_one_row(input, w0, w1, depth, &sums);
            }
            output[first] = finish(params, first, sums.sum[0][0]);
            output[second] = finish(params, second, sums.sum[0][1]);
        }
    }
}
