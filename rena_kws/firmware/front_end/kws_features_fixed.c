/* SPDX-License-Identifier: MIT-0
 *
 * A frame's samples are shifted up as far as they fit 32 bits (`shift`), less two bits for the sums of the transform, which
 * takes a quarter of each sum of four. Nothing overflows, and the magnitudes of the spectrum X come out as
 * |X| * 2^(shift - spectrum_shift). From there on 15 bits are enough: what follows is a logarithm. As in kws_features.c, the
 * real samples are taken for half as many complex ones.
 */
#include "kws_features_fixed.h"

#include <string.h>

#include "kws_assembly.h"
#include "kws_dsp.h"
#include "kws_reversed_bits.h"

typedef struct {
    int32_t re, im;
} complex;

/* Bits of the fraction of a logarithm; of the mantissa of a kept band; and the exponent of its least. */
enum { LOG_BITS = 10, KEPT_BITS = 10, LEAST_EXPONENT = -41 };

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
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
    return (x >> 16) * share + (((x & 0xffffU) * share) >> 16);
#else
    return (uint32_t)(((uint64_t)x * (share << 16)) >> 32);
#endif
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
    int32_t up = leading_zeros(x | y) - 1; /* the larger one to 31 bits, and both to 15 of those */
    x = x << up >> 16;
    y = y << up >> 16;
    uint32_t square = x * x + y * y;
    if (square < 1U << 30) {
        square <<= 2;
        up++;
    }
    const uint32_t root = interpolate(roots, (square >> 9) - (32U << 16));
    return ((root << 15) + (1U << up >> 2)) >> (up - 1);
}

/* log2 x, x > 0, with LOG_BITS bits of fraction. */
static int32_t logarithm(const uint16_t *table, uint32_t x)
{
    const int32_t zeros = leading_zeros(x);
    const uint32_t fraction = interpolate(table, ((x << zeros) & 0x7fffffffU) >> 10);
    return (31 - zeros) * (1 << LOG_BITS) + (int32_t)((fraction + (1U << (14 - LOG_BITS))) >> (15 - LOG_BITS));
}

