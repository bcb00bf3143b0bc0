/* SPDX-License-Identifier: MIT-0
 *
 * The dense layer for weights of KWS_WEIGHT_BITS on cores with the DSP extension, compiled once a width.
 *
 * Registers are the constraint: 14 of them hold eight sums of four rows by two channels, two words of weights, two of
 * inputs, and the two addresses they come from. No compiler keeps to that, so the loops are assembly; the C beside them in
 * kws_dense_body.h computes the same.
 *
 * Four rows are unpacked to 16 bits once and laid side by side, so that they stream from one address through all
 * channels. A single row is read as it is: unpacking it is shared by four channels.
 */
#include "kws_dense_dsp.h"
#include "kws_dense_dsp_units.h"

#if KWS_DSP

#include <stddef.h>
#include <string.h>

/* What the assembly reads; offsets in bytes are written there. */
typedef struct {
    const uint32_t *rows;             /* 0: four rows [depth / 4][elements 0 2 or 1 3][row], or one row of bytes */
    const void *rows_end;             /* 4 */
    const int8_t *weights;            /* 8: moves on by pairs of channels */
    const kws_channels *records;      /* 12: moves on */
    int32_t left;                     /* 16: channels, counts down */
    int8_t *output;                   /* 20: moves on */
    int32_t output_stride;            /* 24: bytes from row to row */
    int32_t kind;                     /* 28 */
    int32_t zero_point;               /* 32 */
    int32_t weights_stride;           /* 36: bytes from pair to pair */
} job;

/* Bytes in a record of two channels. */
#define MULTIPLIER_A "8"
#define MULTIPLIER_B "12"
#define ADJUSTMENT_A "16"
#define ADJUSTMENT_B "18"
#define NEXT_RECORD "20"

typedef char layout_is_that_of_the_assembly[offsetof(job, weights_stride) == 36 && sizeof(kws_channels) == 20 ? 1 : -1];

/* Folded: r3 multiplier, r12 addend. */
#define FOLDED_HIGH(sum) "smmla " sum ", " sum ", r3, r12 \n"
#define FOLDED_LOW(sum) "ssat " sum ", #8, " sum ", asr #" KWS_TEXT(KWS_FOLDED_SHIFT) " \n"

/* Rounded: r3 multiplier, r12 right shift, lr zero point and half a unit, both shifted left; ties go away from zero. */
#define ROUNDED(sum)                              \
    "add    r2, lr, " sum ", asr #31 \n"          \
    "lsl    " sum ", " sum ", #1 \n"              \
    "smmlar " sum ", " sum ", r3, r2 \n"          \
    "asr    " sum ", " sum ", r12 \n"             \
    "ssat   " sum ", #8, " sum " \n"

/* r0 job, r2 record; leaves what ROUNDED takes, and not r2. */
#define LOAD_ROUNDED(multiplier, adjustment)      \
    "ldr    r3, [r2, #" multiplier "] \n"         \
    "ldrsh  r12, [r2, #" adjustment "] \n"        \
    "ldr    lr, [r0, #32] \n"                     \
    "rsb    r12, r12, #0 \n"                      \
    "mov    r2, #1 \n"                            \
    "lsl    lr, lr, r12 \n"                       \
    "lsl    r2, r2, r12 \n"                       \
    "add    lr, lr, r2, lsr #1 \n"

/* [sp]: the job, [sp, 4]: where to enter the loop at label 2, [sp, 8]: the end of the rows. The first pass through the
 * unrolled body leaves out what is no whole pass. unit_shift: log2 of a unit's bytes in the rows. */
#define ENTER(unit_shift, unrolled, unit_code_bytes)  \
    "push   {r4-r11, lr}           \n"                  \
    "sub    sp, #12                \n"                  \
    "ldr    r1, [r0, #4]           \n"                  \
    "ldr    r2, [r0]               \n"                  \
    "str    r0, [sp]               \n"                  \
    "str    r1, [sp, #8]           \n"                  \
    "sub    r1, r1, r2             \n"                  \
    "lsr    r1, r1, #" unit_shift " \n"                \
    "rsb    r1, r1, #0             \n"                  \
    "and    r1, r1, #" unrolled " - 1 \n"               \
    "mov    r2, #" unit_code_bytes " \n"               \
    "mul    r1, r1, r2             \n"                  \
    "adr.w  r2, 2f                 \n"                  \
    "add    r1, r1, r2             \n"                  \
    "orr    r1, r1, #1             \n"                  \
    "str    r1, [sp, #4]           \n"

