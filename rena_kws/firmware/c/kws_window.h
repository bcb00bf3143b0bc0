/* SPDX-License-Identifier: MIT-0
 *
 * A kernel or a pooling window and how it moves over an image.
 */
#ifndef KWS_WINDOW_H
#define KWS_WINDOW_H

#include <stdint.h>

typedef struct {
    int32_t height;           /* taps */
    int32_t width;            /* taps */
    int32_t stride_height;    /* pixels */
    int32_t stride_width;     /* pixels */
    int32_t dilation_height;  /* pixels from tap to tap */
    int32_t dilation_width;   /* pixels from tap to tap */
    int32_t pad_top;          /* pixels */
    int32_t pad_left;         /* pixels */
    int32_t input_height;     /* pixels */
    int32_t input_width;      /* pixels */
    int32_t output_height;    /* pixels */
    int32_t output_width;     /* pixels */
} kws_window;

#endif