/* exp(-2 pi i k / fft_size) for k up to half of fft_size. */
static inline complex twiddle(const kws_features_fixed_params *params, int32_t k)
{
    const int32_t *const first = params->cosines, *const last = first + (params->fft_size >> 2);
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

/* a * w / 4. Rounded, as all of the transform: what is always rounded down adds up in some bins. */
static inline complex quarter_times(complex a, complex w)
{
    const complex product = {times_high(a.re, w.re) - times_high(a.im, w.im),
                             times_high(a.re, w.im) + times_high(a.im, w.re)};
    return product;
}

static inline complex quarter_of(complex a)
{
    const complex value = {(a.re + 2) >> 2, (a.im + 2) >> 2};
    return value;
}

/* The product of two numbers on the unit circle, 2^30 is 1. */
static inline complex unit_times(complex a, complex b)
{
    const complex quarter = quarter_times(a, b);
    const complex product = {4 * quarter.re, 4 * quarter.im};
    return product;
}

/* By how many bits a frame's samples can be shifted up and stay within 32. Where a number's bits begin to differ from its
 * sign, they differ from their neighbours; two samples at once, for the lowest bit of either does not matter. */
static int32_t room(const int16_t *samples, int32_t count)
{
    uint32_t differing = 2; /* silence: any shift will do */
    int32_t n = 0;
    for (; n < count - 1; n += 2) {
        uint32_t two;
        memcpy(&two, samples + n, sizeof two);
        differing |= two ^ (two << 1);
    }
    if (n < count) {
        const uint32_t last = (uint16_t)samples[n];
        differing |= last ^ (last << 1);
    }
    return leading_zeros((differing | differing >> 16) & 0xffffU);
}

/* Samples times `scale` / 2 times the window, whose second half mirrors the first. */
static void load(const kws_features_fixed_params *params, const int16_t *samples, int32_t scale, int32_t *x)
{
    const int32_t count = params->window_samples, half = count / 2;
    int32_t n = 0;
    for (; n <= half; n++) {
        x[n] = times_high(samples[n] * scale, params->window[n]);
    }
    for (; n < count; n++) {
        x[n] = times_high(samples[n] * scale, params->window[count - n]);
    }
    for (; n < params->fft_size; n++) {
        x[n] = 0;
    }
}

static const complex unturned[] = {{1 << 30, 0}, {1 << 30, 0}, {1 << 30, 0}};

/* Four numbers, `bytes` from one to the next, to a quarter of their transform, with numbers 1, 2 and 3 of it turned by w[0],
 * w[1] and w[2], and 2 stored before 1. Then the same for the next four, four times as far on, up to `end`. */
#if KWS_DSP

/* (x, y) times (c, s), r6 and r7 being c and s, to r10 and r11, a quarter of it. */
#define TURN(x, y)                        \
    "smmulr r10, " x ", r6             \n" \
    "smmulr r11, " y ", r7             \n" \
    "sub    r10, r10, r11              \n" \
    "smmulr r11, " x ", r7             \n" \
    "smmlar r11, " y ", r6, r11        \n"

/* Compilers run out of registers here. r4 to r11: the four numbers, and what became of them. */
KWS_ASSEMBLY static void spread(complex *at __attribute__((unused)), const complex *end __attribute__((unused)),
                                int32_t bytes __attribute__((unused)), const complex *w __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified               \n"
        "push   {r4-r11, lr}           \n"
        "1:                            \n"
        "ldrd   r4, r5, [r0]           \n"
        "add    r12, r0, r2            \n"
        "ldrd   r6, r7, [r12]          \n"
        "add    r12, r12, r2           \n"
        "ldrd   r8, r9, [r12]          \n"
        "add    r12, r12, r2           \n"
        "ldrd   r10, r11, [r12]        \n"
        "add    r12, r4, r8            \n" /* even */
        "sub    r4, r4, r8             \n" /* odd */
        "add    lr, r5, r9             \n"
        "sub    r5, r5, r9             \n"
        "add    r8, r6, r10            \n" /* sum */
        "sub    r6, r6, r10            \n" /* difference */
        "add    r9, r7, r11            \n"
        "sub    r7, r7, r11            \n"
        "add    r10, r12, r8           \n"
        "sub    r12, r12, r8           \n"
        "add    r11, lr, r9            \n"
        "sub    lr, lr, r9             \n"
        "add    r10, r10, #2           \n"
        "add    r11, r11, #2           \n"
        "asr    r10, r10, #2           \n"
        "asr    r11, r11, #2           \n"
        "strd   r10, r11, [r0]         \n"
        "sub    r8, r5, r6             \n" /* y1 = (r9, r8), y3 = (r4, r5) */
        "add    r5, r5, r6             \n"
        "add    r9, r4, r7             \n"
        "sub    r4, r4, r7             \n"
        "ldrd   r6, r7, [r3, #8]       \n"
        TURN("r12", "lr")
        "add    r12, r0, r2            \n"
        "strd   r10, r11, [r12]        \n"
        "ldrd   r6, r7, [r3]           \n"
        TURN("r9", "r8")
        "add    r12, r12, r2           \n"
        "strd   r10, r11, [r12]        \n"
        "ldrd   r6, r7, [r3, #16]      \n"
        TURN("r4", "r5")
        "add    r12, r12, r2           \n"
        "strd   r10, r11, [r12]        \n"
        "add    r0, r12, r2            \n"
        "cmp    r0, r1                 \n"
        "blo    1b                     \n"
        "pop    {r4-r11, pc}           \n");
}

#else

