/* SPDX-License-Identifier: MIT-0
 *
 * A frame's loudest sample is brought to 31 bits (`shift`). The transform halves whatever it doubles, so nothing
 * overflows, and the magnitudes of the spectrum X come out as |X| * 2^(shift - spectrum_shift). From there on 15 bits are
 * enough: what follows is a logarithm. As in kws_features.c, the real samples are taken for half as many complex ones.
 */
#include "kws_features_fixed.h"

typedef struct {
    int32_t re, im;
} complex;

/* Bits of the fraction of a band while the floor is added, and of a logarithm. The floor counts from the clip's largest
 * sample, which may be small where negative ones are large: it takes 20 bits not to lose it there. */
enum { FLOOR_BITS = 20, LOG_BITS = 10 };

/* a * b / 2^32, rounded; where the core multiplies to 32 bits only, without the product of the
 * lower halves: from 1 above to 2 below. Nothing times anything is nothing, so silence stays silent. */
static inline int32_t times_high(int32_t a, int32_t b)
{
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
    const int32_t a_low = a & 0xffff, b_low = b & 0xffff;
    const int32_t a_high = a >> 16, b_high = b >> 16;
    return a_high * b_high + ((a_high * b_low + 0x8000) >> 16) + ((a_low * b_high + 0x8000) >> 16);
#else
    return (int32_t)(((int64_t)a * b + (1LL << 31)) >> 32);
#endif
}

/* x * share / 2^16, share below 2^16. */
static inline uint32_t part_of(uint32_t x, uint32_t share)
{
    return (x >> 16) * share + (((x & 0xffffU) * share) >> 16);
}

/* x > 0. */
static inline int32_t leading_zeros(uint32_t x)
{
#if defined(__ARM_FEATURE_CLZ)
    return __builtin_clz(x);
#else
    int32_t zeros = 0;
    for (int32_t bits = 16; bits; bits >>= 1) {
        if (!(x >> (32 - bits))) {
            x <<= bits;
            zeros += bits;
        }
    }
    return zeros;
#endif
}

/* Between entry `at >> 16` of a table and the next, by the lower 16 bits. */
static inline uint32_t interpolate(const uint16_t *table, uint32_t at)
{
    const uint32_t low = table[at >> 16], high = table[(at >> 16) + 1];
    return low + (((high - low) * (at & 0xffffU)) >> 16);
}

static inline uint32_t absolute(int32_t x)
{
    return x < 0 ? 0U - (uint32_t)x : (uint32_t)x;
}

/* The magnitude of a complex number whose parts lie below 2^30, to 14 bits. */
static inline uint32_t magnitude(const uint16_t *roots, int32_t re, int32_t im)
{
    uint32_t x = absolute(re), y = absolute(im);
    if (!(x | y)) {
        return 0;
    }
    int32_t down = 17 - leading_zeros(x | y); /* the larger one to 15 bits */
    if (down > 0) {
        x >>= down;
        y >>= down;
    } else {
        x <<= -down;
        y <<= -down;
    }
    uint32_t square = x * x + y * y;
    if (square < 1U << 30) {
        square <<= 2;
        down--;
    }
    const uint32_t root = interpolate(roots, (square >> 9) - (32U << 16));
    return down >= 0 ? root << down : (root + (1U << (-down - 1))) >> -down;
}

/* log2 x, x > 0, with LOG_BITS bits of fraction. */
static int32_t logarithm(const uint16_t *table, uint64_t x)
{
    int32_t exponent = 31;
    uint32_t mantissa = (uint32_t)x;
    const uint32_t above = (uint32_t)(x >> 32);
    if (above) {
        const int32_t down = 32 - leading_zeros(above);
        mantissa = (uint32_t)(x >> down);
        exponent += down;
    }
    const int32_t zeros = leading_zeros(mantissa);
    const uint32_t fraction = interpolate(table, ((mantissa << zeros) & 0x7fffffffU) >> 10);
    return (exponent - zeros) * (1 << LOG_BITS) + (int32_t)((fraction + (1U << (14 - LOG_BITS))) >> (15 - LOG_BITS));
}

