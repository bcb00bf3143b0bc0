/* SPDX-License-Identifier: MIT-0
 *
 * Where a fast Fourier transform that works in place leaves its numbers.
 */
#ifndef KWS_REVERSED_BITS_H
#define KWS_REVERSED_BITS_H

#include <stdint.h>

/* The number whose 32 bits are those of k in reverse. */
static inline uint32_t kws_reversed_bits(uint32_t k)
{
#if defined(__thumb2__) && defined(__GNUC__)
    uint32_t bits;
    __asm__("rbit %0, %1" : "=r"(bits) : "r"(k));
    return bits;
#else
    k = (k << 16) | (k >> 16);
    k = (k & 0x00ff00ffU) << 8 | (k >> 8 & 0x00ff00ffU);
    k = (k & 0x0f0f0f0fU) << 4 | (k >> 4 & 0x0f0f0f0fU);
    k = (k & 0x33333333U) << 2 | (k >> 2 & 0x33333333U);
    return (k & 0x55555555U) << 1 | (k >> 1 & 0x55555555U);
#endif
}

#endif
