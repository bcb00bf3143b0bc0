/* SPDX-License-Identifier: MIT-0
 *
 * The sums of a unit's three gates are added up together: they read the same vector, their weights lie side by side.
 * Portable, two products at a time with the DSP extension, or in assembly for Armv6-M, whose registers compilers spill.
 */
#include "kws_gru.h"

#include <string.h>

#include "kws_dsp.h"
#include "kws_quantized.h"

static inline int32_t saturate_int16(int32_t x)
{
    return kws_clamp(x, INT16_MIN, INT16_MAX);
}

static inline int32_t to_gate_units(const kws_gru_scale *scale, int32_t sum)
{
    const int32_t upper = kws_multiply_upper((int32_t)((uint32_t)sum << scale->lift), scale->multiplier);
    return saturate_int16((upper + scale->half) >> scale->shift);
}

#if defined(__ARM_ARCH_6M__) && defined(__GNUC__) && !defined(KWS_PORTABLE)
#define KWS_GRU_V6M 1

/* sum += (byte r6 of the block of weights) * r5. */
#define ADD_PRODUCT(sum)                 \
    "ldrsb  r7, [r1, r6]            \n" \
    "muls   r7, r5                  \n" \
    "adds   " sum ", " sum ", r7    \n"

/* An element of the vector with its weights for the three gates. */
#define ADD_ELEMENT(i)                   \
    "movs   r6, #" i "              \n" \
    "ldrsb  r5, [r0, r6]            \n" \
    ADD_PRODUCT("r2")                    \
    "movs   r6, #4 + " i "          \n" \
    ADD_PRODUCT("r3")                    \
    "movs   r6, #8 + " i "          \n" \
    ADD_PRODUCT("r4")

/* Adds to sums[gate] the products of x with a unit's weights. depth: whole blocks, not 0. r0: x, r1: weights, r2 to r4:
 * sums, r12: end of x. */
KWS_ASSEMBLY static void multiply_v6m(const int8_t *x __attribute__((unused)),
                                      const int8_t *weights __attribute__((unused)),
                                      int32_t depth __attribute__((unused)),
                                      int32_t sums[KWS_GRU_GATES] __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified               \n"
        "push   {r3-r7, lr}            \n"
        "adds   r2, r0, r2             \n"
        "mov    r12, r2                \n"
        "ldr    r2, [r3, #0]           \n"
        "ldr    r4, [r3, #8]           \n"
        "ldr    r3, [r3, #4]           \n"
        "1:                            \n"
        ADD_ELEMENT("0") ADD_ELEMENT("1") ADD_ELEMENT("2") ADD_ELEMENT("3")
        "adds   r0, #4                 \n"
        "adds   r1, #12                \n"
        "cmp    r0, r12                \n"
        "bne    1b                     \n"
        "ldr    r5, [sp]               \n"
        "str    r2, [r5, #0]           \n"
        "str    r3, [r5, #4]           \n"
        "str    r4, [r5, #8]           \n"
        "pop    {r3-r7, pc}            \n");
}
#else
#define KWS_GRU_V6M 0
#endif

#if KWS_DSP
/* sum + four products; even and odd: elements 0 2 and 1 3 of the vector. */
static inline int32_t add_four(int32_t sum, int16x2_t even, int16x2_t odd, const int8_t *weights)
{
    const uint32_t four = kws_load_four(weights);
    return __smlad(odd, kws_odd(four), __smlad(even, kws_even(four), sum));
}
#elif !KWS_GRU_V6M
/* An element of the vector with its weights for the three gates. */
static inline void add_element(int32_t x, const int8_t *weights, int32_t *z, int32_t *r, int32_t *n)
{
    *z += x * weights[0];
    *r += x * weights[KWS_GRU_BLOCK];
    *n += x * weights[2 * KWS_GRU_BLOCK];
}
#endif

