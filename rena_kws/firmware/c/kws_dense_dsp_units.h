/* SPDX-License-Identifier: MIT-0
 *
 * Assembly of the loops in kws_dense_dsp_body.h that depends on KWS_WEIGHT_BITS: how a unit of weights is read and
 * multiplied, what sums start from and how they end.
 *
 * Packed weights cost an AND and mostly a shift a word, which leaves each code in the high bits of its byte and zeros
 * below: the sums are those of the codes times 2^(8 - KWS_WEIGHT_BITS), below 2^14 an element.
 */
#ifndef KWS_DENSE_DSP_UNITS_H
#define KWS_DENSE_DSP_UNITS_H

#include "kws_quantized.h"
#include "kws_weights.h"

/* Units of weights in a loop body; powers of two. */
#if KWS_WEIGHT_BITS == 2
#define FOUR_ROWS_UNROLLED "4"
#define ONE_ROW_UNROLLED "4"
#else
#define FOUR_ROWS_UNROLLED "8"
#define ONE_ROW_UNROLLED "8"
#endif

/* Two elements of four rows by two channels: r0 rows, r1 weights, sums in r4 to r7 and r8 to r11. `load` brings the word
 * of weights to r2 and `unpack` makes it one of bytes. */
#define TWO_ELEMENTS(load, unpack)      \
    load                                \
    "ldr    r12, [r0], #4          \n" \
    "ldr    lr, [r0], #4           \n" \
    unpack                              \
    "sxtb16 r3, r2, ror #8         \n" \
    "sxtb16 r2, r2                 \n" \
    "smlad  r8, r12, r3, r8        \n" \
    "smlad  r4, r12, r2, r4        \n" \
    "smlad  r9, lr, r3, r9         \n" \
    "smlad  r5, lr, r2, r5         \n" \
    "ldr    r12, [r0], #4          \n" \
    "ldr    lr, [r0], #4           \n" \
    "smlad  r10, r12, r3, r10      \n" \
    "smlad  r6, r12, r2, r6        \n" \
    "smlad  r11, lr, r3, r11       \n" \
    "smlad  r7, lr, r2, r7         \n"
#define LOAD "ldr.w  r2, [r1] \n"
#define LOAD_LAST "ldr    r2, [r1], #4 \n"

/* The codes that begin at bit `above` from the top of each byte of `from`. */
#define TOP_CODES(to, above, from) "lsl " to ", " from ", #" above " \n" KEEP_CODES(to)
#define KEEP_CODES(word) "and " word ", " word ", #" CODES_MASK " \n"

/* FOUR_ROWS_UNIT, its bytes of code, and log2 of the bytes of a unit in the rows. */
#if KWS_WEIGHT_BITS == 8
#define FOUR_ROWS_UNIT TWO_ELEMENTS(LOAD_LAST, "") TWO_ELEMENTS(LOAD_LAST, "")
#define FOUR_ROWS_CODE_BYTES "120"
#define FOUR_ROWS_SHIFT "5"
#elif KWS_WEIGHT_BITS == 4
#define CODES_MASK "0xF0F0F0F0"
#define FOUR_ROWS_UNIT TWO_ELEMENTS(LOAD, KEEP_CODES("r2")) TWO_ELEMENTS(LOAD_LAST, TOP_CODES("r2", "4", "r2"))
#define FOUR_ROWS_CODE_BYTES "132"
#define FOUR_ROWS_SHIFT "5"
#else
#define CODES_MASK "0xC0C0C0C0"
#define FOUR_ROWS_UNIT                                    \
    TWO_ELEMENTS(LOAD, KEEP_CODES("r2"))                  \
    TWO_ELEMENTS(LOAD, TOP_CODES("r2", "2", "r2"))        \
    TWO_ELEMENTS(LOAD, TOP_CODES("r2", "4", "r2"))        \
    TWO_ELEMENTS(LOAD_LAST, TOP_CODES("r2", "6", "r2"))
#define FOUR_ROWS_CODE_BYTES "268"
#define FOUR_ROWS_SHIFT "6"
#endif

/* START: what two sums start from, of the record at `record`. The sums of codes turn into accumulators by SCALED, behind
 * the last product. */
#if KWS_WEIGHT_BITS == 8
#define START(a, b, record, at)                  \
    "ldr    " a ", [" record ", #" at "]     \n" \
    "ldr    " b ", [" record ", #" at " + 4] \n"
#else
#define START(a, b, record, at)                  \
    "mov    " a ", #0 \n"                        \
    "mov    " b ", #0 \n"
#define SCALED(sum, step, bias)                  \
    "asr    " sum ", " sum ", #8 - " KWS_TEXT(KWS_WEIGHT_BITS) " \n" \
    "mla    " sum ", " sum ", " step ", " bias " \n"
#endif

