/* SPDX-License-Identifier: MIT-0
 *
 * What a stream keeps of the clip that it hears, where a frame's features depend on its own samples alone: them.
 *
 *     frame ─► features ─► ring of a clip's frames ─► whole network
 */
#ifndef KWS_HISTORY_H
#define KWS_HISTORY_H

#include <stdint.h>

#include "kws.h"
#include "kws_front_end.h"

#define KWS_HISTORY_ARENA_BYTES KWS_ARENA_BYTES

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t frame; /* the place of the oldest one in the ring */
    int8_t features[KWS_FRAMES][KWS_FEATURES_A_FRAME];
} kws_history;

void kws_history_init(kws_history *history);

/* Samples outside of frames do not matter. */
static inline void kws_history_hear(kws_history *history, const int16_t *samples, int32_t n)
{
    (void)history;
    (void)samples;
    (void)n;
}

static inline void kws_history_end_piece(kws_history *history)
{
    (void)history;
}

/* The samples of one more frame. */
void kws_history_add(kws_history *history, const int16_t *frame, void *arena);

/* The scores of the clip up to now. */
const int8_t *kws_history_result(kws_history *history, void *arena);

#ifdef __cplusplus
}
#endif

#endif
