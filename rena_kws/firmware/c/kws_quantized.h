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

#include "kws_assembly.h"

/* What the accumulators of two channels start from and how they become outputs; a single last channel has zeros beside
 * it. */
typedef struct {
    int32_t bias[2];        /* units of the accumulator, input zero point folded in */
    int32_t multiplier[2];  /* accumulator to output units */
    int16_t adjustment[2];  /* folded: the addend; else the power of two beside a Q31 multiplier, left if positive */
} kws_channels;

#define KWS_FOLDED_SHIFT 1 /* bits; chosen by the generator for all folded layers of this network */

/* Folded: output = (sum * multiplier / 2^32 + addend) / 2^KWS_FOLDED_SHIFT, saturated to int8. One rounding instead of
 * two, with the zero point in the addend; the generator has compared it with the two roundings for every sum that can
 * occur.
 * Rounded: both roundings, factors below 1/2, outputs from -128 to 127. Clamped: both roundings, nothing assumed. */
enum { KWS_FOLDED, KWS_ROUNDED, KWS_CLAMPED };

typedef struct {
    int32_t kind;        /* KWS_FOLDED, KWS_ROUNDED or KWS_CLAMPED */
    int32_t zero_point;  /* output units */
    int32_t min;         /* output units, from the activation */
    int32_t max;         /* output units, from the activation */
} kws_requantization;

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

/* a * b / 2^32, rounded down. */
static inline int32_t kws_multiply_upper(int32_t a, int32_t b)
{
#if defined(__ARM_ARCH_6M__)
    /* This core has no long multiplication: by halves, each sum within 32 bits. */
    const uint32_t a_low = (uint32_t)a & 0xFFFFU, b_low = (uint32_t)b & 0xFFFFU;
    const int32_t a_high = a >> 16, b_high = b >> 16;
    const int32_t middle = a_high * (int32_t)b_low + (int32_t)(a_low * b_low >> 16);
    const int32_t other = (int32_t)a_low * b_high + (middle & 0xFFFF);
    return a_high * b_high + (middle >> 16) + (other >> 16);
#else
    return (int32_t)(((int64_t)a * b) >> 32);
#endif
}

static inline int8_t kws_requantize(const kws_requantization *output, int32_t multiplier, int32_t adjustment, int32_t sum)
{
    if (output->kind == KWS_FOLDED) {
        const int32_t high = kws_multiply_upper(sum, multiplier);
        return (int8_t)kws_clamp((high + adjustment) >> KWS_FOLDED_SHIFT, INT8_MIN, INT8_MAX);
    }
    const int32_t scaled = kws_scale(sum, multiplier, adjustment);
    return (int8_t)kws_clamp(scaled + output->zero_point, output->min, output->max);
}

#endif
