/* SPDX-License-Identifier: MIT-0
 *
 * The features of a clip are those that kws_features makes of the same samples, bit by bit.
 */
#include "kws_history.h"

#include <string.h>

void kws_history_init(kws_history *history)
{
    memset(history, 0, sizeof *history);
}

void kws_history_hear(kws_history *history, const int16_t *samples, int32_t n)
{
    int16_t peak = history->peaks[history->piece];
    for (int32_t i = 0; i < n; i++) {
        peak = samples[i] > peak ? samples[i] : peak;
    }
    history->peaks[history->piece] = peak;
}

void kws_history_end_piece(kws_history *history)
{
    history->piece = history->piece + 1 < KWS_PIECES ? history->piece + 1 : 0;
    history->peaks[history->piece] = 0;
}

static inline int32_t next_frame(int32_t frame)
{
    return frame + 1 < KWS_FRAMES ? frame + 1 : 0;
}

void kws_history_add(kws_history *history, const int16_t *frame, void *arena)
{
    kws_frame_bands(frame, history->bands[history->frame], arena);
    history->frame = next_frame(history->frame);
    history->new_frames = history->new_frames < KWS_FRAMES ? history->new_frames + 1 : KWS_FRAMES;
}

static int32_t peak_of(const kws_history *history)
{
    int32_t peak = 0;
    for (int32_t i = 0; i < KWS_PIECES; i++) {
        peak = history->peaks[i] > peak ? history->peaks[i] : peak;
    }
    return peak > 0 ? peak : 32768;
}

/* Features of the ring's frames for the peak as it is now, into the network's input, the oldest frame first. */
static void write_features(kws_history *history, int8_t *input)
{
    const int32_t peak = peak_of(history);
    const int32_t kept = peak == history->peak ? KWS_FRAMES - history->new_frames : 0;
    int32_t frame = history->frame;
    for (int32_t i = 0; i < KWS_FRAMES; i++) {
        if (i >= kept) {
            kws_frame_features(history->bands[frame], peak, history->features[frame], history->scratch);
        }
        memcpy(input, history->features[frame], KWS_FEATURES_A_FRAME);
        input += KWS_FEATURES_A_FRAME;
        frame = next_frame(frame);
    }
    history->peak = peak;
    history->new_frames = 0;
}

const int8_t *kws_history_result(kws_history *history, void *arena)
{
    write_features(history, kws_input(arena));
    kws_run(arena);
    return kws_output(arena);
}
