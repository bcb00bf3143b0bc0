/* SPDX-License-Identifier: MIT-0
 *
 * Two products an instruction, where the core has the DSP extension (Cortex-M4, M7, most M33). KWS_DSP is 1 there and 0
 * elsewhere; kernels keep a portable path beside the fast one. KWS_PORTABLE, defined for the compiler, forces that path.
 */
#ifndef KWS_DSP_H
#define KWS_DSP_H

/* What the assembly relies on: an M-profile core in Thumb, words read at any address, a compiler that takes GNU assembly,
 * and jumps into the middle of a loop. */
#if defined(__ARM_FEATURE_SIMD32) && defined(__ARM_ARCH_PROFILE) && defined(__ARM_FEATURE_UNALIGNED) \
    && defined(__thumb2__) && defined(__GNUC__) && !defined(__ARM_FEATURE_BTI_DEFAULT) && !defined(KWS_PORTABLE)
#define KWS_HAS_DSP (__ARM_ARCH_PROFILE == 'M')
#else
#define KWS_HAS_DSP 0
#endif

#if KWS_HAS_DSP
#define KWS_DSP 1

#include <arm_acle.h>
#include <stdint.h>
#include <string.h>

/* Elements 0 to 3; any alignment. */
static inline uint32_t kws_load_four(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

static inline void kws_store_four(int8_t *to, uint32_t four)
{
    memcpy(to, &four, sizeof four);
}

/* Elements 0 and 2, as 16 bits each. */
static inline int16x2_t kws_even(uint32_t four)
{
    return __sxtb16((int8x4_t)four);
}

/* Elements 1 and 3, as 16 bits each: SXTB16 rotates its operand, so this is one instruction too. */
static inline int16x2_t kws_odd(uint32_t four)
{
    return __sxtb16((int8x4_t)(four >> 8 | four << 24));
}

/* a * b / 2^32 rounded to nearest (ties up), plus c: with a doubled, kws_multiply_q31. */
static inline int32_t kws_multiply_high(int32_t a, int32_t b, int32_t c)
{
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
}

static inline int32_t kws_saturate_int8(int32_t x)
{
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(x)); /* the intrinsic of some compilers has unsigned results */
    return result;
}

#else
#define KWS_DSP 0
#endif

#endif
