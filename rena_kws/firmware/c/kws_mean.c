/* SPDX-License-Identifier: MIT-0
 */
#include "kws_mean.h"

#include "kws_quantized.h"

void kws_mean(const kws_mean_params *params, const int8_t *input, int8_t *output)
{
    for (int32_t outer = 0; outer < params->outer; outer++, input += params->reduced * params->inner) {
        for (int32_t inner = 0; inner < params->inner; inner++) {
            const int8_t *x = input + inner;
            int32_t sum = -params->reduced * params->input_zero_point;
            for (int32_t i = 0; i < params->reduced; i++, x += params->inner) {
                sum += *x;
            }
            const int32_t mean = kws_scale(sum, params->multiplier, params->shift) + params->output_zero_point;
            *output++ = (int8_t)kws_clamp(mean, INT8_MIN, INT8_MAX);
        }
    }
}