/* Eight outputs a pair of channels, for all pairs. */
KWS_ASSEMBLY static void four_rows(job *work __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified               \n"
        ENTER(FOUR_ROWS_SHIFT, FOUR_ROWS_UNROLLED, FOUR_ROWS_CODE_BYTES)
        "ldr    r1, [r0, #8]           \n"
        "1:                            \n" /* a pair of channels */
        "ldr    r3, [sp, #4]           \n"
        "ldr    r2, [r0, #12]          \n"
        "ldr    r0, [r0]               \n"
        START("r4", "r8", "r2", "0")
        "mov    r5, r4                 \n"
        "mov    r6, r4                 \n"
        "mov    r7, r4                 \n"
        "mov    r9, r8                 \n"
        "mov    r10, r8                \n"
        "mov    r11, r8                \n"
        "bx     r3                     \n"
        ".balign 4                     \n"
        "2:                            \n"
        ".rept  " FOUR_ROWS_UNROLLED " \n"
        FOUR_ROWS_UNIT
        ".endr                         \n"
        "ldr    r12, [sp, #8]          \n"
        "cmp    r0, r12                \n"
        "bne    2b                     \n"
        "ldr    r0, [sp]               \n"
        "ldr    lr, [r0, #28]          \n"
        "ldr    r2, [r0, #12]          \n"
        FOUR_ROWS_SCALED
        "ldr    r3, [r2, #" MULTIPLIER_A "] \n"
        "ldrsh  r12, [r2, #" ADJUSTMENT_A "] \n"
        "cmp    lr, #0                 \n"
        "bne    3f                     \n"
        FOLDED_HIGH("r4") FOLDED_HIGH("r5") FOLDED_HIGH("r6") FOLDED_HIGH("r7")
        "ldr    r3, [r2, #" MULTIPLIER_B "] \n"
        "ldrsh  r12, [r2, #" ADJUSTMENT_B "] \n"
        FOLDED_LOW("r4") FOLDED_LOW("r5") FOLDED_LOW("r6") FOLDED_LOW("r7")
        FOLDED_HIGH("r8") FOLDED_HIGH("r9") FOLDED_HIGH("r10") FOLDED_HIGH("r11")
        FOLDED_LOW("r8") FOLDED_LOW("r9") FOLDED_LOW("r10") FOLDED_LOW("r11")
        "4:                            \n" /* both outputs of a row together */
        "ldr    r3, [r0, #20]          \n"
        "ldr    r12, [r0, #24]         \n"
        "ldr    lr, [r0, #16]          \n"
        "add    r2, r2, #" NEXT_RECORD " \n"
        "subs   lr, lr, #2             \n"
        "str    r2, [r0, #12]          \n"
        "str    lr, [r0, #16]          \n"
        "add    r2, r3, r12            \n"
        "add    lr, r3, r12, lsl #1    \n"
        "add    r12, r2, r12, lsl #1   \n"
        "bmi    5f                     \n" /* no second channel */
        "bfi    r4, r8, #8, #8         \n"
        "bfi    r5, r9, #8, #8         \n"
        "bfi    r6, r10, #8, #8        \n"
        "bfi    r7, r11, #8, #8        \n"
        "strh   r4, [r3], #2           \n"
        "strh   r5, [r2]               \n"
        "strh   r6, [lr]               \n"
        "strh   r7, [r12]              \n"
        "str    r3, [r0, #20]          \n"
        "bne    1b                     \n"
        "add    sp, #12                \n"
        "pop    {r4-r11, pc}           \n"
        "5:                            \n"
        "strb   r4, [r3]               \n"
        "strb   r5, [r2]               \n"
        "strb   r6, [lr]               \n"
        "strb   r7, [r12]              \n"
        "add    sp, #12                \n"
        "pop    {r4-r11, pc}           \n"
        "3:                            \n"
        LOAD_ROUNDED(MULTIPLIER_A, ADJUSTMENT_A)
        ROUNDED("r4") ROUNDED("r5") ROUNDED("r6") ROUNDED("r7")
        "ldr    r2, [r0, #12]          \n"
        LOAD_ROUNDED(MULTIPLIER_B, ADJUSTMENT_B)
        ROUNDED("r8") ROUNDED("r9") ROUNDED("r10") ROUNDED("r11")
        "ldr    r2, [r0, #12]          \n"
        "b      4b                     \n");
}

