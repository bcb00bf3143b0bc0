/* SPDX-License-Identifier: MIT-0
 */
#include "kws_gru.h"

#include <stddef.h>

#include "kws_quantized.h"

static inline int32_t saturate_int16(int32_t x)
{
    return kws_clamp(x, INT16_MIN, INT16_MAX);
}

/* (a * x + b) in Q3.12 for row `unit`; no x stands for zeros. */
static int32_t gate_sum(const kws_gru_product *product, int32_t unit, int32_t depth, const int8_t *x)
{
    int32_t sum = product->bias[unit];
    if (x != NULL) {
        const int8_t *const row = product->weights + unit * depth;
        for (int32_t i = 0; i < depth; i++) {
            sum += row[i] * x[i];
        }
    }
    if (product->shift > 0) {
        const int32_t most = INT32_MAX >> product->shift;
        if (sum > most || sum < -most - 1) {
            /* Multipliers are 1/2 at least: what saturates 32 bits saturates 16. */
            return sum < 0 ? INT16_MIN : INT16_MAX;
        }
    }
    return saturate_int16(kws_scale(sum, product->multiplier, product->shift));
}

/* A function of Q3.12 in Q0.15, by straight lines between its points. */
static int32_t look_up(const int16_t *table, int32_t x)
{
    const int32_t left = table[(x >> 8) + 128], right = table[(x >> 8) + 129];
    return left + (((right - left) * (x & 255) + 128) >> 8);
}

void kws_gru(const kws_gru_params *params, const int8_t *input, int16_t *state, int8_t *output)
{
    const kws_gru_product *const in = params->from_input, *const back = params->from_state;
    const int8_t *before = NULL; /* the output of the step before is the state in 8 bits */
    for (int32_t unit = 0; unit < params->units; unit++) {
        state[unit] = 0;
    }
    for (int32_t step = 0; step < params->steps; step++) {
        for (int32_t unit = 0; unit < params->units; unit++) {
            int32_t from_input[KWS_GRU_GATES], from_state[KWS_GRU_GATES];
            for (int gate = 0; gate < KWS_GRU_GATES; gate++) {
                from_input[gate] = gate_sum(&in[gate], unit, params->features, input);
                from_state[gate] = gate_sum(&back[gate], unit, params->units, before);
            }
            const int32_t z =
                look_up(params->sigmoid, saturate_int16(from_input[KWS_GRU_UPDATE] + from_state[KWS_GRU_UPDATE]));
            const int32_t r =
                look_up(params->sigmoid, saturate_int16(from_input[KWS_GRU_RESET] + from_state[KWS_GRU_RESET]));
            const int32_t kept = (r * from_state[KWS_GRU_CANDIDATE] + (1 << 14)) >> 15;
            const int32_t n = look_up(params->tanh, saturate_int16(from_input[KWS_GRU_CANDIDATE] + kept));
            const int32_t h = n + ((z * (state[unit] - n) + (1 << 14)) >> 15);
            state[unit] = (int16_t)h;
            output[unit] = (int8_t)kws_clamp((h + 128) >> 8, INT8_MIN, INT8_MAX);
        }
        before = output;
        input += params->features;
        output += params->units;
    }
}
