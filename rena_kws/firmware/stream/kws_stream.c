/* SPDX-License-Identifier: MIT-0
 *
 * Samples are taken up to whatever is due next: a whole frame, the end of a piece, or the last sample of a clip.
 */
#include "kws_stream.h"

#include <string.h>

/* How far into a piece the last sample of a clip lies: a clip begins where a piece does. */
enum { LAST_PIECE = KWS_CLIP_SAMPLES - (KWS_PIECES - 1) * KWS_HOP_SAMPLES };

void kws_stream_init(kws_stream *stream, void *arena, kws_on_event on_event, void *user)
{
    memset(stream, 0, sizeof *stream);
    stream->arena = arena;
    stream->on_event = on_event;
    stream->user = user;
    stream->hops_to_result = KWS_PIECES;
    kws_decisions_init(&stream->decisions);
}

static inline int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* How many of n samples to take before something is due. */
static int32_t until_due(const kws_stream *stream, size_t n)
{
    const int32_t to_frame = stream->in_frame < 0 ? -stream->in_frame : KWS_WINDOW_SAMPLES - stream->in_frame;
    const int32_t to_end = (stream->in_piece < LAST_PIECE ? LAST_PIECE : KWS_HOP_SAMPLES) - stream->in_piece;
    const int32_t due = least(to_frame, to_end);
    return n < (size_t)due ? (int32_t)n : due;
}

/* Loops of our own: the memcpy of many a toolchain moves byte by byte. */
static void take(kws_stream *stream, const int16_t *samples, int32_t n)
{
    int16_t *const into = stream->in_frame >= 0 ? stream->samples + stream->in_frame : 0;
    int16_t peak = stream->peaks[stream->piece];
    for (int32_t i = 0; i < n; i++) {
        const int16_t sample = samples[i];
        peak = sample > peak ? sample : peak;
        if (into) {
            into[i] = sample;
        }
    }
    stream->peaks[stream->piece] = peak;
    stream->in_frame += n;
    stream->in_piece += n;
    stream->position += (uint64_t)n;
}

static inline int32_t next_frame(int32_t frame)
{
    return frame + 1 < KWS_FRAMES ? frame + 1 : 0;
}

static void add_frame(kws_stream *stream)
{
    kws_frame_bands(stream->samples, stream->bands[stream->frame], (kws_features_word *)(void *)stream->arena);
    stream->frame = next_frame(stream->frame);
    stream->new_frames = least(stream->new_frames + 1, KWS_FRAMES);
    stream->in_frame = KWS_WINDOW_SAMPLES - KWS_HOP_SAMPLES; /* what the next frame has in common with this one */
    for (int32_t i = 0; i < stream->in_frame; i++) {
        stream->samples[i] = stream->samples[i + KWS_HOP_SAMPLES];
    }
}

static int32_t peak_of(const kws_stream *stream)
{
    int32_t peak = 0;
    for (int32_t i = 0; i < KWS_PIECES; i++) {
        peak = stream->peaks[i] > peak ? stream->peaks[i] : peak;
    }
    return peak > 0 ? peak : 32768;
}

/* Features of the ring's frames for the peak as it is now, into the network's input, the oldest frame first. */
static void write_features(kws_stream *stream)
{
    const int32_t peak = peak_of(stream);
    const int32_t kept = peak == stream->peak ? KWS_FRAMES - stream->new_frames : 0;
    int8_t *input = kws_input(stream->arena);
    int32_t frame = stream->frame;
    for (int32_t i = 0; i < KWS_FRAMES; i++) {
        if (i >= kept) {
            kws_frame_features(stream->bands[frame], peak, stream->features[frame], stream->scratch);
        }
        memcpy(input, stream->features[frame], KWS_FEATURES_A_FRAME);
        input += KWS_FEATURES_A_FRAME;
        frame = next_frame(frame);
    }
    stream->peak = peak;
    stream->new_frames = 0;
}

static void compute_result(kws_stream *stream)
{
    kws_event event = {-1, 0, stream->position};
    write_features(stream);
    kws_run(stream->arena);
    event.label = kws_decide(&stream->decisions, kws_output(stream->arena), &event.score);
    if (event.label >= 0 && stream->on_event) {
        stream->on_event(stream->user, &event);
    }
}

static void end_piece(kws_stream *stream)
{
    stream->in_piece = 0;
    stream->piece = stream->piece + 1 < KWS_PIECES ? stream->piece + 1 : 0;
    stream->peaks[stream->piece] = 0;
}

void kws_stream_push(kws_stream *stream, const int16_t *samples, size_t n)
{
    while (n > 0) {
        const int32_t taken = until_due(stream, n);
        take(stream, samples, taken);
        samples += taken;
        n -= (size_t)taken;
        if (stream->in_frame == KWS_WINDOW_SAMPLES) {
            add_frame(stream);
        }
        if (stream->in_piece == LAST_PIECE && --stream->hops_to_result == 0) {
            stream->hops_to_result = KWS_HOPS_A_RESULT;
            compute_result(stream);
        }
        if (stream->in_piece == KWS_HOP_SAMPLES) {
            end_piece(stream);
        }
    }
}
