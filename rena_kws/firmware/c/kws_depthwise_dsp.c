/* SPDX-License-Identifier: MIT-0
 *
 * A multiplication of two pairs needs two taps of one channel side by side, and in memory its neighbours are other
 * channels. So four channels at a time are copied to a plane of words, each a pixel and the one below it:
 *
 *     line 0: rows 0 and 1    line 1: rows 2 and 3    ...    a word for each channel of a pixel, [line][pixel][channel]
 *
 * An output row at an even row of the plane pairs its taps (w0 w1)(w2 w3)..., one at an odd row (0 w0)(w1 w2)...: both
 * read the same lines, so two rows of outputs go together.
 */
#include "kws_depthwise_dsp.h"

#if KWS_DSP

#include <stddef.h>

#define PLANES KWS_DEPTHWISE_PLANES

/* One output channel. What the assembly reads; offsets in bytes are written there. */
typedef struct {
    const uint32_t *plane;     /* 0 */
    int32_t line_bytes;        /* 4 */
    int8_t *output;            /* 8 */
    int32_t column_step;       /* 12: bytes from output to output across */
    int32_t row_step;          /* 16: and down */
    int32_t row_pairs;         /* 20: of outputs, a single one counted too */
    int32_t tiles_bytes;       /* 24: bytes of a line from one output pair across to the next, times whole pairs */
    int32_t odd_width;         /* 28 */
    int32_t odd_height;        /* 32 */
    int32_t bias;              /* 36 */
    int32_t multiplier;        /* 40 */
    int32_t addend;            /* 44: folded: to the high word; rounded: zero point and half a unit, shifted left */
    int32_t kind;              /* 48 */
    int32_t shift;             /* 52: rounded only */
    uint32_t weights[6];       /* 56: by column (w0 w1), then by column (w1 w2); 3x3 only */
} job;

typedef char job_layout_is_that_of_the_assembly[offsetof(job, weights) == 56 ? 1 : -1];

/* Adds a column of 3 taps to the outputs of two rows. r2: upper line, r3: lower line. */
#define COLUMN(upper_sum, lower_sum, w01, w12)                    \
    "smlad  " upper_sum ", r2, " w01 ", " upper_sum " \n"         \
    "smlatb " lower_sum ", r2, " w01 ", " lower_sum " \n"         \
    "smlabt " upper_sum ", r3, " w12 ", " upper_sum " \n"         \
    "smlad  " lower_sum ", r3, " w12 ", " lower_sum " \n"

#define FOLDED_HIGH(sum) "smmla " sum ", " sum ", r2, r3 \n"
#define ROUNDED_HIGH(sum)                                         \
    "ldr    r3, [sp, #44] \n"                                     \
    "add    r3, r3, " sum ", asr #31 \n"                          \
    "lsl    " sum ", " sum ", #1 \n"                              \
    "smmlar " sum ", " sum ", r2, r3 \n"
#define FOLDED_LOW(sum) "ssat " sum ", #8, " sum ", asr #" KWS_TEXT(KWS_FOLDED_SHIFT) " \n"
#define ROUNDED_LOW(sum) "asr " sum ", " sum ", r2 \n ssat " sum ", #8, " sum " \n"

/* 3x3 taps, stride 1: tiles of two by two outputs, a last odd column by itself. r0 and r1: upper and lower line; sums r4
 * r5 above r6 r7; weights in r8 to r12 and lr. A last odd row is computed as a pair whose second output lies on the first:
 * it is stored before. [sp]: the job, then 56: row step now, 60: end of the tiles, 64: output. */
