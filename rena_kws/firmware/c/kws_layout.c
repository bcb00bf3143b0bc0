/* SPDX-License-Identifier: MIT-0
 */
#include "kws_layout.h"

#include <string.h>

void kws_concatenate(const kws_concatenate_params *params, const int8_t *input, int8_t *output)
{
    output += params->row_offset;
    for (int32_t row = 0; row < params->rows; row++) {
        memcpy(output, input, (size_t)params->row_bytes);
        input += params->row_bytes;
        output += params->row_stride;
    }
}

void kws_pad(const kws_pad_params *params, const int8_t *input, int8_t *output)
{
    const int32_t *out = params->output;
    const int32_t *before = params->before;
    const size_t channels = (size_t)params->input[3];
    memset(output, params->value, (size_t)(out[0] * out[1] * out[2] * out[3]));
    for (int32_t n = 0; n < params->input[0]; n++) {
        for (int32_t y = 0; y < params->input[1]; y++) {
            const int32_t line = ((n + before[0]) * out[1] + y + before[1]) * out[2] + before[2];
            for (int32_t x = 0; x < params->input[2]; x++) {
                memcpy(output + (line + x) * out[3] + before[3], input, channels);
                input += channels;
            }
        }
    }
}

void kws_slice(const kws_slice_params *params, const int8_t *input, int8_t *output)
{
    const int32_t *size = params->output;
    const int32_t *step = params->step;
    int32_t image = params->first;
    for (int32_t n = 0; n < size[0]; n++, image += step[0]) {
        int32_t row = image;
        for (int32_t y = 0; y < size[1]; y++, row += step[1]) {
            int32_t pixel = row;
            for (int32_t x = 0; x < size[2]; x++, pixel += step[2]) {
                int32_t element = pixel;
                for (int32_t c = 0; c < size[3]; c++, element += step[3]) {
                    *output++ = input[element];
                }
            }
        }
    }
}
