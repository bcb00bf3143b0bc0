/* SPDX-License-Identifier: MIT-0
 */
#include "kws_arithmetic.h"

#include "kws_quantized.h"

static inline int8_t finish(const kws_arithmetic_params *params, int32_t value)
{
    const int32_t scaled = kws_scale(value, params->output_multiplier, params->output_shift);
    return (int8_t)kws_clamp(scaled + params->output_zero_point, params->output_min, params->output_max);
}

void kws_add(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output)
{
    const int32_t unit = (int32_t)1 << params->left_shift;
    for (int32_t start = 0; start < params->length; start += params->second_length) {
        for (int32_t i = 0; i < params->second_length; i++) {
            const int32_t a = (first[start + i] - params->first_zero_point) * unit;
            const int32_t b = (second[i] - params->second_zero_point) * unit;
            const int32_t sum = kws_scale(a, params->first_multiplier, params->first_shift)
                                + kws_scale(b, params->second_multiplier, params->second_shift);
            output[start + i] = finish(params, sum);
        }
    }
}

void kws_multiply(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output)
{
    for (int32_t start = 0; start < params->length; start += params->second_length) {
        for (int32_t i = 0; i < params->second_length; i++) {
            const int32_t a = first[start + i] - params->first_zero_point;
            const int32_t b = second[i] - params->second_zero_point;
            output[start + i] = finish(params, a * b);
        }
    }
}
