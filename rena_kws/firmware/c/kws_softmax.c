/* SPDX-License-Identifier: MIT-0
 *
 * Fixed point Qm.n: m integer bits, n fraction bits, one sign bit. The sum of exponentials is Q12.19, and its reciprocal
 * comes from three Newton steps, x += x * (1 - d * x), as in the reference.
 */
#include "kws_softmax.h"

#include "kws_quantized.h"

#define SUM_INTEGER_BITS 12

/* x * 2^2, saturated. */
static int32_t times_four(int32_t x)
{
    return kws_clamp(x, INT32_MIN / 4, INT32_MAX / 4) * 4;
}

/* 1 / (1 + a) in Q0.31, for a in Q0.31 from 0 to 1. */
static int32_t reciprocal_of_one_plus(int32_t a)
{
    const int32_t half_denominator = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2); /* (1 + a) / 2, Q0.31 */
    const int32_t one = (int32_t)1 << 29;                                         /* Q2.29, as are the rest */
    const int32_t forty_eight_seventeenths = 1515870810;
    const int32_t minus_thirty_two_seventeenths = -1010580540;
    int32_t x = forty_eight_seventeenths + kws_multiply_q31(half_denominator, minus_thirty_two_seventeenths);
    for (int step = 0; step < 3; step++) {
        const int32_t error = one - kws_multiply_q31(half_denominator, x);
        x += times_four(kws_multiply_q31(x, error));
    }
    return kws_clamp(x, INT32_MIN / 2, INT32_MAX / 2) * 2; /* x / 2 from Q2.29 to Q0.31 */
}

static int32_t leading_zeros(uint32_t x)
{
    int32_t count = 0;
    for (; count < 32 && (x & 0x80000000U) == 0; x <<= 1) {
        count++;
    }
    return count;
}

static void softmax_row(const kws_softmax_params *params, const int8_t *input, int8_t *output)
{
    int32_t largest = INT8_MIN;
    for (int32_t i = 0; i < params->depth; i++) {
        largest = input[i] > largest ? input[i] : largest;
    }
    int32_t sum = 0;
    for (int32_t i = 0; i < params->depth; i++) {
        const int32_t difference = largest - input[i];
        if (difference < params->table_length) {
            sum += kws_divide_by_power_of_two(params->exponentials[difference], SUM_INTEGER_BITS);
        }
    }
    const int32_t headroom = leading_zeros((uint32_t)sum);
    const int32_t reciprocal = reciprocal_of_one_plus((int32_t)(((uint32_t)sum << headroom) - 0x80000000U));
    const int32_t exponent = SUM_INTEGER_BITS - headroom + 31 - 8;
    for (int32_t i = 0; i < params->depth; i++) {
        const int32_t difference = largest - input[i];
        int32_t share = INT8_MIN;
        if (difference < params->table_length) {
            const int32_t product = kws_multiply_q31(reciprocal, params->exponentials[difference]);
            share += kws_divide_by_power_of_two(product, exponent);
        }
        output[i] = (int8_t)kws_clamp(share, INT8_MIN, INT8_MAX);
    }
}

void kws_softmax(const kws_softmax_params *params, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < params->rows; row++) {
        softmax_row(params, input, output);
        input += params->depth;
        output += params->depth;
    }
}
