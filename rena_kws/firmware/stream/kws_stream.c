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
    kws_history_init(&stream->history);
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
    if (stream->in_frame >= 0) {
        int16_t *const into = stream->samples + stream->in_frame;
        for (int32_t i = 0; i < n; i++) {
            into[i] = samples[i];
        }
    }
    kws_history_hear(&stream->history, samples, n);
    stream->in_frame += n;
    stream->in_piece += n;
    stream->position += (uint64_t)n;
}

static void end_frame(kws_stream *stream)
{
    kws_history_add(&stream->history, stream->samples, stream->arena);
    stream->in_frame = KWS_WINDOW_SAMPLES - KWS_HOP_SAMPLES; /* what the next frame has in common with this one */
    for (int32_t i = 0; i < stream->in_frame; i++) {
        stream->samples[i] = stream->samples[i + KWS_HOP_SAMPLES];
    }
}

static void end_clip(kws_stream *stream)
{
    kws_event event = {-1, 0, stream->position};
    stream->scores = kws_history_result(&stream->history, stream->arena);
    event.label = kws_decide(&stream->decisions, stream->scores, &event.score);
    if (event.label >= 0 && stream->on_event) {
        stream->on_event(stream->user, &event);
    }
}

void kws_stream_push(kws_stream *stream, const int16_t *samples, size_t n)
{
    while (n > 0) {
        const int32_t taken = until_due(stream, n);
        take(stream, samples, taken);
        samples += taken;
        n -= (size_t)taken;
        if (stream->in_frame == KWS_WINDOW_SAMPLES) {
            end_frame(stream);
        }
        if (stream->in_piece == LAST_PIECE && --stream->hops_to_result == 0) {
            stream->hops_to_result = KWS_HOPS_A_RESULT;
            end_clip(stream);
        }
        if (stream->in_piece == KWS_HOP_SAMPLES) {
            kws_history_end_piece(&stream->history);
            stream->in_piece = 0;
        }
    }
}
