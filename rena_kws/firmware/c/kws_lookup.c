/* SPDX-License-Identifier: MIT-0
 */
#include "kws_lookup.h"

void kws_lookup(const kws_lookup_params *params, const int8_t *input, int8_t *output)
{
    for (int32_t i = 0; i < params->length; i++) {
        output[i] = params->table[input[i] + 128];
    }
}
