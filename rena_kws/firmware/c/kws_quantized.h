/* SPDX-License-Identifier: MIT-0
 *
 * Fixed-point arithmetic of int8 networks: the rounding of TensorFlow Lite Micro, bit for bit.
 *
 * A real factor is a multiplier in Q31 (0.5 to 1) and a power of two. Right shifts of negative numbers are arithmetic, as
 * on every compiler for these cores.
 */
#ifndef KWS_QUANTIZED_H
#define KWS_QUANTIZED_H

#include <stdint.h>

/* a * b / 2^31, rounded to nearest (ties up). Exact for all but a = b = INT32_MIN, which no caller has. */
static inline int32_t kws_multiply_q31(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* x / 2^exponent, rounded to nearest, ties away from zero; exponent 0 to 31. */
static inline int32_t kws_divide_by_power_of_two(int32_t x, int32_t exponent)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1U);
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + ((x & mask) > threshold ? 1 : 0);
}

/* x * multiplier / 2^31 * 2^shift, rounded twice as the reference does; wraps where that overflows. */
static inline int32_t kws_scale(int32_t x, int32_t multiplier, int32_t shift)
{
    if (shift > 0) {
        return kws_multiply_q31((int32_t)((uint32_t)x << shift), multiplier);
    }
    return kws_divide_by_power_of_two(kws_multiply_q31(x, multiplier), -shift);
}

static inline int32_t kws_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : (x > high ? high : x);
}

#endif