KWS_ASSEMBLY static void three_by_three(const job *work __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified               \n"
        "push   {r4-r11, lr}           \n"
        "sub    sp, #76                \n"
        "mov    lr, sp                 \n"
        "ldm    r0!, {r1-r7}           \n"
        "stm    lr!, {r1-r7}           \n"
        "ldm    r0!, {r1-r7}           \n"
        "stm    lr!, {r1-r7}           \n"
        "ldm    r0, {r8-r12, lr}       \n"
        "1:                            \n" /* two rows */
        "ldr    r0, [sp, #0]           \n"
        "ldr    r1, [sp, #4]           \n"
        "ldr    r2, [sp, #24]          \n"
        "ldr    r3, [sp, #16]          \n"
        "ldr    r4, [sp, #20]          \n"
        "ldr    r5, [sp, #32]          \n"
        "ldr    r6, [sp, #8]           \n"
        "add    r1, r1, r0             \n"
        "str    r1, [sp, #0]           \n"
        "add    r2, r2, r0             \n"
        "str    r2, [sp, #60]          \n"
        "str    r6, [sp, #64]          \n"
        "add    r6, r6, r3, lsl #1     \n"
        "str    r6, [sp, #8]           \n"
        "cmp    r4, #1                 \n"
        "bne    2f                     \n"
        "cmp    r5, #0                 \n"
        "beq    2f                     \n"
        "mov    r3, #0                 \n"
        "2:                            \n"
        "str    r3, [sp, #56]          \n"
        "cmp    r0, r2                 \n"
        "beq    5f                     \n"
        "3:                            \n" /* a tile */
        "ldr    r4, [sp, #36]          \n"
        "ldr    r2, [r0], #16          \n"
        "ldr    r3, [r1], #16          \n"
        "mov    r5, r4                 \n"
        "mov    r6, r4                 \n"
        "mov    r7, r4                 \n"
        COLUMN("r4", "r6", "r8", "r11")
        "ldr    r2, [r0], #16          \n"
        "ldr    r3, [r1], #16          \n"
        COLUMN("r4", "r6", "r9", "r12")
        COLUMN("r5", "r7", "r8", "r11")
        "ldr    r2, [r0]               \n"
        "ldr    r3, [r1]               \n"
        COLUMN("r4", "r6", "r10", "lr")
        COLUMN("r5", "r7", "r9", "r12")
        "ldr    r2, [r0, #16]          \n"
        "ldr    r3, [r1, #16]          \n"
        COLUMN("r5", "r7", "r10", "lr")
        "ldr    r2, [sp, #48]          \n"
        "cmp    r2, #0                 \n"
        "bne    6f                     \n"
        "ldr    r2, [sp, #40]          \n"
        "ldr    r3, [sp, #44]          \n"
        FOLDED_HIGH("r4") FOLDED_HIGH("r5") FOLDED_HIGH("r6") FOLDED_HIGH("r7")
        "ldr    r2, [sp, #64]          \n"
        "ldr    r3, [sp, #56]          \n"
        FOLDED_LOW("r4") FOLDED_LOW("r5") FOLDED_LOW("r6") FOLDED_LOW("r7")
        "4:                            \n"
        "add    r3, r3, r2             \n"
        "ldr    r2, [sp, #12]          \n"
        "strb   r7, [r3, r2]           \n"
        "strb   r6, [r3]               \n"
        "ldr    r6, [sp, #64]          \n"
        "ldr    r3, [sp, #60]          \n"
        "strb   r5, [r6, r2]           \n"
        "strb   r4, [r6]               \n"
        "add    r6, r6, r2, lsl #1     \n"
        "cmp    r0, r3                 \n"
        "str    r6, [sp, #64]          \n"
        "bne    3b                     \n"
        "5:                            \n"
        "ldr    r2, [sp, #28]          \n"
        "cmp    r2, #0                 \n"
        "beq    9f                     \n"
        "ldr    r4, [sp, #36]          \n" /* the odd column */
        "ldr    r2, [r0], #16          \n"
        "ldr    r3, [r1], #16          \n"
        "mov    r6, r4                 \n"
        COLUMN("r4", "r6", "r8", "r11")
        "ldr    r2, [r0]               \n"
        "ldr    r3, [r1]               \n"
        COLUMN("r4", "r6", "r9", "r12")
        "ldr    r2, [r0, #16]          \n"
        "ldr    r3, [r1, #16]          \n"
        COLUMN("r4", "r6", "r10", "lr")
        "ldr    r2, [sp, #48]          \n"
        "cmp    r2, #0                 \n"
        "bne    7f                     \n"
        "ldr    r2, [sp, #40]          \n"
        "ldr    r3, [sp, #44]          \n"
        FOLDED_HIGH("r4") FOLDED_HIGH("r6") FOLDED_LOW("r4") FOLDED_LOW("r6")
        "8:                            \n"
        "ldr    r5, [sp, #64]          \n"
        "ldr    r7, [sp, #56]          \n"
        "strb   r6, [r5, r7]           \n"
        "strb   r4, [r5]               \n"
        "9:                            \n"
        "ldr    r2, [sp, #20]          \n"
        "subs   r2, r2, #1             \n"
        "str    r2, [sp, #20]          \n"
        "bne    1b                     \n"
        "add    sp, #76                \n"
        "pop    {r4-r11, pc}           \n"
        "6:                            \n"
        "ldr    r2, [sp, #40]          \n"
        ROUNDED_HIGH("r4") ROUNDED_HIGH("r5") ROUNDED_HIGH("r6") ROUNDED_HIGH("r7")
        "ldr    r2, [sp, #52]          \n"
        ROUNDED_LOW("r4") ROUNDED_LOW("r5") ROUNDED_LOW("r6") ROUNDED_LOW("r7")
        "ldr    r2, [sp, #64]          \n"
        "ldr    r3, [sp, #56]          \n"
        "b      4b                     \n"
        "7:                            \n"
        "ldr    r2, [sp, #40]          \n"
        ROUNDED_HIGH("r4") ROUNDED_HIGH("r6")
        "ldr    r2, [sp, #52]          \n"
        ROUNDED_LOW("r4") ROUNDED_LOW("r6")
        "b      8b                     \n");
}

