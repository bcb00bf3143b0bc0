/* SPDX-License-Identifier: MIT-0
 *
 * From the network's scores, result after result, to detections: the mean of the last few results, a threshold, and a
 * time of rest after a detection; the same word is detected again only once it has fallen below the threshold. In
 * integers, so that every core and every computer decides alike.
 */
#ifndef KWS_DECISIONS_H
#define KWS_DECISIONS_H

#include <stdint.h>

#include "kws_stream_settings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Yours, and empty at first: kws_decisions_init. */
typedef struct {
    uint8_t results[KWS_SMOOTHED_RESULTS][KWS_CLASSES]; /* a ring: scores + 128 */
    int32_t sums[KWS_CLASSES];                          /* over it */
    int32_t next;                                       /* the oldest result, which the next one replaces */
    int32_t rest;                                       /* results to come that are not looked at */
    int32_t lasting;                                    /* the label detected last, while it lasts; else -1 */
} kws_decisions;

/* As if the network had given every class its least score so far. */
void kws_decisions_init(kws_decisions *decisions);

/* One more result: KWS_CLASSES scores. Returns the label that was detected, or -1. `score`: the label's sum over the last
 * KWS_SMOOTHED_RESULTS results, each score plus 128. */
int32_t kws_decide(kws_decisions *decisions, const int8_t *scores, int32_t *score);

#ifdef __cplusplus
}
#endif

#endif
