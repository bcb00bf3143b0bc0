/* SPDX-License-Identifier: MIT-0
 *
 * In single precision, without the C library's mathematics. The spectrum of real samples is that of half as many complex
 * ones (even samples real, odd ones imaginary), taken apart afterwards, and only as far up as bands reach.
 */
#include "kws_features.h"

#include <string.h>

typedef struct {
    float re, im;
} complex;

static inline complex times(complex a, complex b)
{
    const complex product = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return product;
}

static inline complex plus(complex a, complex b)
{
    const complex sum = {a.re + b.re, a.im + b.im};
    return sum;
}

static inline complex minus(complex a, complex b)
{
    const complex difference = {a.re - b.re, a.im - b.im};
    return difference;
}

static inline float square_root(float x)
{
#if defined(__ARM_FP) && (__ARM_FP & 4) && defined(__GNUC__)
    float root;
    __asm__("vsqrt.f32 %0, %1" : "=t"(root) : "t"(x));
    return root;
#else
    /* 1 / sqrt(x) from the exponent's half, then Newton's steps; each doubles the digits. */
    uint32_t bits;
    float inverse;
    if (x < 1e-30f) {
        return 0.0f;
    }
    memcpy(&bits, &x, sizeof bits);
    bits = 0x5f3759dfU - (bits >> 1);
    memcpy(&inverse, &bits, sizeof inverse);
    for (int i = 0; i < 3; i++) {
        inverse *= 1.5f - 0.5f * x * inverse * inverse;
    }
    return x * inverse;
#endif
}

/* x > 0 and no subnormal. x = 2^e * m with m from sqrt(1/2) to sqrt(2); ln m = 2 artanh((m - 1) / (m + 1)), as a series. */
static inline float logarithm(float x)
{
    uint32_t bits;
    float m;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t shifted = bits - 0x3f3504f3U; /* sqrt(1/2) */
    const int32_t e = (int32_t)shifted >> 23;
    bits = (shifted & 0x007fffffU) + 0x3f3504f3U;
    memcpy(&m, &bits, sizeof m);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float z = s * s;
    const float series = ((z * (1.0f / 9.0f) + 1.0f / 7.0f) * z + 1.0f / 5.0f) * z + 1.0f / 3.0f;
    return (float)e * 0.693147181f + 2.0f * (s + s * z * series);
}

/* The complex numbers of a frame, in the order in which the transform wants them: by their index's bits reversed. */
static void load(const kws_features_params *params, const int16_t *samples, complex *z)
{
    const int32_t count = params->window_samples, half = count / 2;
    const int32_t points = params->fft_size / 2;
    int32_t place = 0;
    for (int32_t i = 0; i < points; i++) {
        complex value = {0.0f, 0.0f};
        const int32_t n = 2 * i;
        if (n < count) {
            value.re = (float)samples[n] * params->window[n <= half ? n : count - n];
        }
        if (n + 1 < count) {
            value.im = (float)samples[n + 1] * params->window[n + 1 <= half ? n + 1 : count - n - 1];
        }
        z[place] = value;
        int32_t bit = points >> 1; /* adds one to `place`, carrying downwards */
        for (; place & bit; bit >>= 1) {
            place ^= bit;
        }
        place |= bit;
    }
}

/* exp(-2 pi i k / fft_size) for k below fft_size. */
static inline complex twiddle(const kws_features_params *params, int32_t k)
{
    const int32_t half = params->fft_size / 2;
    const float *const pair = params->twiddles + 2 * (k < half ? k : k - half);
    const complex value = {k < half ? pair[0] : -pair[0], k < half ? pair[1] : -pair[1]};
    return value;
}

