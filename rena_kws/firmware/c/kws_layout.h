/* SPDX-License-Identifier: MIT-0
 *
 * Moving bytes without computing: one input of a concatenation, padding, and a strided slice.
 */
#ifndef KWS_LAYOUT_H
#define KWS_LAYOUT_H

#include <stdint.h>

typedef struct {
    int32_t rows;        /* pieces to copy */
    int32_t row_bytes;   /* of a piece */
    int32_t row_offset;  /* bytes before the piece in an output row */
    int32_t row_stride;  /* bytes of an output row */
} kws_concatenate_params;

typedef struct {
    int32_t input[4];   /* elements of the dimensions N, H, W, C */
    int32_t output[4];  /* elements of the dimensions N, H, W, C */
    int32_t before[4];  /* elements added in front of each dimension */
    int32_t value;      /* what is added, output units */
} kws_pad_params;

typedef struct {
    int32_t first;      /* the element taken first */
    int32_t output[4];  /* elements of the dimensions N, H, W, C */
    int32_t step[4];    /* elements of the input from one to the next of each dimension */
} kws_slice_params;

/* input and output must not overlap. */
void kws_concatenate(const kws_concatenate_params *params, const int8_t *input, int8_t *output);
void kws_pad(const kws_pad_params *params, const int8_t *input, int8_t *output);
void kws_slice(const kws_slice_params *params, const int8_t *input, int8_t *output);

#endif
