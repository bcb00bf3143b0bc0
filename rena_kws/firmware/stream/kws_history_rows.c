/* SPDX-License-Identifier: MIT-0
 *
 * A result is due whenever KWS_NEW_ROWS frames are new. Those before the first are computed too, for the sake of the rows
 * that later ones look back to; what they make of the time before the stream began, no result looks at.
 */
#include "kws_history.h"

#include <string.h>

#include "kws_stream_settings.h"

#if KWS_HOPS_A_RESULT != KWS_NEW_ROWS
#error "The network is generated for this number of hops a result: export it again for another."
#endif

/* The frames of the first clip end with a result, and so, some of them, does what lies before it. */
enum { BEFORE_THE_FIRST = (KWS_NEW_ROWS - KWS_FRAMES % KWS_NEW_ROWS) % KWS_NEW_ROWS };

void kws_history_init(kws_history *history)
{
    memset(history, 0, sizeof *history);
    history->new_rows = BEFORE_THE_FIRST;
}

void kws_history_add(kws_history *history, const int16_t *frame, void *arena)
{
    uint16_t bands[KWS_MEL_BANDS];
    if (history->new_rows == KWS_NEW_ROWS) {
        kws_history_result(history, arena);
    }
    kws_frame_bands(frame, bands, arena);
    int8_t *const input = kws_new_rows_input(history->rows) + history->new_rows * KWS_FEATURES_A_FRAME;
    kws_frame_features(bands, 32768, input, arena);
    history->new_rows++;
}

const int8_t *kws_history_result(kws_history *history, void *arena)
{
    kws_run_incremental(history->rows, arena);
    history->new_rows = 0;
    return kws_incremental_output(arena);
}
