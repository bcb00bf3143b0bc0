/* SPDX-License-Identifier: MIT-0
 *
 * In single precision, without the C library's mathematics. The spectrum of real samples is that of half as many complex
 * ones (even samples real, odd ones imaginary), taken apart afterwards, and only as far up as bands reach.
 */
#include "kws_features.h"

#include <string.h>

#include "kws_reversed_bits.h"

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
#if defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 4) && defined(__GNUC__) /* __arm__: AArch64 has __ARM_FP too */
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

/* exp(-2 pi i k / fft_size) for k up to half of fft_size. */
static inline complex twiddle(const kws_features_params *params, int32_t k)
{
    const float *const first = params->cosines, *const last = first + (params->fft_size >> 2);
    complex value;
    if (k <= last - first) {
        value.re = first[k];
        value.im = -last[-k];
    } else {
        k -= (int32_t)(last - first);
        value.re = -last[-k];
        value.im = -first[k];
    }
    return value;
}

/* Samples times the window, whose second half mirrors the first. */
static void load(const kws_features_params *params, const int16_t *samples, float *x)
{
    const int32_t count = params->window_samples, half = count / 2;
    int32_t n = 0;
    for (; n <= half; n++) {
        x[n] = (float)samples[n] * params->window[n];
    }
    for (; n < count; n++) {
        x[n] = (float)samples[n] * params->window[count - n];
    }
    for (; n < params->fft_size; n++) {
        x[n] = 0.0f;
    }
}

/* Number k comes to lie where the bits of k, reversed, say. */
static void transform(const kws_features_params *params, complex *z)
{
    complex *const end = z + params->fft_size / 2;
    int32_t size = params->fft_size / 8, step = 2;
    for (; size > 0; size /= 4, step *= 4) {
        for (int32_t j = 0; j < size; j++) {
            const complex w1 = twiddle(params, j * step), w2 = times(w1, w1), w3 = times(w1, w2);
            for (complex *at = z + j; at < end; at += 4 * size) {
                const complex a = at[0], b = at[size], c = at[2 * size], d = at[3 * size];
                const complex even = plus(a, c), odd = minus(a, c), sum = plus(b, d), difference = minus(b, d);
                const complex y2 = minus(even, sum), y1 = {odd.re + difference.im, odd.im - difference.re};
                const complex y3 = {odd.re - difference.im, odd.im + difference.re};
                at[0] = plus(even, sum);
                at[size] = j ? times(y2, w2) : y2;
                at[2 * size] = j ? times(y1, w1) : y1;
                at[3 * size] = j ? times(y3, w3) : y3;
            }
        }
    }
    if (step < params->fft_size) { /* an odd number of halvings ends with one by itself */
        for (complex *at = z; at < end; at += 2) {
            const complex a = at[0], b = at[1];
            at[0] = plus(a, b);
            at[1] = minus(a, b);
        }
    }
}

/* Bin k of the real samples, k from 1 to points: twice its magnitude. */
static inline float twice_magnitude(const kws_features_params *params, const complex *z, int32_t k)
{
    const int32_t points = params->fft_size >> 1, zeros = params->unused_bits;
    if (k == points) {
        const float both = 2.0f * (z[0].re - z[0].im);
        return both < 0.0f ? -both : both;
    }
    const complex a = z[kws_reversed_bits((uint32_t)k) >> zeros], b = z[kws_reversed_bits((uint32_t)(points - k)) >> zeros];
    const complex difference = {a.re - b.re, a.im + b.im};
    const complex turned = times(difference, twiddle(params, k)); /* times -i below */
    const float re = a.re + b.re + turned.im, im = a.im - b.im - turned.re;
    return square_root(re * re + im * im);
}

/* The format of a kept band has the exponents 2^-31 to 2^32 of a float, and its ten upper bits of mantissa. */
enum { KEPT_BITS = 10, DROPPED_BITS = 23 - KEPT_BITS, LEAST_EXPONENT = 127 - 31 };

static inline uint16_t pack(float band)
{
    uint32_t bits;
    memcpy(&bits, &band, sizeof bits);
    const int32_t rounded = (int32_t)((bits + (1U << (DROPPED_BITS - 1))) >> DROPPED_BITS);
    const int32_t code = rounded - LEAST_EXPONENT * (1 << KEPT_BITS);
    return (uint16_t)(code < 0 ? 0 : code > 65535 ? 65535 : code);
}

static inline float unpack(uint16_t code)
{
    const uint32_t bits = (code + ((uint32_t)LEAST_EXPONENT << KEPT_BITS)) << DROPPED_BITS;
    float band;
    memcpy(&band, &bits, sizeof band);
    return code ? band : 0.0f;
}

/* A bin between the centres of two bands gives each its share. `bands[band - 1]` is complete when the bins below the
 * centre of `band` are done. */
static void gather_bands(const kws_features_params *params, const complex *z, uint16_t *bands)
{
    float below = 0.0f; /* twice what band - 1 has from below its centre */
    int32_t k = 1;
    for (int32_t band = 0; band <= params->mel_bands; band++) {
        float lower = 0.0f, upper = 0.0f; /* the shares of band - 1 and of band */
        for (; k < params->bins && params->band[k] == band; k++) {
            const float magnitude = twice_magnitude(params, z, k), share = magnitude * params->rise[k];
            upper += share;
            lower += magnitude - share;
        }
        if (band > 0) {
            bands[band - 1] = pack(0.5f * (below + lower));
        }
        below = upper;
    }
}

void kws_features_bands(const kws_features_params *params, const int16_t *samples, uint16_t *bands, float *scratch)
{
    complex *const z = (complex *)(void *)scratch;
    load(params, samples, scratch);
    transform(params, z);
    gather_bands(params, z, bands);
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

void kws_features_of_bands(const kws_features_params *params, const uint16_t *bands, int32_t peak, int8_t *features,
                           float *scratch)
{
    const int32_t last = params->mel_bands - 1, half = (params->mel_bands + 1) / 2;
    const float loudness = 1.0f / (float)peak;
    for (int32_t band = 0; band <= last; band++) {
        scratch[band] = logarithm(unpack(bands[band]) * loudness + params->log_floor);
    }
    if (params->transform) { /* a row of it is even or odd about its middle: sums first, then differences */
        for (int32_t band = 0; band < last - band; band++) {
            const float lower = scratch[band], upper = scratch[last - band];
            scratch[band] = lower + upper;
            scratch[last - band] = lower - upper;
        }
    }
    for (int32_t i = 0; i < params->coefficients; i++) {
        float feature = scratch[i];
        if (params->transform) {
            const float *const row = params->transform + i * half;
            const float *value = i % 2 ? scratch + last : scratch;
            const int32_t step = i % 2 ? -1 : 1;
            feature = 0.0f;
            for (int32_t band = 0; band < half; band++, value += step) {
                feature += row[band] * *value;
            }
        }
        features[i] = quantize(params, feature);
    }
}
