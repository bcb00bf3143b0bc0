/* SPDX-License-Identifier: MIT-0
 *
 * The convolution for weights of KWS_WEIGHT_BITS, compiled once a width: kws_conv2d.c and its kin. A convolution is a
 * dense layer over receptive fields: gather each field into a row, padding included, then multiply. Padding holds the
 * input's zero point, so the offset that is folded into the bias holds at the borders as well.
 */
#include "kws_conv2d.h"

#include <string.h>

#include "kws_dense_dsp.h"
#include "kws_dsp.h"
#include "kws_weights.h"

/* memcpy for a few bytes at a time, where a call costs more than the copy; cores with the DSP extension read words
 * anywhere. */
static inline void copy(int8_t *to, const int8_t *from, int32_t size)
{
#if KWS_DSP
    for (; size >= 16; size -= 16, to += 16, from += 16) {
        const uint32_t a = kws_load_four(from), b = kws_load_four(from + 4);
        const uint32_t c = kws_load_four(from + 8), d = kws_load_four(from + 12);
        kws_store_four(to, a);
        kws_store_four(to + 4, b);
        kws_store_four(to + 8, c);
        kws_store_four(to + 12, d);
    }
    for (; size >= 4; size -= 4, to += 4, from += 4) {
        kws_store_four(to, kws_load_four(from));
    }
    while (size-- > 0) {
        *to++ = *from++;
    }
#else
    memcpy(to, from, (size_t)size);
#endif
}

static inline void fill(int8_t *to, int32_t value, int32_t size)
{
    if (size < 64) {
        for (; size >= 4; size -= 4, to += 4) {
            memset(to, value, 4);
        }
        while (size-- > 0) {
            *to++ = (int8_t)value;
        }
    } else {
        memset(to, value, (size_t)size);
    }
}

/* One kernel row of a receptive field: kernel_width pixels of image row y from column x on. */
static void gather_row(const kws_conv2d_params *params, const int8_t *image, int32_t y, int32_t x, int8_t *row)
{
    const int32_t channels = params->input_channels;
    const int32_t span = params->window.width * channels;
    if (y < 0 || y >= params->window.input_height) {
        fill(row, params->input_zero_point, span);
        return;
    }
    const int8_t *line = image + y * params->window.input_width * channels;
    const int32_t last = x + (params->window.width - 1) * params->window.dilation_width;
    if (params->window.dilation_width == 1 && x >= 0 && last < params->window.input_width) {
        copy(row, line + x * channels, span);
        return;
    }
    for (int32_t tap = 0; tap < params->window.width; tap++, x += params->window.dilation_width, row += channels) {
        if (x < 0 || x >= params->window.input_width) {
            fill(row, params->input_zero_point, channels);
        } else {
            copy(row, line + x * channels, channels);
        }
    }
}

typedef void (*dense)(const kws_dense_params *params, int32_t rows, const int8_t *input, int8_t *output,
                      int8_t *scratch);

/* Bytes of scratch memory that the fields of a block take; what kws_dense asks for follows. */
static inline int32_t fields_bytes(const kws_conv2d_params *params)
{
    return (KWS_DENSE_ROWS * params->dense.depth + 3) / 4 * 4;
}

/* The field of one output pixel, by bytes. */
static void gather(const kws_conv2d_params *params, const int8_t *image, int32_t pixel, int8_t *field)
{
    const int32_t span = params->window.width * params->input_channels;
    const int32_t y = pixel / params->window.output_width * params->window.stride_height - params->window.pad_top;
    const int32_t x = pixel % params->window.output_width * params->window.stride_width - params->window.pad_left;
    for (int32_t tap = 0; tap < params->window.height; tap++, field += span) {
        gather_row(params, image, y + tap * params->window.dilation_height, x, field);
    }
}

/* Where outputs go. Over the input, block n must wait until no later field reads the pixels in its place: the last few
 * blocks are kept in a ring. */