/* Two halvings at a time: four spectra of `size` points, at every fourth point, to one of four times the size. */
static inline void join_four(complex *at, int32_t size, complex w1, complex w2, complex w3)
{
    const complex a = at[0], b = times(at[size], w2), c = times(at[2 * size], w1), d = times(at[3 * size], w3);
    const complex even = plus(a, b), odd = minus(a, b), sum = plus(c, d), difference = minus(c, d);
    at[0] = plus(even, sum);
    at[2 * size] = minus(even, sum);
    at[size].re = odd.re + difference.im;
    at[size].im = odd.im - difference.re;
    at[3 * size].re = odd.re - difference.im;
    at[3 * size].im = odd.im + difference.re;
}

static void transform(const kws_features_params *params, complex *z)
{
    const int32_t points = params->fft_size / 2;
    int32_t size = 1;
    int32_t halvings = 0;
    while (1 << halvings < points) {
        halvings++;
    }
    if (halvings % 2) {
        for (complex *at = z; at < z + points; at += 2) {
            const complex a = at[0], b = at[1];
            at[0] = plus(a, b);
            at[1] = minus(a, b);
        }
        size = 2;
    }
    for (; size < points; size *= 4) {
        const int32_t step = params->fft_size / (4 * size);
        for (int32_t j = 0; j < size; j++) {
            const complex w1 = twiddle(params, j * step), w2 = twiddle(params, 2 * j * step);
            const complex w3 = twiddle(params, 3 * j * step);
            for (complex *at = z + j; at < z + points; at += 4 * size) {
                join_four(at, size, w1, w2, w3);
            }
        }
    }
}

/* Bin k of the real samples, k from 1 to points - 1: twice its magnitude. */
static inline float twice_magnitude(const kws_features_params *params, const complex *z, int32_t k)
{
    const int32_t points = params->fft_size / 2;
    const complex a = z[k], b = {z[points - k].re, -z[points - k].im};
    const complex turned = times(minus(a, b), twiddle(params, k)); /* times -i below */
    const float re = a.re + b.re + turned.im, im = a.im + b.im - turned.re;
    return square_root(re * re + im * im);
}

static void gather_bands(const kws_features_params *params, const complex *z, float *bands)
{
    const int32_t points = params->fft_size / 2;
    for (int32_t band = 0; band < params->mel_bands; band++) {
        bands[band] = 0.0f;
    }
    for (int32_t k = 1; k < params->bins; k++) {
        float magnitude;
        if (k == points) {
            magnitude = 2.0f * (z[0].re - z[0].im);
            magnitude = magnitude < 0.0f ? -magnitude : magnitude;
        } else {
            magnitude = twice_magnitude(params, z, k);
        }
        const int32_t band = params->band[k];
        const float rising = magnitude * params->rise[k];
        if (band < params->mel_bands) {
            bands[band] += rising;
        }
        if (band > 0) {
            bands[band - 1] += magnitude - rising;
        }
    }
}

static inline int8_t quantize(const kws_features_params *params, float feature)
{
    const float value = feature * params->steps + (float)params->zero_point;
    if (value <= -128.0f) {
        return -128;
    }
    if (value >= 127.0f) {
        return 127;
    }
    return (int8_t)((int32_t)(value + 128.5f) - 128);
}

void kws_features_frame(const kws_features_params *params, const int16_t *samples, int32_t peak, int8_t *features,
                        float *scratch)
{
    const float loudness = 1.0f / (float)peak;
    complex *const z = (complex *)(void *)scratch;
    float *const bands = scratch + params->fft_size;
    load(params, samples, z);
    transform(params, z);
    gather_bands(params, z, bands);
    for (int32_t band = 0; band < params->mel_bands; band++) {
        bands[band] = logarithm(bands[band] * (0.5f * loudness) + params->log_floor);
    }
    for (int32_t i = 0; i < params->coefficients; i++) {
        float feature = bands[i];
        if (params->transform) {
            const float *const row = params->transform + i * params->mel_bands;
            feature = 0.0f;
            for (int32_t band = 0; band < params->mel_bands; band++) {
                feature += row[band] * bands[band];
            }
        }
        features[i] = quantize(params, feature);
    }
}
