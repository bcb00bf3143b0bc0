/* SPDX-License-Identifier: MIT-0
 *
 * Operators one after another by bands of rows: of the images between them only the rows exist that are still read.
 */
#ifndef KWS_ROWS_H
#define KWS_ROWS_H

#include <stdint.h>

#include "kws_window.h"

#define KWS_ROWS_STAGES 4 /* operators at most */

/* Computes a band. band: the window over the rows at `input` that gives the rows of `output`; row: the first of these in
 * the whole image, where an operator reads another one beside its input. */
typedef void (*kws_rows_function)(int8_t *arena, const kws_window *band, int32_t row, const int8_t *input,
                                  int8_t *output, int8_t *scratch);

typedef struct {
    kws_rows_function run;
    kws_window window;         /* over the whole image */
    int32_t input_row_bytes;
    int32_t output_row_bytes;
    int32_t rows_offset;       /* of scratch memory, bytes: the rows of the output; not used by the last stage */
    int32_t scratch_offset;    /* of scratch memory, bytes: what `run` gets */
} kws_rows_stage;

typedef struct {
    const kws_rows_stage *stages; /* [count] */
    int32_t count;                /* 2 to KWS_ROWS_STAGES */
    int32_t band_rows;            /* rows of the last output that are computed at a time */
} kws_rows_params;

/* input and output: whole images. They may overlap where no band is written over rows that are still read. */
void kws_rows(const kws_rows_params *params, int8_t *arena, const int8_t *input, int8_t *output, int8_t *scratch);

/* Moves bytes to the front of a buffer, from `step` > 0 bytes behind it. */
void kws_rows_move(int8_t *to, int32_t step, int32_t bytes);

#endif
