/* SPDX-License-Identifier: MIT-0
 *
 * How the weights of a dense layer lie in memory, by their width. A file that includes a kernel's body defines
 * KWS_WEIGHT_BITS, 8, 4 or 2, and KWS_SIZED(name), what the body's functions are called.
 *
 * A unit is what all widths read alike: the same elements of a pair of channels, in words of four bytes [a b a b] as
 * kws_dense.h says, the first word elements 0 and 2, the second 1 and 3, and so on. Packed, a unit is one word. Each of
 * its bytes holds the codes of the bytes in its place, the first word's in the highest bits, as signed numbers. A code
 * times its channel's step is the weight. The steps of both channels follow the units of a pair.
 */
#ifndef KWS_WEIGHTS_H
#define KWS_WEIGHTS_H

#include <stdint.h>

#define KWS_PACKED (KWS_WEIGHT_BITS != 8)
#if KWS_WEIGHT_BITS == 2
#define KWS_UNIT 8 /* elements */
#else
#define KWS_UNIT 4
#endif
#if KWS_WEIGHT_BITS == 8
#define KWS_UNIT_BYTES 8
#define KWS_STEPS_BYTES 0
#else
#define KWS_UNIT_BYTES 4
#define KWS_STEPS_BYTES 4 /* [a b 0 0] */
#endif

/* `depth` in units, rounded up. */
static inline int32_t kws_units(int32_t depth)
{
    return (depth + KWS_UNIT - 1) / KWS_UNIT;
}

/* From a pair of channels to the next. */
static inline int32_t kws_pair_bytes(int32_t depth)
{
    return kws_units(depth) * KWS_UNIT_BYTES + KWS_STEPS_BYTES;
}

/* The bytes of both channels that hold element `i` of a unit. */
static inline const int8_t *kws_bytes_of(const int8_t *unit, int32_t i)
{
    return unit + (KWS_PACKED ? 0 : (i & 1) * 4) + (i & 2);
}

/* Its weight or code, by its byte. */
static inline int32_t kws_weight(int8_t byte, int32_t i)
{
    const int32_t word = (i & 4) / 2 + (i & 1);
    return KWS_PACKED ? (int8_t)((uint32_t)byte << word * KWS_WEIGHT_BITS) >> (8 - KWS_WEIGHT_BITS) : byte;
}

#endif