/* r1 steps, to the next pair, and r2 record. */
#if KWS_WEIGHT_BITS == 8
#define FOUR_ROWS_SCALED ""
#else
#define FOUR_ROWS_SCALED                \
    "ldrsb  r3, [r1]               \n" \
    "ldr    r12, [r2]              \n" \
    SCALED("r4", "r3", "r12") SCALED("r5", "r3", "r12") SCALED("r6", "r3", "r12") SCALED("r7", "r3", "r12") \
    "ldrsb  r3, [r1, #1]           \n" \
    "ldr    r12, [r2, #4]          \n" \
    "add    r1, r1, #4             \n" \
    SCALED("r8", "r3", "r12") SCALED("r9", "r3", "r12") SCALED("r10", "r3", "r12") SCALED("r11", "r3", "r12")
#endif

/* Four elements of one row by four channels: r0 row, r1 and r2 weights of two pairs, sums in r4 to r7. `weights` brings the
 * words of the first pair to r9 and r10, of the second to r11 and r12. */
#define FOUR_ELEMENTS(weights)          \
    "ldr    r3, [r0], #4           \n" \
    weights                             \
    "sxtb16 r8, r3                 \n" \
    "sxtb16 lr, r9                 \n" \
    "sxtb16 r9, r9, ror #8         \n" \
    "smlad  r4, r8, lr, r4         \n" \
    "smlad  r5, r8, r9, r5         \n" \
    "sxtb16 lr, r11                \n" \
    "sxtb16 r11, r11, ror #8       \n" \
    "smlad  r6, r8, lr, r6         \n" \
    "smlad  r7, r8, r11, r7        \n" \
    "sxtb16 r3, r3, ror #8         \n" \
    "sxtb16 lr, r10                \n" \
    "sxtb16 r10, r10, ror #8       \n" \
    "smlad  r4, r3, lr, r4         \n" \
    "smlad  r5, r3, r10, r5        \n" \
    "sxtb16 lr, r12                \n" \
    "sxtb16 r12, r12, ror #8       \n" \
    "smlad  r6, r3, lr, r6         \n" \
    "smlad  r7, r3, r12, r7        \n"

/* ONE_ROW_UNIT, its bytes of code, and log2 of the bytes of a unit in the row. */
#if KWS_WEIGHT_BITS == 8
#define ONE_ROW_UNIT                    \
    FOUR_ELEMENTS(                      \
    "ldr    r9, [r1], #4           \n" \
    "ldr    r10, [r1], #4          \n" \
    "ldr    r11, [r2], #4          \n" \
    "ldr    r12, [r2], #4          \n")
#define ONE_ROW_CODE_BYTES "92"
#define ONE_ROW_SHIFT "2"
#else
#define NEXT_WORDS(next)                \
    "ldr.w  r9, [r1]" next "       \n" \
    "ldr.w  r11, [r2]" next "      \n"
#define FIRST_AND(second)                                                          \
    TOP_CODES("r10", second, "r9") TOP_CODES("r12", second, "r11") KEEP_CODES("r9") KEEP_CODES("r11")
#if KWS_WEIGHT_BITS == 4
#define ONE_ROW_UNIT FOUR_ELEMENTS(NEXT_WORDS(", #4") FIRST_AND("4"))
#define ONE_ROW_CODE_BYTES "108"
#define ONE_ROW_SHIFT "2"
#else
#define ONE_ROW_UNIT                                                               \
    FOUR_ELEMENTS(NEXT_WORDS("") FIRST_AND("2"))                                   \
    FOUR_ELEMENTS(NEXT_WORDS(", #4") "lsl r9, r9, #4 \n lsl r11, r11, #4 \n" FIRST_AND("2"))
#define ONE_ROW_CODE_BYTES "224"
#define ONE_ROW_SHIFT "3"
#endif
#endif

/* ONE_ROW_STEPS: r1 and r2 steps, r2 to the next pair. ONE_ROW_SCALED: r0 job, r2 record, r9 channels left. */
#if KWS_WEIGHT_BITS == 8
#define ONE_ROW_STEPS ""
#define ONE_ROW_SCALED ""
#else
#define ONE_ROW_STEPS                   \
    "ldrsb  r10, [r1]              \n" \
    "ldrsb  r11, [r1, #1]          \n" \
    "ldrsb  lr, [r2, #1]           \n" \
    "ldrsb  r12, [r2], #4          \n"
#define ONE_ROW_SCALED                  \
    "ldr    r3, [r2]               \n" \
    SCALED("r4", "r10", "r3")           \
    "ldr    r3, [r2, #4]           \n" \
    SCALED("r5", "r11", "r3")           \
    "cmp    r9, #2                 \n" \
    "ble    9f                     \n" \
    "ldr    r3, [r2, #" NEXT_RECORD "] \n" \
    SCALED("r6", "r12", "r3")           \
    "ldr    r3, [r2, #" NEXT_RECORD " + 4] \n" \
    SCALED("r7", "lr", "r3")            \
    "9:                            \n" \
    "ldr    r3, [r0, #28]          \n"
#endif

#endif