static inline uint32_t pair(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xFFFFU) | (uint32_t)high << 16;
}

static inline int8_t requantize(const job *work, int32_t sum)
{
    int64_t product = (int64_t)sum * work->multiplier;
    int32_t high = (int32_t)(product >> 32);
    if (work->kind == KWS_ROUNDED) {
        high = (int32_t)((product + ((int64_t)1 << 30)) >> 31) + (sum >> 31);
    }
    return (int8_t)kws_clamp((high + work->addend) >> work->shift, INT8_MIN, INT8_MAX);
}

static void unpack_three_by_three(const int8_t *w, uint32_t *words)
{
    for (int column = 0; column < 3; column++, w++) {
        words[column] = pair(w[0], w[3]);
        words[3 + column] = pair(w[3], w[6]);
    }
}

/* Any kernel: words of even and odd output rows by turns, [line][column][even, odd]; without rows in pairs [line][column]. */
static void unpack_weights(const kws_depthwise_params *params, const int8_t *w, uint32_t *words)
{
    const int32_t height = params->window.height;
    const int32_t width = params->window.width;
    const int in_pairs = params->window.stride_height == 1;
    for (int32_t row = 0; row < height + in_pairs; row += 2, w += 2 * width) {
        for (int32_t column = 0; column < width; column++) {
            const int32_t before = row > 0 ? w[column - width] : 0;
            const int32_t here = row < height ? w[column] : 0;
            const int32_t after = row + 1 < height ? w[column + width] : 0;
            *words++ = pair(here, after);
            if (in_pairs) {
                *words++ = pair(before, here);
            }
        }
    }
}

