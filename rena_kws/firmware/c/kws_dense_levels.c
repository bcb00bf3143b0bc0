/* SPDX-License-Identifier: MIT-0
 *
 * Where many rows meet the weights, unpacking them once costs less than unpacking them in the inner loop; where few do,
 * a few channels at a time keep the scratch memory small.
 */
#include "kws_dense_levels.h"

#define TABLE_BYTES 16

static inline void unpack_two(const int8_t *a, const int8_t *b, uint32_t codes, int8_t *weights)
{
    weights[0] = a[codes & 15];
    weights[1] = b[codes >> 4];
}

void kws_unpack_levels(const kws_dense_params *params, int32_t first, int32_t channels, int8_t *weights)
{
    const int32_t codes = (params->depth + 3) / 4 * 4; /* bytes a pair */
    const uint8_t *from = (const uint8_t *)params->weights;
    const int8_t *const tables = params->weights + (params->channels + 1) / 2 * (2 + codes);
    from += first / 2 * (2 + codes);
    for (int32_t channel = 0; channel < channels; channel += 2) {
        const int8_t *const a = tables + from[0] * TABLE_BYTES;
        const int8_t *const b = tables + from[1] * TABLE_BYTES;
        from += 2;
        for (const uint8_t *const end = from + codes; from != end; from += 4, weights += 8) {
            /* Written out: compilers that save space leave a loop one. */
            unpack_two(a, b, from[0], weights);
            unpack_two(a, b, from[1], weights + 2);
            unpack_two(a, b, from[2], weights + 4);
            unpack_two(a, b, from[3], weights + 6);
        }
    }
}

typedef void (*dense)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                      int8_t *scratch);

static inline void unpacked(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                            int8_t *scratch, dense multiply)
{
    kws_dense_params plain = *params;
    plain.weights = scratch;
    kws_unpack_levels(params, 0, params->channels, scratch);
    multiply(&plain, rows, input, output, scratch + kws_unpacked_bytes(params, params->channels));
}

void kws_dense_levels(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output, int8_t *scratch)
{
    unpacked(params, rows, input, output, scratch, kws_dense);
}

void kws_dense_portable_levels(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                               int8_t *scratch)
{
    unpacked(params, rows, input, output, scratch, kws_dense_portable);
}

void kws_dense_few_levels(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                          int8_t *scratch)
{
    kws_dense_params plain = *params;
    plain.weights = scratch;
    for (int32_t first = 0; first < params->channels; first += KWS_LEVELS_CHANNELS) {
        const int32_t left = params->channels - first;
        plain.channels = left < KWS_LEVELS_CHANNELS ? left : KWS_LEVELS_CHANNELS;
        plain.records = params->records + first / 2;
        kws_unpack_levels(params, first, plain.channels, scratch);
        for (int32_t row = 0; row < rows; row++) {
            kws_dense_few(&plain, 1, input + row * params->depth, output + row * params->channels + first,
                          scratch + kws_unpacked_bytes(params, KWS_LEVELS_CHANNELS));
        }
    }
}