/* exp(-2 pi i k / fft_size) for k below fft_size. */
static inline complex twiddle(const kws_features_fixed_params *params, int32_t k)
{
    const int32_t half = params->fft_size / 2;
    const int32_t *const pair = params->twiddles + 2 * (k < half ? k : k - half);
    const complex value = {k < half ? pair[0] : -pair[0], k < half ? pair[1] : -pair[1]};
    return value;
}

/* a * w / 4. Rounded, as all of the transform: what is always rounded down adds up in some bins. */
static inline complex quarter_times(complex a, complex w)
{
    const complex product = {times_high(a.re, w.re) - times_high(a.im, w.im),
                             times_high(a.re, w.im) + times_high(a.im, w.re)};
    return product;
}

static inline complex quarter(complex a)
{
    const complex value = {(a.re + 2) >> 2, (a.im + 2) >> 2};
    return value;
}

/* The complex numbers of a frame, by their index's bits reversed, samples times 2^(shift - 1). Returns the shift. */
static int32_t load(const kws_features_fixed_params *params, const int16_t *samples, complex *z)
{
    const int32_t count = params->window_samples, half = count / 2;
    const int32_t points = params->fft_size / 2;
    uint32_t loudest = 1; /* silence: any shift will do */
    for (int32_t i = 0; i < count; i++) {
        const uint32_t size = absolute(samples[i]);
        loudest = size > loudest ? size : loudest;
    }
    const int32_t shift = leading_zeros(loudest) - 1;
    const int32_t scale = 1 << shift;
    int32_t place = 0;
    for (int32_t i = 0; i < points; i++) {
        complex value = {0, 0};
        const int32_t n = 2 * i;
        if (n < count) {
            value.re = times_high(samples[n] * scale, params->window[n <= half ? n : count - n]);
        }
        if (n + 1 < count) {
            value.im = times_high(samples[n + 1] * scale, params->window[n + 1 <= half ? n + 1 : count - n - 1]);
        }
        z[place] = value;
        int32_t bit = points >> 1; /* adds one to `place`, carrying downwards */
        for (; place & bit; bit >>= 1) {
            place ^= bit;
        }
        place |= bit;
    }
    return shift;
}

/* Four numbers, a quarter of each, to their sums: the transform of four points. */
static inline void join_four(complex *at, int32_t size, complex a, complex b, complex c, complex d)
{
    const complex even = {a.re + b.re, a.im + b.im}, odd = {a.re - b.re, a.im - b.im};
    const complex sum = {c.re + d.re, c.im + d.im}, difference = {c.re - d.re, c.im - d.im};
    at[0].re = even.re + sum.re;
    at[0].im = even.im + sum.im;
    at[size].re = odd.re + difference.im;
    at[size].im = odd.im - difference.re;
    at[2 * size].re = even.re - sum.re;
    at[2 * size].im = even.im - sum.im;
    at[3 * size].re = odd.re - difference.im;
    at[3 * size].im = odd.im + difference.re;
}

/* The transform divided by its number of points. */
static void transform(const kws_features_fixed_params *params, complex *z)
{
    const int32_t points = params->fft_size / 2;
    int32_t size = 1;
    while (size < points) {
        size *= 4;
    }
    const int32_t first = size == points ? 1 : 2; /* an odd number of halvings starts with one by itself */
    if (first == 2) {
        for (complex *at = z; at < z + points; at += 2) {
            const complex a = {at[0].re >> 1, at[0].im >> 1}, b = {at[1].re >> 1, at[1].im >> 1};
            at[0].re = a.re + b.re;
            at[0].im = a.im + b.im;
            at[1].re = a.re - b.re;
            at[1].im = a.im - b.im;
        }
    }
    for (size = first; size < points; size *= 4) {
        const int32_t step = params->fft_size / (4 * size);
        for (complex *at = z; at < z + points; at += 4 * size) {
            join_four(at, size, quarter(at[0]), quarter(at[size]), quarter(at[2 * size]), quarter(at[3 * size]));
        }
        for (int32_t j = 1; j < size; j++) {
            const complex w1 = twiddle(params, j * step), w2 = twiddle(params, 2 * j * step);
            const complex w3 = twiddle(params, 3 * j * step);
            for (complex *at = z + j; at < z + points; at += 4 * size) {
                join_four(at, size, quarter(at[0]), quarter_times(at[size], w2), quarter_times(at[2 * size], w1),
                          quarter_times(at[3 * size], w3));
            }
        }
    }
}

