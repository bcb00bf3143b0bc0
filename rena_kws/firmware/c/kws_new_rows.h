/* SPDX-License-Identifier: MIT-0
 *
 * Operators one after another over the new rows of an image that moves on: what is read again of the rows before is kept.
 */
#ifndef KWS_NEW_ROWS_H
#define KWS_NEW_ROWS_H

#include <stdint.h>

#include "kws_rows.h"

/* The rows of an image in the memory of rows: those that are kept, and behind them those that are new. */
typedef struct {
    int32_t offset;     /* bytes */
    int32_t kept_bytes;
    int32_t new_bytes;
} kws_new_rows_image;

typedef struct {
    kws_rows_function run;
    kws_window window;    /* over the rows from `input` on that the new rows of the output read */
    int32_t input;        /* of the memory of rows, bytes */
} kws_new_rows_stage;

typedef struct {
    const kws_new_rows_stage *stages; /* [count] */
    const kws_new_rows_image *images; /* [count + 1]: what each stage reads, and what the last one writes */
    int32_t count;
} kws_new_rows_params;

/* The new rows of every image, from those of the first. rows: the memory of rows; arena: scratch memory of the stages. */
void kws_new_rows(const kws_new_rows_params *params, int8_t *rows, int8_t *arena);

/* When the last image has been read: makes room for the next new rows. */
void kws_new_rows_keep(const kws_new_rows_params *params, int8_t *rows);

#endif
