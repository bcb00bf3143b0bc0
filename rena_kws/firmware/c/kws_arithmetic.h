/* SPDX-License-Identifier: MIT-0
 *
 * Elementwise sum and product of two tensors. The second may be smaller: it is repeated along the first.
 */
#ifndef KWS_ARITHMETIC_H
#define KWS_ARITHMETIC_H

#include <stdint.h>

#define KWS_ADD_LEFT_SHIFT 20 /* bits of headroom the operands of a sum are raised by before they are scaled */

typedef struct {
    int32_t length;             /* elements of `first` and of the output */
    int32_t second_length;      /* elements of `second`; divides length */
    int32_t first_zero_point;   /* units of `first` */
    int32_t second_zero_point;  /* units of `second` */
    int32_t first_multiplier;   /* raised `first` to the common unit of the sum, Q31; add only */
    int32_t first_shift;        /* beside it, power of two, not positive; add only */
    int32_t second_multiplier;  /* raised `second` to the common unit of the sum, Q31; add only */
    int32_t second_shift;       /* beside it, power of two, not positive; add only */
    int32_t output_multiplier;  /* sum or product to output units, Q31 */
    int32_t output_shift;       /* beside it, power of two */
    int32_t output_zero_point;  /* output units */
    int32_t output_min;         /* output units, from the activation */
    int32_t output_max;         /* output units, from the activation */
} kws_arithmetic_params;

/* The output may be the first operand itself, or the second where it is as long.
 * kws_add: the fast path of the core; operands of one length, outputs from -128 to 127 and a factor below
 * 1/2 to them. */
void kws_add(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output);
void kws_add_portable(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output);
void kws_multiply(const kws_arithmetic_params *params, const int8_t *first, const int8_t *second, int8_t *output);

#endif
