/* SPDX-License-Identifier: MIT-0
 *
 * Sound to features in integers, one frame at a time: for cores without an FPU.
 */
#ifndef KWS_FEATURES_FIXED_H
#define KWS_FEATURES_FIXED_H

#include <stdint.h>

/* The shares of bins in bands, and the 16 bits of a band, as in kws_features.h. */
typedef struct {
    const int32_t *window;      /* [window_samples / 2 + 1], 2^31 is 1: its first half; the second mirrors it */
    const int32_t *cosines;     /* [fft_size / 4 + 1], 2^30 is 1: of 2 pi k / fft_size */
    const uint8_t *band;        /* [bins] */
    const uint16_t *rise;       /* [bins], 2^16 is 1 */
    const uint16_t *roots;      /* [97]: the root of (32 + i) * 2^25 */
    const uint16_t *logarithms; /* [33], 2^15 is 1: log2 of 1 + i / 32 */
    const int16_t *transform;   /* [coefficients][(mel_bands + 1) / 2], the first half of each row; 0: there is none */
    int32_t gain;               /* of the logarithms, where there is no transform */
    int32_t window_samples;
    int32_t hop_samples;
    int32_t frames;
    int32_t fft_size;           /* a power of two, at least 8 */
    int32_t unused_bits;        /* of 32, for a number below fft_size / 2 */
    int32_t bins;               /* those above weigh nothing */
    int32_t mel_bands;
    int32_t coefficients;       /* features a frame */
    int32_t spectrum_shift;     /* log2 of 2 * fft_size, plus band_shift */
    int32_t band_shift;         /* what keeps the sum of the widest band below 2^32 */
    uint32_t floor_mantissa;    /* log_floor is floor_mantissa * 2^floor_exponent, the mantissa of 16 bits */
    int32_t floor_exponent;
    int32_t feature_shift;      /* after the transform */
    int32_t zero_point;         /* of the network's input */
} kws_features_fixed_params;

/* `window_samples` samples to `mel_bands` bands. scratch: fft_size words. */
void kws_features_fixed_bands(const kws_features_fixed_params *params, const int16_t *samples, uint16_t *bands,
                              int32_t *scratch);

/* A frame's bands to its `coefficients` features. `peak`: the sample, 1 to 32768, that counts as 1.
 * scratch: mel_bands words. */
void kws_features_fixed_of_bands(const kws_features_fixed_params *params, const uint16_t *bands, int32_t peak,
                                 int8_t *features, int32_t *scratch);

#endif
