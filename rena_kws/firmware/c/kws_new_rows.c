/* SPDX-License-Identifier: MIT-0
 *
 * No operator pads along time, so a row of an image does not change when the image moves on by it.
 */
#include "kws_new_rows.h"

void kws_new_rows(const kws_new_rows_params *params, int8_t *rows, int8_t *arena)
{
    for (int32_t i = 0; i < params->count; i++) {
        const kws_new_rows_stage *const stage = params->stages + i;
        const kws_new_rows_image *const output = params->images + i + 1;
        stage->run(arena, &stage->window, 0, rows + stage->input, rows + output->offset + output->kept_bytes, arena);
    }
}

void kws_new_rows_keep(const kws_new_rows_params *params, int8_t *rows)
{
    for (int32_t i = 0; i <= params->count; i++) {
        const kws_new_rows_image *const image = params->images + i;
        kws_rows_move(rows + image->offset, image->new_bytes, image->kept_bytes);
    }
}
