/* SPDX-License-Identifier: MIT-0
 *
 * What a stream keeps of the clip that it hears, where features depend on the clip's loudest sample: bands, which do not,
 * and the loudest sample of each piece. Where the loudest of all has changed since the last result, the features of all
 * frames are made of their bands anew. Where it has not, only those of new frames are.
 *
 *     frame ─► bands ─► ring of a clip's frames ─► features ─► whole network
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
    int32_t frame, piece;      /* places in the rings: of the oldest frame, of the piece under way */
    int32_t new_frames;        /* since the last result */
    int32_t peak;              /* that the features are for; 0 before there are any */
    int16_t peaks[KWS_PIECES]; /* of each piece of the clip; 0 where no sample is positive */
    uint16_t bands[KWS_FRAMES][KWS_MEL_BANDS];
    int8_t features[KWS_FRAMES][KWS_FEATURES_A_FRAME];
    kws_features_word scratch[KWS_MEL_BANDS];
} kws_history;

void kws_history_init(kws_history *history);

/* Every sample, once, those of a piece; and the end of a piece. */
void kws_history_hear(kws_history *history, const int16_t *samples, int32_t n);
void kws_history_end_piece(kws_history *history);

/* The samples of one more frame. */
void kws_history_add(kws_history *history, const int16_t *frame, void *arena);

/* The scores of the clip up to now. */
const int8_t *kws_history_result(kws_history *history, void *arena);

#ifdef __cplusplus
}
#endif

#endif