/* Adds to sums[gate] the products of x with a unit's weights. */
static inline void multiply(const int8_t *x, const int8_t *weights, int32_t depth, int32_t *sums)
{
#if KWS_GRU_V6M
    multiply_v6m(x, weights, depth, sums);
#else
    int32_t z = sums[KWS_GRU_UPDATE], r = sums[KWS_GRU_RESET], n = sums[KWS_GRU_CANDIDATE];
    for (const int8_t *const end = x + depth; x != end; x += KWS_GRU_BLOCK) {
#if KWS_DSP
        const uint32_t four = kws_load_four(x);
        const int16x2_t even = kws_even(four), odd = kws_odd(four);
        z = add_four(z, even, odd, weights);
        r = add_four(r, even, odd, weights + KWS_GRU_BLOCK);
        n = add_four(n, even, odd, weights + 2 * KWS_GRU_BLOCK);
#else
        add_element(x[0], weights, &z, &r, &n);
        add_element(x[1], weights + 1, &z, &r, &n);
        add_element(x[2], weights + 2, &z, &r, &n);
        add_element(x[3], weights + 3, &z, &r, &n);
#endif
        weights += KWS_GRU_GATES * KWS_GRU_BLOCK;
    }
    sums[KWS_GRU_UPDATE] = z;
    sums[KWS_GRU_RESET] = r;
    sums[KWS_GRU_CANDIDATE] = n;
#endif
}

/* weights * x + bias of all gates of a unit, in Q3.12. */
static inline void gate_sums(const kws_gru_products *products, int32_t unit, const int8_t *x, int32_t *gates)
{
    memcpy(gates, products->bias + unit * KWS_GRU_GATES, KWS_GRU_GATES * sizeof *gates);
    multiply(x, products->weights + unit * KWS_GRU_GATES * products->depth, products->depth, gates);
    gates[KWS_GRU_UPDATE] = to_gate_units(&products->update, gates[KWS_GRU_UPDATE]);
    gates[KWS_GRU_RESET] = to_gate_units(&products->reset, gates[KWS_GRU_RESET]);
    gates[KWS_GRU_CANDIDATE] = to_gate_units(&products->candidate, gates[KWS_GRU_CANDIDATE]);
}

/* A function of Q3.12 in Q0.15, by straight lines between its points. */
static inline int32_t look_up(const int16_t *table, int32_t x)
{
    const int16_t *const at = table + (x >> 8) + 128;
    return at[0] + (((at[1] - at[0]) * (x & 255) + 128) >> 8);
}

void kws_gru(const kws_gru_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    const int32_t units = params->units, padded_units = params->from_state.depth;
    int16_t *const state = (int16_t *)(void *)scratch; /* Q0.15 */
    int8_t *const before = scratch + 2 * padded_units; /* the state of the step before in 8 bits, and zeros */
    int8_t *const row = before + padded_units;         /* of the input, and zeros */
    const int in_place = params->features == params->from_input.depth;
    memset(scratch, 0, (size_t)(3 * padded_units));
    if (!in_place) {
        memset(row, 0, (size_t)params->from_input.depth);
    }
    for (int32_t step = 0; step < params->steps; step++, input += params->features) {
        if (!in_place) {
            memcpy(row, input, (size_t)params->features);
        }
        for (int32_t unit = 0; unit < units; unit++) {
            int32_t read[KWS_GRU_GATES], kept[KWS_GRU_GATES];
            gate_sums(&params->from_input, unit, in_place ? input : row, read);
            gate_sums(&params->from_state, unit, before, kept);
            const int32_t z = look_up(params->sigmoid, saturate_int16(read[KWS_GRU_UPDATE] + kept[KWS_GRU_UPDATE]));
            const int32_t r = look_up(params->sigmoid, saturate_int16(read[KWS_GRU_RESET] + kept[KWS_GRU_RESET]));
            const int32_t reset = (r * kept[KWS_GRU_CANDIDATE] + (1 << 14)) >> 15;
            const int32_t n = look_up(params->tanh, saturate_int16(read[KWS_GRU_CANDIDATE] + reset));
            state[unit] = (int16_t)(n + ((z * (state[unit] - n) + (1 << 14)) >> 15));
        }
        for (int32_t unit = 0; unit < units; unit++) {
            before[unit] = (int8_t)kws_clamp((state[unit] + 128) >> 8, INT8_MIN, INT8_MAX);
        }
    }
    memcpy(output, before, (size_t)units);
}