#define FOLDED_ONE(sum, multiplier, adjustment)   \
    "ldr    r3, [r2, #" multiplier "] \n"         \
    "ldrsh  r12, [r2, #" adjustment "] \n"        \
    FOLDED_HIGH(sum) FOLDED_LOW(sum)

/* Four outputs a pass. Where fewer are left, the sums of a missing second pair are those of the first, and not stored. */
KWS_ASSEMBLY static void one_row(job *work __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified               \n"
        ENTER(ONE_ROW_SHIFT, ONE_ROW_UNROLLED, ONE_ROW_CODE_BYTES)
        "1:                            \n" /* two pairs of channels */
        "ldr    r3, [r0, #12]          \n"
        "ldr    r4, [r0, #16]          \n"
        "ldr    r1, [r0, #8]           \n"
        "ldr    r2, [r0, #36]          \n"
        "cmp    r4, #2                 \n"
        "ble    6f                     \n"
        "add    r2, r1, r2             \n"
        START("r6", "r7", "r3", NEXT_RECORD)
        "7:                            \n"
        START("r4", "r5", "r3", "0")
        "ldr    r3, [sp, #4]           \n"
        "ldr    r0, [r0]               \n"
        "bx     r3                     \n"
        "6:                            \n" /* no second pair: the first again */
        "mov    r2, r1                 \n"
        "b      7b                     \n"
        ".balign 4                     \n"
        "2:                            \n"
        ".rept  " ONE_ROW_UNROLLED "   \n"
        ONE_ROW_UNIT
        ".endr                         \n"
        "ldr    r12, [sp, #8]          \n"
        "cmp    r0, r12                \n"
        "bne    2b                     \n"
        "ldr    r0, [sp]               \n"
        ONE_ROW_STEPS
        "str    r2, [r0, #8]           \n"
        "ldr    r3, [r0, #28]          \n"
        "ldr    r9, [r0, #16]          \n"
        "ldr    r2, [r0, #12]          \n"
        "ldr    r8, [r0, #20]          \n"
        ONE_ROW_SCALED
        "cmp    r3, #0                 \n"
        "bne    4f                     \n"
        FOLDED_ONE("r4", MULTIPLIER_A, ADJUSTMENT_A) FOLDED_ONE("r5", MULTIPLIER_B, ADJUSTMENT_B)
        "cmp    r9, #2                 \n"
        "ble    5f                     \n"
        FOLDED_ONE("r6", NEXT_RECORD " + " MULTIPLIER_A, NEXT_RECORD " + " ADJUSTMENT_A)
        FOLDED_ONE("r7", NEXT_RECORD " + " MULTIPLIER_B, NEXT_RECORD " + " ADJUSTMENT_B)
        "3:                            \n"
        "subs   r9, r9, #4             \n"
        "bmi    5f                     \n"
        "strb   r4, [r8], #4           \n"
        "add    r2, r2, #2 * " NEXT_RECORD " \n"
        "strb   r5, [r8, #-3]          \n"
        "strb   r6, [r8, #-2]          \n"
        "strb   r7, [r8, #-1]          \n"
        "str    r2, [r0, #12]          \n"
        "str    r9, [r0, #16]          \n"
        "str    r8, [r0, #20]          \n"
        "bne    1b                     \n"
        "add    sp, #12                \n"
        "pop    {r4-r11, pc}           \n"
        "4:                            \n"
        LOAD_ROUNDED(MULTIPLIER_A, ADJUSTMENT_A) ROUNDED("r4")
        "ldr    r2, [r0, #12]          \n"
        LOAD_ROUNDED(MULTIPLIER_B, ADJUSTMENT_B) ROUNDED("r5")
        "ldr    r2, [r0, #12]          \n"
        "cmp    r9, #2                 \n"
        "ble    5f                     \n"
        LOAD_ROUNDED(NEXT_RECORD " + " MULTIPLIER_A, NEXT_RECORD " + " ADJUSTMENT_A) ROUNDED("r6")
        "ldr    r2, [r0, #12]          \n"
        LOAD_ROUNDED(NEXT_RECORD " + " MULTIPLIER_B, NEXT_RECORD " + " ADJUSTMENT_B) ROUNDED("r7")
        "ldr    r2, [r0, #12]          \n"
        "b      3b                     \n"
        "5:                            \n" /* fewer than four */
        "ldr    r9, [r0, #16]          \n"
        "strb   r4, [r8]               \n"
        "cmp    r9, #1                 \n"
        "beq    8f                     \n"
        "strb   r5, [r8, #1]           \n"
        "cmp    r9, #2                 \n"
        "beq    8f                     \n"
        "strb   r6, [r8, #2]           \n"
        "8:                            \n"
        "add    sp, #12                \n"
        "pop    {r4-r11, pc}           \n");
}

