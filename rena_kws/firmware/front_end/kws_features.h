/* SPDX-License-Identifier: MIT-0
 *
 * Sound to features in single precision: window, spectrum, mel bands, logarithm, and for MFCC a cosine transform, one frame at a time.
 */
#ifndef KWS_FEATURES_H
#define KWS_FEATURES_H

#include <stdint.h>

/* Bin k, 0 < k < bins, lies between the centres of the bands `band[k] - 1` and `band[k]` and gives the upper one the
 * share `rise[k]` of its magnitude, the lower one the rest. A bin outside a band at the end gives that share to none. */
typedef struct {
    const float *window;        /* [window_samples / 2 + 1]: its first half; the second mirrors it */
    const float *twiddles;      /* [fft_size / 2][2]: cosine and sine of -2 pi k / fft_size */
    const uint8_t *band;        /* [bins] */
    const float *rise;          /* [bins] */
    const float *transform;     /* [coefficients][mel_bands]; 0: the logarithms are the features */
    int32_t window_samples;
    int32_t hop_samples;
    int32_t frames;
    int32_t fft_size;           /* a power of two, at least 8 */
    int32_t bins;               /* those above weigh nothing */
    int32_t mel_bands;
    int32_t coefficients;       /* features a frame */
    float log_floor;            /* added to a band before its logarithm */
    float steps;                /* 1 / scale of the network's input */
    int32_t zero_point;         /* of the network's input */
} kws_features_params;

/* One frame: `window_samples` samples to `coefficients` features. `peak`: the sample, 1 to 32768, that counts as 1.
 * scratch: fft_size + mel_bands floats. */
void kws_features_frame(const kws_features_params *params, const int16_t *samples, int32_t peak, int8_t *features,
                        float *scratch);

#endif
