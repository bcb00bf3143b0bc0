/* SPDX-License-Identifier: MIT-0
 *
 * The sums of a unit's three gates are added up together: they read the same vector, and their weights lie side by side.
 * Portable, or two products at a time with the DSP extension.
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

#if KWS_DSP
/* sum + four products; even and odd: elements 0 2 and 1 3 of the vector. */
static inline int32_t add_four(int32_t sum, int16x2_t even, int16x2_t odd, const int8_t *weights)
{
    const uint32_t four = kws_load_four(weights);
    return __smlad(odd, kws_odd(four), __smlad(even, kws_even(four), sum));
}
#else
static inline int32_t add_four(int32_t sum, const int32_t *x, const int8_t *weights)
{
    return sum + x[0] * weights[0] + x[1] * weights[1] + x[2] * weights[2] + x[3] * weights[3];
}
#endif

/* weights * x + bias of all gates of a unit, in Q3.12. */
static inline void gate_sums(const kws_gru_products *products, int32_t unit, const int8_t *x, int32_t *gates)
{
    const int32_t *const bias = products->bias + unit * KWS_GRU_GATES;
    const int8_t *weights = products->weights + unit * KWS_GRU_GATES * products->depth;
    int32_t z = bias[KWS_GRU_UPDATE], r = bias[KWS_GRU_RESET], n = bias[KWS_GRU_CANDIDATE];
    for (const int8_t *const end = x + products->depth; x != end; x += KWS_GRU_BLOCK) {
#if KWS_DSP
        const uint32_t four = kws_load_four(x);
        const int16x2_t even = kws_even(four), odd = kws_odd(four);
        z = add_four(z, even, odd, weights);
        r = add_four(r, even, odd, weights + KWS_GRU_BLOCK);
        n = add_four(n, even, odd, weights + 2 * KWS_GRU_BLOCK);
#else
        const int32_t four[KWS_GRU_BLOCK] = {x[0], x[1], x[2], x[3]};
        z = add_four(z, four, weights);
        r = add_four(r, four, weights + KWS_GRU_BLOCK);
        n = add_four(n, four, weights + 2 * KWS_GRU_BLOCK);
#endif
        weights += KWS_GRU_GATES * KWS_GRU_BLOCK;
    }
    gates[KWS_GRU_UPDATE] = to_gate_units(&products->update, z);
    gates[KWS_GRU_RESET] = to_gate_units(&products->reset, r);
    gates[KWS_GRU_CANDIDATE] = to_gate_units(&products->candidate, n);
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