static void spread(complex *at, const complex *end, int32_t bytes, const complex *w)
{
    const int32_t size = bytes / (int32_t)sizeof *at;
    for (; at < end; at += 4 * size) {
        const complex a = at[0], b = at[size], c = at[2 * size], d = at[3 * size];
        const complex even = {a.re + c.re, a.im + c.im}, odd = {a.re - c.re, a.im - c.im};
        const complex sum = {b.re + d.re, b.im + d.im}, difference = {b.re - d.re, b.im - d.im};
        const complex y0 = {even.re + sum.re, even.im + sum.im}, y2 = {even.re - sum.re, even.im - sum.im};
        const complex y1 = {odd.re + difference.im, odd.im - difference.re};
        const complex y3 = {odd.re - difference.im, odd.im + difference.re};
        at[0] = quarter_of(y0);
        if (w == unturned) {
            at[size] = quarter_of(y2);
            at[2 * size] = quarter_of(y1);
            at[3 * size] = quarter_of(y3);
        } else {
            at[size] = quarter_times(y2, w[1]);
            at[2 * size] = quarter_times(y1, w[0]);
            at[3 * size] = quarter_times(y3, w[2]);
        }
    }
}

#endif

/* The transform divided by its number of points. Number k comes to lie where the bits of k, reversed, say. */
static void transform(const kws_features_fixed_params *params, complex *z)
{
    complex *const end = z + params->fft_size / 2;
    int32_t size = params->fft_size / 8, step = 2;
    for (; size > 0; size /= 4, step *= 4) {
        const int32_t bytes = size * (int32_t)sizeof *z;
        spread(z, end, bytes, unturned);
        for (int32_t j = 1; j < size; j++) {
            const complex w1 = twiddle(params, j * step), w2 = unit_times(w1, w1);
            const complex w[] = {w1, w2, unit_times(w1, w2)};
            spread(z + j, end, bytes, w);
        }
    }
    if (step < params->fft_size) { /* an odd number of halvings ends with one by itself */
        for (complex *at = z; at < end; at += 2) {
            const complex a = at[0], b = at[1];
            at[0].re = (a.re + b.re + 1) >> 1;
            at[0].im = (a.im + b.im + 1) >> 1;
            at[1].re = (a.re - b.re + 1) >> 1;
            at[1].im = (a.im - b.im + 1) >> 1;
        }
    }
}

/* The magnitude of bin k of the real samples, k from 1 to points. A window's mean is at most a half. */
static inline uint32_t bin(const kws_features_fixed_params *params, const complex *z, int32_t k)
{
    const int32_t points = params->fft_size >> 1, zeros = params->unused_bits;
    if (k == points) {
        return 2 * absolute(z[0].re - z[0].im);
    }
    const complex a = z[kws_reversed_bits((uint32_t)k) >> zeros], b = z[kws_reversed_bits((uint32_t)(points - k)) >> zeros];
    const complex twice = {2 * (a.re - b.re), 2 * (a.im + b.im)};
    const complex turned = quarter_times(twice, twiddle(params, k)); /* times -i below */
    return magnitude(params->roots, a.re + b.re + 2 * turned.im, a.im - b.im - 2 * turned.re);
}

/* `sum` * 2^exponent in the format of a kept band. */
static inline uint16_t pack(uint32_t sum, int32_t exponent)
{
    if (!sum) {
        return 0;
    }
    const int32_t zeros = leading_zeros(sum);
    const uint32_t mantissa = ((sum << zeros >> (30 - KEPT_BITS)) + 1) >> 1; /* may round up to the next power of two */
    const int32_t code = (exponent + 31 - KEPT_BITS - zeros - LEAST_EXPONENT - 1) * (1 << KEPT_BITS) + (int32_t)mantissa;
    return (uint16_t)(code < 0 ? 0 : code > 65535 ? 65535 : code);
}

/* A bin between the centres of two bands gives each its share. `bands[band - 1]` is complete when the bins below the
 * centre of `band` are done. */
