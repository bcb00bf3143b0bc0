/* SPDX-License-Identifier: MIT-0
 *
 * Sound to features in single precision: window, spectrum, mel bands, logarithm, and for MFCC a cosine transform, one frame at a time.
 *
 * A frame is computed in two steps. Its bands depend on its own samples alone; its features on the loudest sample of a
 * whole clip too, where clips are divided by it. So such a stream keeps bands, and makes features of them for each clip
 * that it looks at.
 *
 * A band is kept as 16 bits, 6 of exponent and 10 of mantissa: 0 is nothing, c is (1024 + c % 1024) * 2^(c / 1024 - 41),
 * in units of a sample. Rounding moves a logarithm by less than 0.0005.
 */
#ifndef KWS_FEATURES_H
#define KWS_FEATURES_H

#include <stdint.h>

/* Bin k, 0 < k < bins, lies between the centres of the bands `band[k] - 1` and `band[k]` and gives the upper one the
 * share `rise[k]` of its magnitude, the lower one the rest. A bin outside a band at the end gives that share to none. */
typedef struct {
    const float *window;        /* [window_samples / 2 + 1]: its first half; the second mirrors it */
    const float *cosines;       /* [fft_size / 4 + 1]: of 2 pi k / fft_size */
    const uint8_t *band;        /* [bins] */
    const float *rise;          /* [bins] */
    const float *transform;     /* [coefficients][(mel_bands + 1) / 2], the first half of each row; 0: there is none */
    int32_t window_samples;
    int32_t hop_samples;
    int32_t frames;
    int32_t fft_size;           /* a power of two, at least 8 */
    int32_t unused_bits;        /* of 32, for a number below fft_size / 2 */
    int32_t bins;               /* those above weigh nothing */
    int32_t mel_bands;
    int32_t coefficients;       /* features a frame */
    float log_floor;            /* added to a band before its logarithm */
    float steps;                /* 1 / scale of the network's input */
    int32_t zero_point;         /* of the network's input */
} kws_features_params;

/* `window_samples` samples to `mel_bands` bands. scratch: fft_size floats. */
void kws_features_bands(const kws_features_params *params, const int16_t *samples, uint16_t *bands, float *scratch);

/* A frame's bands to its `coefficients` features. `peak`: the sample, 1 to 32768, that counts as 1.
 * scratch: mel_bands floats. */
void kws_features_of_bands(const kws_features_params *params, const uint16_t *bands, int32_t peak, int8_t *features,
                           float *scratch);

#endif
