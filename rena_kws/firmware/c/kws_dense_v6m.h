/* SPDX-License-Identifier: MIT-0
 *
 * The inner loops of kws_dense_portable for Cortex-M0, M0+ and M1. For the files of one width of weights: KWS_WEIGHT_BITS
 * and KWS_SIZED are defined.
 */
#ifndef KWS_DENSE_V6M_H
#define KWS_DENSE_V6M_H

#include <stdint.h>

#include "kws_weights.h"

#if defined(__ARM_ARCH_6M__) && defined(__GNUC__) && !defined(KWS_PORTABLE)
#define KWS_V6M 1

/* Adds to sums[row][channel] the products of two rows, `depth` bytes apart, with a pair of channels, for the first
 * `length` elements: whole units, not 0. Packed, those with the codes. weights: word aligned. */
void KWS_SIZED(kws_multiply_v6m)(const int8_t *rows, const int8_t *weights, int32_t length, int32_t sums[2][2],
                                 int32_t depth);

/* The same for a single row. */
void KWS_SIZED(kws_multiply_row_v6m)(const int8_t *row, const int8_t *weights, int32_t length, int32_t sums[2]);
#else
#define KWS_V6M 0
#endif

#endif
