/* SPDX-License-Identifier: MIT-0
 */
#include "kws_arithmetic.h"

#include "kws_dsp.h"
#include "kws_quantized.h"

#define UNIT ((int32_t)1 << KWS_ADD_LEFT_SHIFT)

static inline int8_t finish(const kws_arithmetic_params *params, int32_t value)
{
    const int32_t scaled = kws_scale(value, params->output_multiplier, params->output_shift);
    return (int8_t)kws_clamp(scaled + params->output_zero_point, params->output_min, params->output_max);
}

void kws_add_portable(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output)
{
    for (int32_t start = 0; start < params->length; start += params->second_length) {
        for (int32_t i = 0; i < params->second_length; i++) {
            const int32_t a = (first[start + i] - params->first_zero_point) * UNIT;
            const int32_t b = (second[i] - params->second_zero_point) * UNIT;
            const int32_t sum = kws_scale(a, params->first_multiplier, params->first_shift)
                                + kws_scale(b, params->second_multiplier, params->second_shift);
            output[start + i] = finish(params, sum);
        }
    }
}

#if KWS_DSP
/* The operand with the larger scale has the factor 1/2 exactly: it only moves left. The other is scaled and rounded, ties
 * away from zero; where its scale is the same, it moves left too. */
static void add_dsp(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output)
{
    const int first_is_larger = params->first_shift == 0;
    const int32_t length = first_is_larger ? params->length : params->second_length;
    const int8_t *larger = first_is_larger ? first : second;
    const int8_t *smaller = first_is_larger ? second : first;
    const int32_t larger_zero = first_is_larger ? params->first_zero_point : params->second_zero_point;
    const int32_t smaller_zero = first_is_larger ? params->second_zero_point : params->first_zero_point;
    const int32_t smaller_factor = first_is_larger ? params->second_multiplier : params->first_multiplier;
    const int32_t smaller_shift = -(first_is_larger ? params->second_shift : params->first_shift);
    const int32_t shift = -params->output_shift;
    const int32_t factor = params->output_multiplier;
    const int32_t addend = params->output_zero_point * (1 << shift) + (1 << shift) / 2;
    const int32_t half = (int32_t)1 << smaller_shift >> 1;
    const int8_t *const end = larger + length;
    if (smaller_shift == 0) {
        const int32_t start = -(larger_zero + smaller_zero) * (UNIT / 2);
        while (larger != end) {
            const int32_t sum = (*larger++ + *smaller++) * (UNIT / 2) + start;
            const int32_t scaled = kws_multiply_high(sum * 2, factor, addend + (sum >> 31)) >> shift;
            *output++ = (int8_t)kws_saturate_int8(scaled);
        }
        return;
    }
    const int32_t larger_start = -larger_zero * (UNIT / 2), smaller_start = -smaller_zero * (UNIT * 2);
    while (larger != end) {
        const int32_t y = *smaller++ * (UNIT * 2) + smaller_start;
        const int32_t x = *larger++ * (UNIT / 2) + larger_start;
        const int32_t sum = x + (kws_multiply_high(y, smaller_factor, half + (y >> 31)) >> smaller_shift);
        const int32_t scaled = kws_multiply_high(sum * 2, factor, addend + (sum >> 31)) >> shift;
        *output++ = (int8_t)kws_saturate_int8(scaled);
    }
}
#endif

void kws_add(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output)
{
#if KWS_DSP
    add_dsp(params, first, second, output);
#else
    kws_add_portable(params, first, second, output);
#endif
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
