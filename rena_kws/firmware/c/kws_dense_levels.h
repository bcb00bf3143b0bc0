/* SPDX-License-Identifier: MIT-0
 *
 * kws_dense for channels that know at most 16 levels: 4 bits a weight, unpacked to the scratch memory once a run.
 *
 * `weights` of the parameters: for each pair of channels the numbers of their tables and a byte for each pair of weights
 * [a b] in the order of kws_dense.h, the first channel's level in its low bits; after the last pair the tables, of 16
 * levels each.
 */
#ifndef KWS_DENSE_LEVELS_H
#define KWS_DENSE_LEVELS_H

#include "kws_dense.h"

/* Bytes of the weights of `channels` channels as kws_dense reads them. */
static inline int32_t kws_unpacked_bytes(const kws_dense_params *params, int32_t channels)
{
    return (channels + 1) / 2 * ((params->depth + 3) / 4 * 8);
}

/* The weights of `channels` channels from `first` on, which is even, as kws_dense reads them. */
void kws_unpack_levels(const kws_dense_params *params, int32_t first, int32_t channels, int8_t *weights);

/* scratch: the unpacked weights, then what kws_dense asks for. */
void kws_dense_levels(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output, int8_t *scratch);
void kws_dense_portable_levels(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                               int8_t *scratch);

#define KWS_LEVELS_CHANNELS 4 /* that kws_dense_few_levels unpacks at a time; its scratch memory holds no more */

void kws_dense_few_levels(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                          int8_t *scratch);

#endif