/* [4][depth] bytes to what four_rows reads, filled up with zeros. */
static void unpack_four_rows(const int8_t *rows, int32_t depth, uint32_t *words)
{
    const int32_t whole = depth / 4 * 4;
    for (int32_t row = 0; row < KWS_DENSE_ROWS; row++, rows += depth, words++) {
        kws_unpack(rows, whole, words);
        if (depth % 4) {
            int8_t rest[4] = {0, 0, 0, 0};
            memcpy(rest, rows + whole, (size_t)(depth % 4));
            kws_unpack(rest, 4, words + whole * 2);
        }
    }
}

static job new_job(const kws_dense_params *params, int8_t *output)
{
    job work;
    work.weights = params->weights;
    work.records = params->records;
    work.left = params->channels;
    work.output = output;
    work.output_stride = params->channels;
    work.kind = params->output.kind;
    work.zero_point = params->output.zero_point;
    work.weights_stride = kws_pair_bytes(params->depth);
    return work;
}

void KWS_SIZED(kws_dense_dsp_block)(const kws_dense_params *params, const uint32_t *words, int8_t *output)
{
    job work = new_job(params, output);
    work.rows = words;
    work.rows_end = words + kws_units(params->depth) * KWS_UNIT * 2;
    four_rows(&work);
}

static void single_row(const kws_dense_params *params, const int8_t *row, int8_t *output)
{
    job work = new_job(params, output);
    work.rows = (const uint32_t *)(const void *)row;
    work.rows_end = row + kws_units(params->depth) * KWS_UNIT;
    one_row(&work);
}

/* Rows one by one; `copied`: each is brought to the scratch memory first. */
static void single_rows(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                        int8_t *scratch, int copied)
{
    const int32_t depth = params->depth;
    for (; rows > 0; rows--, input += depth, output += params->channels) {
        if (copied) {
            memset(scratch + depth / KWS_UNIT * KWS_UNIT, 0, depth % KWS_UNIT ? KWS_UNIT : 0);
            memcpy(scratch, input, (size_t)depth);
            single_row(params, scratch, output);
        } else {
            single_row(params, input, output);
        }
    }
}

void KWS_SIZED(kws_dense_dsp_few)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                                  int8_t *scratch)
{
    single_rows(params, rows, input, output, scratch, params->depth % KWS_UNIT);
}

void KWS_SIZED(kws_dense_dsp)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                              int8_t *scratch)
{
    const int copied = input == output || params->depth % KWS_UNIT; /* rows of other lengths move apart as they are done */
    for (; rows >= KWS_DENSE_ROWS; rows -= KWS_DENSE_ROWS) {
        unpack_four_rows(input, params->depth, (uint32_t *)(void *)scratch);
        KWS_SIZED(kws_dense_dsp_block)(params, (const uint32_t *)(void *)scratch, output);
        input += KWS_DENSE_ROWS * params->depth;
        output += KWS_DENSE_ROWS * params->channels;
    }
    single_rows(params, rows, input, output, scratch, copied);
}

#endif
