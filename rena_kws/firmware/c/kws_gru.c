/* SPDX-License-Identifier: MIT-0
 *
 * The sums of a unit's three gates are added up together: they read the same vector. Portable, or two products at a time
 * with the DSP extension.
 */
#include "kws_gru.h"

#include "kws_dsp.h"
#include "kws_quantized.h"

static inline int32_t saturate_int16(int32_t x)
{
    return kws_clamp(x, INT16_MIN, INT16_MAX);
}

/* A sum in Q3.12. */
static inline int32_t to_gate_units(int32_t sum, int32_t multiplier, int32_t shift)
{
    if (shift > 0) {
        const int32_t most = INT32_MAX >> shift;
        if (sum > most || sum < -most - 1) {
            /* Multipliers are 1/2 at least: what saturates 32 bits saturates 16. */
            return sum < 0 ? INT16_MIN : INT16_MAX;
        }
    }
    return saturate_int16(kws_scale(sum, multiplier, shift));
}

#if KWS_DSP
/* sum + four products; even and odd: elements 0 2 and 1 3 of the vector. */
static inline int32_t add_four(int32_t sum, int16x2_t even, int16x2_t odd, const int8_t *weights)
{
    const uint32_t four = kws_load_four(weights);
    return __smlad(odd, kws_odd(four), __smlad(even, kws_even(four), sum));
}
#endif

/* a * x + b of all gates of a unit, in Q3.12. */
static inline void gate_sums(const kws_gru_products *products, int32_t unit, const int8_t *x, int32_t *gates)
{
    const int32_t depth = products->depth;
    const int32_t *const bias = products->bias + unit * KWS_GRU_GATES;
    const int8_t *const update = products->weights + unit * KWS_GRU_GATES * depth;
    const int8_t *const reset = update + depth, *const candidate = reset + depth;
    int32_t z = bias[KWS_GRU_UPDATE], r = bias[KWS_GRU_RESET], n = bias[KWS_GRU_CANDIDATE];
    int32_t i = 0;
#if KWS_DSP
    for (; i + 4 <= depth; i += 4) {
        const uint32_t four = kws_load_four(x + i);
        const int16x2_t even = kws_even(four), odd = kws_odd(four);
        z = add_four(z, even, odd, update + i);
        r = add_four(r, even, odd, reset + i);
        n = add_four(n, even, odd, candidate + i);
    }
#endif
    for (; i < depth; i++) {
        z += update[i] * x[i];
        r += reset[i] * x[i];
        n += candidate[i] * x[i];
    }
    gates[KWS_GRU_UPDATE] = to_gate_units(z, products->multiplier[KWS_GRU_UPDATE], products->shift[KWS_GRU_UPDATE]);
    gates[KWS_GRU_RESET] = to_gate_units(r, products->multiplier[KWS_GRU_RESET], products->shift[KWS_GRU_RESET]);
    gates[KWS_GRU_CANDIDATE] =
        to_gate_units(n, products->multiplier[KWS_GRU_CANDIDATE], products->shift[KWS_GRU_CANDIDATE]);
}

/* A function of Q3.12 in Q0.15, by straight lines between its points. */
static int32_t look_up(const int16_t *table, int32_t x)
{
    const int32_t left = table[(x >> 8) + 128], right = table[(x >> 8) + 129];
    return left + (((right - left) * (x & 255) + 128) >> 8);
}

void kws_gru(const kws_gru_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    int16_t *const state = (int16_t *)(void *)scratch; /* Q0.15; what the next step multiplies is the output so far */
    const int32_t units = params->units;
    for (int32_t unit = 0; unit < units; unit++) {
        state[unit] = 0;
        output[unit] = 0;
    }
    for (int32_t step = 0; step < params->steps; step++, input += params->from_input.depth) {
        for (int32_t unit = 0; unit < units; unit++) {
            int32_t read[KWS_GRU_GATES], kept[KWS_GRU_GATES];
            gate_sums(&params->from_input, unit, input, read);
            gate_sums(&params->from_state, unit, output, kept);
            const int32_t z = look_up(params->sigmoid, saturate_int16(read[KWS_GRU_UPDATE] + kept[KWS_GRU_UPDATE]));
            const int32_t r = look_up(params->sigmoid, saturate_int16(read[KWS_GRU_RESET] + kept[KWS_GRU_RESET]));
            const int32_t reset = (r * kept[KWS_GRU_CANDIDATE] + (1 << 14)) >> 15;
            const int32_t n = look_up(params->tanh, saturate_int16(read[KWS_GRU_CANDIDATE] + reset));
            state[unit] = (int16_t)(n + ((z * (state[unit] - n) + (1 << 14)) >> 15));
        }
        for (int32_t unit = 0; unit < units; unit++) {
            output[unit] = (int8_t)kws_clamp((state[unit] + 128) >> 8, INT8_MIN, INT8_MAX);
        }
    }
}