typedef struct {
    int8_t *output;        /* of the next block to leave the ring */
    int8_t *ring;          /* 0: outputs go straight to their place */
    int32_t ring_bytes;
    int32_t block_bytes;
    int32_t filled_bytes;  /* of the ring, before it is full */
    int32_t at;            /* the ring's next block, bytes */
} sink;

static sink new_sink(const kws_conv2d_params *params, int8_t *output, int8_t *ring)
{
    const int32_t block_bytes = KWS_DENSE_ROWS * params->dense.channels;
    const sink to = {output, ring, params->ring_blocks * block_bytes, block_bytes, 0, 0};
    return to;
}

/* Where the next block may be written. */
static int8_t *next_block(sink *to)
{
    if (!to->ring) {
        int8_t *const block = to->output;
        to->output += to->block_bytes;
        return block;
    }
    int8_t *const block = to->ring + to->at;
    if (to->filled_bytes == to->ring_bytes) {
        copy(to->output, block, to->block_bytes);
        to->output += to->block_bytes;
    } else {
        to->filled_bytes += to->block_bytes;
    }
    to->at = to->at + to->block_bytes == to->ring_bytes ? 0 : to->at + to->block_bytes;
    return block;
}

/* Empties the ring, whose last block holds `last_bytes`. */
static void finish(sink *to, int32_t last_bytes)
{
    for (; to->filled_bytes > 0; to->filled_bytes -= to->block_bytes) {
        const int32_t oldest = to->at - to->filled_bytes;
        const int8_t *const block = to->ring + (oldest < 0 ? oldest + to->ring_bytes : oldest);
        const int32_t bytes = to->filled_bytes == to->block_bytes ? last_bytes : to->block_bytes;
        copy(to->output, block, bytes);
        to->output += bytes;
    }
}

/* Output pixels from `pixel` on. Returns how many bytes the last block has. */
static inline int32_t convolve(const kws_conv2d_params *params, const int8_t *image, int32_t pixel, sink *to,
                               int8_t *scratch, dense multiply)
{
    const int32_t depth = params->dense.depth;
    const int32_t pixels = params->window.output_height * params->window.output_width;
    int8_t *const dense_scratch = scratch + fields_bytes(params);
    int32_t fields = KWS_DENSE_ROWS;
    for (; pixel < pixels; pixel += fields) {
        const int32_t left = pixels - pixel;
        fields = left < KWS_DENSE_ROWS ? left : KWS_DENSE_ROWS;
        for (int32_t i = 0; i < fields; i++) {
            gather(params, image, pixel + i, scratch + i * depth);
        }
        multiply(&params->dense, fields, scratch, next_block(to), dense_scratch);
    }
    return fields * params->dense.channels;
}

#if KWS_DSP
/* A field that lies inside the image; `pitch` bytes from one of its rows to the next. */
static void unpack_field(const int8_t *from, int32_t pitch, int32_t rows, int32_t span, uint32_t *words)
{
    if (span == 4) {
        for (; rows > 0; rows--, from += pitch, words += 2 * KWS_DENSE_ROWS) {
            const uint32_t four = kws_load_four(from);
            words[0] = (uint32_t)kws_even(four);
            words[KWS_DENSE_ROWS] = (uint32_t)kws_odd(four);
        }
        return;
    }
    for (; rows > 0; rows--, from += pitch, words += span * 2) {
        kws_unpack(from, span, words);
    }
}

/* Output pixels by blocks, for rows of fields of whole words: straight from the image to what the dense kernel reads.
 * Returns how many pixels are done. */
