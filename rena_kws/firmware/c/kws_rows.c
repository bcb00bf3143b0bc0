/* SPDX-License-Identifier: MIT-0
 *
 * The last stage asks for a band, and each stage asks the one before it for the rows that it lacks. Rows that the next
 * band reads again move to the front of their buffer: nothing is computed twice.
 */
#include "kws_rows.h"

#include <string.h>

#include "kws_dsp.h"

/* Rows of a stage's output: [first, end) lie in its buffer, those before `first` are no longer needed. */
typedef struct {
    int32_t first;
    int32_t end;
} rows;

/* The first row of the image that output row `row` reads; negative: padding. */
static int32_t first_tap(const kws_window *window, int32_t row)
{
    return row * window->stride_height - window->pad_top;
}

/* The end of the image's rows that the first `outputs` output rows read. */
static int32_t rows_read(const kws_window *window, int32_t outputs)
{
    const int32_t end = first_tap(window, outputs - 1) + (window->height - 1) * window->dilation_height + 1;
    return end < window->input_height ? end : window->input_height;
}

void kws_rows_move(int8_t *to, int32_t step, int32_t bytes)
{
#if KWS_DSP
    /* The memcpy of many a toolchain moves byte by byte. What is read lies behind what was written, however near. */
    for (; bytes >= 16; bytes -= 16, to += 16) {
        const int8_t *const from = to + step;
        const uint32_t a = kws_load_four(from), b = kws_load_four(from + 4);
        const uint32_t c = kws_load_four(from + 8), d = kws_load_four(from + 12);
        kws_store_four(to, a);
        kws_store_four(to + 4, b);
        kws_store_four(to + 8, c);
        kws_store_four(to + 12, d);
    }
    while (bytes-- > 0) {
        *to = to[step];
        to++;
    }
#else
    /* By pieces, since what is moved may lie over its destination. */
    for (; bytes > 0; bytes -= step, to += step) {
        memcpy(to, to + step, (size_t)(bytes < step ? bytes : step));
    }
#endif
}

/* Leaves out the rows before `first`. */
static void drop_rows(rows *held, int32_t first, int8_t *buffer, int32_t row_bytes)
{
    const int32_t dropped = (first < held->end ? first : held->end) - held->first;
    if (dropped <= 0) {
        return;
    }
    held->first += dropped;
    kws_rows_move(buffer, dropped * row_bytes, (held->end - held->first) * row_bytes);
}

/* Rows [first, end) of the stage's output. `input` holds the rows of its image from `input_first` on. */
static void run_band(const kws_rows_stage *stage, int32_t first, int32_t end, const int8_t *input, int32_t input_first,
                     int8_t *output, int8_t *arena, int8_t *scratch)
{
    const int32_t tap = first_tap(&stage->window, first);
    const int32_t top = tap > 0 ? tap : 0;
    kws_window band = stage->window;
    band.pad_top = top - tap;
    band.input_height = rows_read(&stage->window, end) - top;
    band.output_height = end - first;
    input += (top - input_first) * stage->input_row_bytes;
    stage->run(arena, &band, first, input, output, scratch + stage->scratch_offset);
}

void kws_rows(const kws_rows_params *params, int8_t *arena, const int8_t *input, int8_t *output, int8_t *scratch)
{
    const int32_t last = params->count - 1;
    const int32_t height = params->stages[last].window.output_height;
    rows held[KWS_ROWS_STAGES];
    memset(held, 0, sizeof held);
    while (held[last].end < height) {
        int32_t ends[KWS_ROWS_STAGES];
        ends[last] = held[last].end + params->band_rows < height ? held[last].end + params->band_rows : height;
        for (int32_t i = last; i > 0; i--) {
            ends[i - 1] = rows_read(&params->stages[i].window, ends[i]);
        }
        const int8_t *from = input;
        int32_t from_first = 0;
        for (int32_t i = 0; i <= last; i++) {
            const kws_rows_stage *stage = params->stages + i;
            int8_t *to = output;
            if (i < last) {
                to = scratch + stage->rows_offset;
                drop_rows(held + i, first_tap(&stage[1].window, held[i + 1].end), to, stage->output_row_bytes);
            }
            if (held[i].end < ends[i]) {
                run_band(stage, held[i].end, ends[i], from, from_first,
                         to + (held[i].end - held[i].first) * stage->output_row_bytes, arena, scratch);
                held[i].end = ends[i];
            }
            from = to;
            from_first = held[i].first;
        }
    }
}