static void gather_bands(const kws_features_fixed_params *params, const complex *z, int32_t exponent, uint16_t *bands)
{
    uint32_t below = 0; /* what band - 1 has from below its centre */
    int32_t k = 1;
    for (int32_t band = 0; band <= params->mel_bands; band++) {
        uint32_t lower = 0, upper = 0; /* the shares of band - 1 and of band */
        for (; k < params->bins && params->band[k] == band; k++) {
            const uint32_t whole = bin(params, z, k) >> params->band_shift;
            const uint32_t share = part_of(whole, params->rise[k]);
            upper += share;
            lower += whole - share;
        }
        if (band > 0) {
            bands[band - 1] = pack(below + lower, exponent);
        }
        below = upper;
    }
}

void kws_features_fixed_bands(const kws_features_fixed_params *params, const int16_t *samples, uint16_t *bands,
                              int32_t *scratch)
{
    complex *const z = (complex *)(void *)scratch;
    const int32_t shift = room(samples, params->window_samples);
    load(params, samples, 1 << (shift - 2), scratch);
    transform(params, z);
    gather_bands(params, z, params->spectrum_shift - shift, bands);
}

/* Each band, a magnitude, to log2(magnitude / peak + log_floor). Band and floor have 31 bits when they are added. */
static void take_logarithms(const kws_features_fixed_params *params, const uint16_t *bands, int32_t peak, int32_t *logs)
{
    const int32_t log_peak = logarithm(params->logarithms, (uint32_t)peak);
    const uint32_t product = params->floor_mantissa * (uint32_t)peak;
    const int32_t zeros = leading_zeros(product);
    const uint32_t floor = product << zeros >> 1;
    const int32_t floor_exponent = params->floor_exponent + 1 - zeros;
    for (int32_t i = 0; i < params->mel_bands; i++) {
        const uint32_t code = bands[i];
        uint32_t sum = floor;
        int32_t exponent = floor_exponent;
        if (code) {
            const uint32_t band = ((1U << KEPT_BITS) + (code & ((1U << KEPT_BITS) - 1))) << (30 - KEPT_BITS);
            const int32_t band_exponent = (int32_t)(code >> KEPT_BITS) + LEAST_EXPONENT - (30 - KEPT_BITS);
            const int32_t above = band_exponent - floor_exponent;
            if (above >= 0) {
                sum = band + (above < 31 ? floor >> above : 0);
                exponent = band_exponent;
            } else {
                sum = floor + (above > -31 ? band >> -above : 0);
            }
        }
        logs[i] = logarithm(params->logarithms, sum) + exponent * (1 << LOG_BITS) - log_peak;
    }
}

void kws_features_fixed_of_bands(const kws_features_fixed_params *params, const uint16_t *bands, int32_t peak,
                                 int8_t *features, int32_t *scratch)
{
    const int32_t last = params->mel_bands - 1, half = (params->mel_bands + 1) / 2;
    take_logarithms(params, bands, peak, scratch);
    if (params->transform) { /* a row of it is even or odd about its middle: sums first, then differences */
        for (int32_t band = 0; band < last - band; band++) {
            const int32_t lower = scratch[band], upper = scratch[last - band];
            scratch[band] = lower + upper;
            scratch[last - band] = lower - upper;
        }
    }
    for (int32_t i = 0; i < params->coefficients; i++) {
        int32_t feature = scratch[i] * params->gain;
        if (params->transform) {
            const int16_t *const row = params->transform + i * half;
            const int32_t *value = i % 2 ? scratch + last : scratch;
            const int32_t step = i % 2 ? -1 : 1;
            feature = 0;
            for (int32_t band = 0; band < half; band++, value += step) {
                feature += row[band] * *value;
            }
        }
        const int32_t rounded = (feature + (1 << (params->feature_shift - 1))) >> params->feature_shift;
        const int32_t value = rounded + params->zero_point;
        features[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
    }
}