/* The magnitude of bin k of the real samples, k from 1 to points. A window's mean is at most a half, so neither the sum
 * nor the difference of two bins overflows. */
static inline uint32_t bin(const kws_features_fixed_params *params, const complex *z, int32_t k)
{
    const int32_t points = params->fft_size / 2;
    if (k == points) {
        return absolute((z[0].re >> 1) - (z[0].im >> 1));
    }
    const complex a = z[k], b = {z[points - k].re, -z[points - k].im};
    const complex difference = {a.re - b.re, a.im - b.im};
    const complex turned = quarter_times(difference, twiddle(params, k)); /* times -i below */
    return magnitude(params->roots, ((a.re + b.re) >> 2) + turned.im, ((a.im + b.im) >> 2) - turned.re);
}

static void gather_bands(const kws_features_fixed_params *params, const complex *z, uint32_t *bands)
{
    for (int32_t band = 0; band < params->mel_bands; band++) {
        bands[band] = 0;
    }
    for (int32_t k = 1; k < params->bins; k++) {
        const uint32_t whole = bin(params, z, k) >> params->band_shift;
        const uint32_t rising = part_of(whole, params->rise[k]);
        const int32_t band = params->band[k];
        if (band < params->mel_bands) {
            bands[band] += rising;
        }
        if (band > 0) {
            bands[band - 1] += whole - rising;
        }
    }
}

/* Each band, a magnitude, to log2(magnitude / peak + log_floor). */
static void take_logarithms(const kws_features_fixed_params *params, int32_t peak, int32_t shift, int32_t *bands)
{
    const int32_t scale = shift - params->spectrum_shift + FLOOR_BITS;
    const int32_t offset = logarithm(params->logarithms, (uint64_t)peak) + scale * (1 << LOG_BITS);
    const int32_t up = params->floor_exponent + scale;
    const uint64_t mantissa = (uint64_t)params->floor_mantissa * (uint32_t)peak;
    const uint64_t floor = up >= 0 ? mantissa << up : mantissa >> -up;
    for (int32_t band = 0; band < params->mel_bands; band++) {
        const uint64_t sum = ((uint64_t)(uint32_t)bands[band] << FLOOR_BITS) + floor;
        bands[band] = logarithm(params->logarithms, sum ? sum : 1) - offset;
    }
}

void kws_features_fixed_frame(const kws_features_fixed_params *params, const int16_t *samples, int32_t peak,
                              int8_t *features, int32_t *scratch)
{
    complex *const z = (complex *)(void *)scratch;
    int32_t *const bands = scratch + params->fft_size;
    const int32_t shift = load(params, samples, z);
    transform(params, z);
    gather_bands(params, z, (uint32_t *)bands);
    take_logarithms(params, peak, shift, bands);
    for (int32_t i = 0; i < params->coefficients; i++) {
        int32_t feature = bands[i] * params->gain;
        if (params->transform) {
            const int16_t *const row = params->transform + i * params->mel_bands;
            feature = 0;
            for (int32_t band = 0; band < params->mel_bands; band++) {
                feature += row[band] * bands[band];
            }
        }
        const int32_t rounded = (feature + (1 << (params->feature_shift - 1))) >> params->feature_shift;
        const int32_t value = rounded + params->zero_point;
        features[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
    }
}
