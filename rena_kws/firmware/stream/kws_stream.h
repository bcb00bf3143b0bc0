/* SPDX-License-Identifier: MIT-0
 *
 * Listening without end: samples in, as they come, and detections out.
 *
 *     samples ─► frames ─► history ─► features and network ─► scores ─► decision
 *                once a hop          once in KWS_HOPS_A_RESULT hops
 *
 * What is kept of the sound so far, and how much of the network a result computes, is the business of kws_history.h. The
 * scores are those of kws_run for the features that kws_features makes of the same clip, bit by bit.
 */
#ifndef KWS_STREAM_H
#define KWS_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "kws.h"
#include "kws_decisions.h"
#include "kws_front_end.h"
#include "kws_history.h"
#include "kws_stream_settings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A detection. score / KWS_FULL_SCORE is its smoothed probability. position: the samples pushed up to the end of the clip
 * that decided. */
typedef struct {
    int32_t label; /* index into the labels */
    int32_t score;
    uint64_t position;
} kws_event;

typedef void (*kws_on_event)(void *user, const kws_event *event);

/* Yours, for kws_stream_init to fill. What is in it is the stream's own business. */
typedef struct {
    unsigned char *arena;
    kws_on_event on_event;
    void *user;
    const int8_t *scores; /* of the last result, KWS_CLASSES of them, in the arena; 0 before there was one */
    uint64_t position;    /* samples pushed so far */
    int32_t in_frame;     /* samples of the frame that is under way; below 0: to skip before it */
    int32_t in_piece;     /* of the hop that is under way, counted from a clip's first sample */
    int32_t hops_to_result;
    int16_t samples[KWS_WINDOW_SAMPLES];
    kws_history history;
    kws_decisions decisions;
} kws_stream;

/* What a stream needs of an arena: the network's, which also serves as scratch memory of a frame. */
#define KWS_STREAM_ARENA_BYTES \
    (KWS_HISTORY_ARENA_BYTES > 4 * KWS_FEATURES_SCRATCH_WORDS ? KWS_HISTORY_ARENA_BYTES \
                                                              : 4 * KWS_FEATURES_SCRATCH_WORDS)

/* A stream that begins now. arena: KWS_STREAM_ARENA_BYTES, aligned to KWS_ARENA_ALIGNMENT; nothing in it has to survive
 * from one push to the next. on_event is called from within kws_stream_push. */
void kws_stream_init(kws_stream *stream, void *arena, kws_on_event on_event, void *user);

/* The next n samples, any number of them. Where a frame or a result is due it is computed before the function returns, so
 * call it from the main loop, not from an interrupt. When a result was due with the last sample, its scores are in
 * stream->scores. */
void kws_stream_push(kws_stream *stream, const int16_t *samples, size_t n);

#ifdef __cplusplus
}
#endif

#endif
