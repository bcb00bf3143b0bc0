/* SPDX-License-Identifier: MIT-0
 *
 * What a stream keeps of the clip that it hears, where neither features nor network look at a clip as a whole: the rows
 * of the network's images that new rows are computed of.
 *
 *     frame ─► features ─► new rows of the input ─► new rows of every image ─► scores
 */
#ifndef KWS_HISTORY_H
#define KWS_HISTORY_H

#include <stdint.h>

#include "kws.h"
#include "kws_front_end.h"
#include "kws_incremental.h"

#define KWS_HISTORY_ARENA_BYTES KWS_INCREMENTAL_ARENA_BYTES

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t new_rows;                          /* of the input, since the last result */
    uint64_t rows[(KWS_ROWS_BYTES + 7) / 8];
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

/* The scores of the clip up to now: those of the whole network for its features, bit by bit. */
const int8_t *kws_history_result(kws_history *history, void *arena);

#ifdef __cplusplus
}
#endif

#endif
