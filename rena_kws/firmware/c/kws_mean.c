/* SPDX-License-Identifier: MIT-0
 *
 * Of the elements that are reduced each lies `inner` behind the one before.
 */
#include "kws_mean.h"

#include "kws_dsp.h"
#include "kws_quantized.h"

static inline int8_t mean_of(const kws_mean_params *params, int32_t sum)
{
    sum -= params->reduced * params->input_zero_point;
    const int32_t mean = kws_scale(sum, params->multiplier, params->shift) + params->output_zero_point;
    return (int8_t)kws_clamp(mean, INT8_MIN, INT8_MAX);
}

static int8_t mean_of_one(const kws_mean_params *params, const int8_t *x)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < params->reduced; i++, x += params->inner) {
        sum += *x;
    }
    return mean_of(params, sum);
}

#if KWS_DSP
/* What 16 bits hold the sum of. */
enum { MOST_SUMMED = 256 };

/* Four neighbours at a time. */
static void mean_of_four(const kws_mean_params *params, const int8_t *x, int8_t *output)
{
    int32_t sums[4] = {0, 0, 0, 0};
    for (int32_t left = params->reduced; left > 0; left -= MOST_SUMMED) {
        const int8_t *const end = x + (left < MOST_SUMMED ? left : MOST_SUMMED) * params->inner;
        int16x2_t even = 0, odd = 0;
        for (; x != end; x += params->inner) {
            const uint32_t four = kws_load_four(x);
            even = __sxtab16(even, (int8x4_t)four);
            odd = __sxtab16(odd, (int8x4_t)(four >> 8 | four << 24));
        }
        sums[0] += (int16_t)even;
        sums[1] += (int16_t)odd;
        sums[2] += (int16_t)(even >> 16);
        sums[3] += (int16_t)(odd >> 16);
    }
    for (int32_t i = 0; i < 4; i++) {
        output[i] = mean_of(params, sums[i]);
    }
}
#endif

void kws_mean(const kws_mean_params *params, const int8_t *input, int8_t *output)
{
    for (int32_t outer = 0; outer < params->outer; outer++, input += params->reduced * params->inner) {
        int32_t inner = 0;
#if KWS_DSP
        for (; inner + 4 <= params->inner; inner += 4, output += 4) {
            mean_of_four(params, input + inner, output);
        }
#endif
        for (; inner < params->inner; inner++) {
            *output++ = mean_of_one(params, input + inner);
        }
    }
}