static int32_t convolve_blocks(const kws_conv2d_params *params, const int8_t *image, sink *to, int8_t *scratch)
{
    const int32_t span = params->window.width * params->input_channels;
    const int32_t blocks = params->window.output_height * params->window.output_width / KWS_DENSE_ROWS;
    const int32_t right = params->window.output_width * params->window.stride_width - params->window.pad_left;
    const int32_t height = params->window.height;
    const int32_t pitch = params->window.dilation_height * params->window.input_width * params->input_channels;
    const int32_t last_y = params->window.input_height - 1 - (height - 1) * params->window.dilation_height;
    const int32_t last_x = params->window.dilation_width == 1 ? params->window.input_width - params->window.width : -1;
    uint32_t *const words = (uint32_t *)(void *)(scratch + fields_bytes(params));
    int32_t y = -params->window.pad_top, x = -params->window.pad_left;
    for (int32_t block = 0; block < blocks; block++) {
        for (int32_t row = 0; row < KWS_DENSE_ROWS; row++) {
            if (x >= 0 && x <= last_x && y >= 0 && y <= last_y) {
                const int8_t *from = image + (y * params->window.input_width + x) * params->input_channels;
                unpack_field(from, pitch, height, span, words + row);
            } else {
                for (int32_t tap = 0; tap < height; tap++) {
                    gather_row(params, image, y + tap * params->window.dilation_height, x, scratch);
                    kws_unpack(scratch, span, words + row + tap * span * 2);
                }
            }
            x += params->window.stride_width;
            if (x == right) {
                x = -params->window.pad_left;
                y += params->window.stride_height;
            }
        }
        KWS_SIZED(kws_dense_dsp_block)(&params->dense, words, next_block(to));
    }
    return blocks * KWS_DENSE_ROWS;
}
#endif

/* A small image with its padding around it, so that every field lies inside. */
static void pad_image(const kws_conv2d_params *params, const int8_t *image, int8_t *padded)
{
    const int32_t row_bytes = params->window.input_width * params->input_channels;
    const int32_t pitch = params->padded_width * params->input_channels;
    memset(padded, params->input_zero_point, (size_t)(params->padded_height * pitch));
    padded += params->window.pad_top * pitch + params->window.pad_left * params->input_channels;
    for (int32_t y = 0; y < params->window.input_height; y++, image += row_bytes, padded += pitch) {
        copy(padded, image, row_bytes);
    }
}

/* `multiply` is kws_dense or kws_dense_portable, of this width. */
static inline void convolve_batches(const kws_conv2d_params *params, const int8_t *input, int8_t *output,
                                    int8_t *scratch, dense multiply)
{
    const int32_t depth = params->dense.depth;
    int8_t *const ring = scratch + fields_bytes(params) + KWS_DENSE_ROWS * 2 * kws_units(depth) * KWS_UNIT;
    int8_t *const padded = ring + params->ring_blocks * KWS_DENSE_ROWS * params->dense.channels;
    /* Later images of a batch may lie apart, and still over one another. */
    const int waits = input == output && params->ring_blocks;
    kws_conv2d_params inner = *params;
    if (params->padded_height) {
        inner.window.input_height = params->padded_height;
        inner.window.input_width = params->padded_width;
        inner.window.pad_top = inner.window.pad_left = 0;
    }
    for (int32_t batch = 0; batch < params->batches; batch++) {
        sink to = new_sink(params, output, waits ? ring : 0);
        const int8_t *image = input;
        int32_t pixel = 0;
        if (params->padded_height) {
            pad_image(params, input, padded);
            image = padded;
        }
#if KWS_DSP
        if (multiply == KWS_SIZED(kws_dense) && params->window.width * params->input_channels % 4 == 0) {
            pixel = convolve_blocks(&inner, image, &to, scratch);
        }
#endif
        finish(&to, convolve(&inner, image, pixel, &to, scratch, multiply));
        input += params->window.input_height * params->window.input_width * params->input_channels;
        output += params->window.output_height * params->window.output_width * params->dense.channels;
    }
}

void KWS_SIZED(kws_conv2d)(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    convolve_batches(params, input, output, scratch, KWS_SIZED(kws_dense));
}

void KWS_SIZED(kws_conv2d_portable)(const kws_conv2d_params *params, const int8_t *input, int8_t *output, int8_t *scratch)
{
    convolve_batches(params, input, output, scratch, KWS_SIZED(kws_dense_portable));
}
