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

static void take(kws_stream *stream, const int16_t *samples, int32_t n)
{
    int16_t peak = stream->peaks[stream->piece];
    for (int32_t i = 0; i < n; i++) {
        peak = samples[i] > peak ? samples[i] : peak;
    }
    stream->peaks[stream->piece] = peak;
    if (stream->in_frame >= 0) {
        memcpy(stream->samples + stream->in_frame, samples, (size_t)n * sizeof *samples);
    }
    stream->in_frame += n;
    stream->in_piece += n;
    stream->position += (uint64_t)n;
}

static void add_frame(kws_stream *stream)
{
    kws_frame_bands(stream->samples, stream->bands[stream->frame], (kws_features_word *)(void *)stream->arena);
    stream->frame = stream->frame + 1 < KWS_FRAMES ? stream->frame + 1 : 0;
    stream->in_frame = KWS_WINDOW_SAMPLES - KWS_HOP_SAMPLES; /* what the next frame has in common with this one */
    if (stream->in_frame > 0) {
        memmove(stream->samples, stream->samples + KWS_HOP_SAMPLES, (size_t)stream->in_frame * sizeof *stream->samples);
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

/* The ring's frames, oldest first, through the network. */
static void compute_result(kws_stream *stream)
{
    const int32_t peak = peak_of(stream);
    int8_t *features = kws_input(stream->arena);
    int32_t frame = stream->frame;
    kws_event event = {-1, 0, stream->position};
    for (int32_t i = 0; i < KWS_FRAMES; i++) {
        kws_frame_features(stream->bands[frame], peak, features, stream->scratch);
        features += KWS_FEATURES_A_FRAME;
        frame = frame + 1 < KWS_FRAMES ? frame + 1 : 0;
    }
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