/* Rows of outputs in pairs, two outputs across; the second of an odd row or column is computed and dropped. */
static void convolve_every_row(const kws_depthwise_params *params, const job *work, const uint32_t *weights)
{
    const int32_t lines = (params->window.height + 2) / 2;
    const int32_t line_words = PLANES * params->plane_width;
    const int32_t across = PLANES * params->window.stride_width;
    for (int32_t row = 0; row < params->window.output_height; row += 2) {
        const uint32_t *line = work->plane + row / 2 * line_words;
        int8_t *output = work->output + row * work->row_step;
        for (int32_t column = 0; column < params->window.output_width; column += 2) {
            const uint32_t *w = weights;
            const uint32_t *top = line + column * across;
            int32_t sum00 = work->bias, sum01 = work->bias, sum10 = work->bias, sum11 = work->bias;
            for (int32_t i = 0; i < lines; i++, top += line_words) {
                const uint32_t *x = top;
                for (int32_t tap = 0; tap < params->window.width; tap++, w += 2, x += PLANES) {
                    const int16x2_t even = (int16x2_t)w[0], odd = (int16x2_t)w[1];
                    const int16x2_t first = (int16x2_t)x[0], second = (int16x2_t)x[across];
                    sum00 = __smlad(first, even, sum00);
                    sum10 = __smlad(first, odd, sum10);
                    sum01 = __smlad(second, even, sum01);
                    sum11 = __smlad(second, odd, sum11);
                }
            }
            const int below = row + 1 < params->window.output_height;
            output[0] = requantize(work, sum00);
            if (below) {
                output[work->row_step] = requantize(work, sum10);
            }
            output += work->column_step;
            if (column + 1 < params->window.output_width) {
                output[0] = requantize(work, sum01);
                if (below) {
                    output[work->row_step] = requantize(work, sum11);
                }
                output += work->column_step;
            }
        }
    }
}

/* Every other row: all outputs lie at even rows of the plane. */
static void convolve_every_other_row(const kws_depthwise_params *params, const job *work, const uint32_t *weights)
{
    const int32_t lines = (params->window.height + 1) / 2;
    const int32_t line_words = PLANES * params->plane_width;
    const int32_t across = PLANES * params->window.stride_width;
    for (int32_t row = 0; row < params->window.output_height; row++) {
        const uint32_t *line = work->plane + row * line_words;
        int8_t *output = work->output + row * work->row_step;
        for (int32_t column = 0; column < params->window.output_width; column += 2) {
            const uint32_t *w = weights;
            const uint32_t *top = line + column * across;
            int32_t sum0 = work->bias, sum1 = work->bias;
            for (int32_t i = 0; i < lines; i++, top += line_words) {
                const uint32_t *x = top;
                for (int32_t tap = 0; tap < params->window.width; tap++, w++, x += PLANES) {
                    sum0 = __smlad((int16x2_t)x[0], (int16x2_t)*w, sum0);
                    sum1 = __smlad((int16x2_t)x[across], (int16x2_t)*w, sum1);
                }
            }
            output[0] = requantize(work, sum0);
            output += work->column_step;
            if (column + 1 < params->window.output_width) {
                output[0] = requantize(work, sum1);
                output += work->column_step;
            }
        }
    }
}

/* Fills the plane with padding; of it, copy_channels leaves what lies outside the image. */
static void clear_plane(const kws_depthwise_params *params, uint32_t *words)
{
    const uint32_t padding = pair(params->input_zero_point, params->input_zero_point);
    uint32_t *const end = words + PLANES * params->plane_lines * params->plane_width;
    while (words != end) {
        *words++ = padding;
    }
}

