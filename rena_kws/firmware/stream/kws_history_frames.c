/* SPDX-License-Identifier: MIT-0
 *
 * The network's input is copied out of the ring, since a run may overwrite it.
 */
#include "kws_history.h"

#include <string.h>

void kws_history_init(kws_history *history)
{
    memset(history, 0, sizeof *history);
}

void kws_history_add(kws_history *history, const int16_t *frame, void *arena)
{
    uint16_t bands[KWS_MEL_BANDS];
    kws_frame_bands(frame, bands, arena);
    kws_frame_features(bands, 32768, history->features[history->frame], arena);
    history->frame = history->frame + 1 < KWS_FRAMES ? history->frame + 1 : 0;
}

const int8_t *kws_history_result(kws_history *history, void *arena)
{
    const size_t oldest = (size_t)history->frame * KWS_FEATURES_A_FRAME;
    int8_t *const input = kws_input(arena);
    memcpy(input, history->features[history->frame], sizeof history->features - oldest);
    memcpy(input + (sizeof history->features - oldest), history->features, oldest);
    kws_run(arena);
    return kws_output(arena);
}
