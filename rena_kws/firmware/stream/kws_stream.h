/* SPDX-License-Identifier: MIT-0
 *
 * Listening without end: samples in, as they come, and detections out.
 *
 *     samples ─► frame ─► bands ─► ring of a clip's frames ─► features ─► network ─► scores ─► decision
 *                     once a hop                        once in KWS_HOPS_A_RESULT hops
 *
 * The features of a clip are those that kws_features makes of the same samples, bit by bit. They depend on the loudest
 * sample of the clip; bands do not. So bands are kept, and where the loudest sample has changed since the last result,
 * the features of all frames are made of them anew. Where it has not, only those of new frames are.
 */
#ifndef KWS_STREAM_H
#define KWS_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "kws.h"
#include "kws_decisions.h"
#include "kws_front_end.h"
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

/* Pieces of a clip, each of a hop, the last one of what is left: the loudest sample is looked for in each by itself. */
#define KWS_PIECES ((KWS_CLIP_SAMPLES + KWS_HOP_SAMPLES - 1) / KWS_HOP_SAMPLES)

/* Yours, for kws_stream_init to fill. What is in it is the stream's own business. */
typedef struct {
    unsigned char *arena;
    kws_on_event on_event;
    void *user;
    uint64_t position;                            /* samples pushed so far */
    int32_t in_frame;                             /* samples of the frame that is under way; below 0: to skip before it */
    int32_t in_piece;
    int32_t frame, piece;                         /* places in the rings: of the oldest frame, of the piece under way */
    int32_t hops_to_result;
    int32_t new_frames;                           /* since the last result */
    int32_t peak;                                 /* that the features are for; 0 before there are any */
    int16_t samples[KWS_WINDOW_SAMPLES];
    int16_t peaks[KWS_PIECES];                    /* 0 where no sample is positive */
    uint16_t bands[KWS_FRAMES][KWS_MEL_BANDS];
    int8_t features[KWS_FRAMES][KWS_FEATURES_A_FRAME];
    kws_features_word scratch[KWS_MEL_BANDS];
    kws_decisions decisions;
} kws_stream;

/* What a stream needs of an arena: the network's, which also serves as scratch memory of a frame. */
#define KWS_STREAM_ARENA_BYTES \
    (KWS_ARENA_BYTES > 4 * KWS_FEATURES_SCRATCH_WORDS ? KWS_ARENA_BYTES : 4 * KWS_FEATURES_SCRATCH_WORDS)

/* A stream that begins now. arena: KWS_STREAM_ARENA_BYTES, aligned to KWS_ARENA_ALIGNMENT; nothing in it has to survive
 * from one push to the next. on_event is called from within kws_stream_push. */
void kws_stream_init(kws_stream *stream, void *arena, kws_on_event on_event, void *user);

/* The next n samples, any number of them. Where a frame or a result is due it is computed before the function returns, so
 * call it from the main loop, not from an interrupt. When a result was due with the last sample, the scores are in
 * kws_output(arena). */
void kws_stream_push(kws_stream *stream, const int16_t *samples, size_t n);

#ifdef __cplusplus
}
#endif

#endif