/* The first `count` channels of `input` to the plane. */
static void copy_channels(const kws_depthwise_params *params, const int8_t *input, int32_t count, uint32_t *words)
{
    const int32_t channels = params->input_channels;
    const uint32_t padding = ((uint32_t)params->input_zero_point & 0xFFU) * 0x01010101U;
    const int32_t lines = (params->window.pad_top + params->window.input_height + 1) / 2;
    words += PLANES * params->window.pad_left;
    for (int32_t line = params->window.pad_top / 2; line < lines && line < params->plane_lines; line++) {
        const int32_t y = 2 * line - params->window.pad_top;
        const int8_t *top = (const int8_t *)&padding;
        const int8_t *bottom = top;
        int32_t top_step = 0, bottom_step = 0;
        if (y >= 0) {
            top = input + y * params->window.input_width * channels;
            top_step = channels;
        }
        if (y + 1 < params->window.input_height) {
            bottom = input + (y + 1) * params->window.input_width * channels;
            bottom_step = channels;
        }
        uint32_t *out = words + PLANES * line * params->plane_width;
        uint32_t *const end = out + PLANES * params->window.input_width;
        if (count == PLANES) {
            for (; out != end; out += PLANES, top += top_step, bottom += bottom_step) {
                const uint32_t upper = kws_load_four(top), lower = kws_load_four(bottom);
                const uint32_t upper_even = (uint32_t)kws_even(upper), lower_even = (uint32_t)kws_even(lower);
                const uint32_t upper_odd = (uint32_t)kws_odd(upper), lower_odd = (uint32_t)kws_odd(lower);
                out[0] = (upper_even & 0xFFFFU) | lower_even << 16;
                out[1] = (upper_odd & 0xFFFFU) | lower_odd << 16;
                out[2] = upper_even >> 16 | (lower_even & 0xFFFF0000U);
                out[3] = upper_odd >> 16 | (lower_odd & 0xFFFF0000U);
            }
        } else {
            for (; out != end; out += PLANES, top += top_step, bottom += bottom_step) {
                for (int32_t i = 0; i < count; i++) {
                    out[i] = pair(top[i], bottom[i]);
                }
            }
        }
    }
}

static void convolve_plane(const kws_depthwise_params *params, const uint32_t *plane, int32_t channel, int8_t *output,
                           uint32_t *weights)
{
    const kws_channels *records = params->records + channel / 2;
    const int32_t adjustment = records->adjustment[channel % 2];
    const int8_t *w = params->weights + channel * params->window.height * params->window.width;
    job work;
    work.plane = plane;
    work.line_bytes = PLANES * params->plane_width * 4;
    work.output = output;
    work.column_step = params->input_channels * params->channel_multiplier;
    work.row_step = params->window.output_width * work.column_step;
    work.row_pairs = (params->window.output_height + 1) / 2;
    work.tiles_bytes = params->window.output_width / 2 * 2 * PLANES * 4;
    work.odd_width = params->window.output_width % 2;
    work.odd_height = params->window.output_height % 2;
    work.bias = records->bias[channel % 2];
    work.multiplier = records->multiplier[channel % 2];
    work.kind = params->output.kind;
    work.addend = adjustment;
    work.shift = KWS_FOLDED_SHIFT;
    if (work.kind == KWS_ROUNDED) {
        work.shift = -adjustment;
        work.addend = params->output.zero_point * (1 << work.shift) + (1 << work.shift) / 2;
    }
    if (params->window.stride_height == 2) {
        unpack_weights(params, w, weights);
        convolve_every_other_row(params, &work, weights);
    } else if (params->window.stride_width == 1 && params->window.height == 3 && params->window.width == 3) {
        unpack_three_by_three(w, work.weights);
        three_by_three(&work);
    } else {
        unpack_weights(params, w, weights);
        convolve_every_row(params, &work, weights);
    }
}

static void convolve_image(const kws_depthwise_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    uint32_t *const plane = (uint32_t *)(void *)scratch;
    uint32_t *const weights = plane + PLANES * params->plane_lines * params->plane_width;
    clear_plane(params, plane);
    for (int32_t first = 0; first < params->input_channels; first += PLANES) {
        const int32_t left = params->input_channels - first;
        const int32_t count = left < PLANES ? left : PLANES;
        copy_channels(params, input + first, count, plane);
        for (int32_t i = 0; i < count; i++) {
            for (int32_t copy = 0; copy < params->channel_multiplier; copy++) {
                const int32_t channel = (first + i) * params->channel_multiplier + copy;
                convolve_plane(params, plane + i, channel, output + channel, weights);
            }
        }
    }
}

void kws_depthwise_dsp(const kws_depthwise_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    for (int32_t batch = 0; batch < params->batches; batch++) {
        convolve_image(params, input, output, scratch);
        input += params->window.input_height * params->window.input_width * params->input_channels;
        output += params->window.output_height * params->window.output_width * params->input_channels * params->channel_multiplier;
    }
}

#endif
