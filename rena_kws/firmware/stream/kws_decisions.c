/* SPDX-License-Identifier: MIT-0
 *
 * Detections, from sums that each result changes.
 */
#include "kws_decisions.h"

#include <string.h>

static const uint8_t is_keyword[KWS_CLASSES] = KWS_IS_KEYWORD;

void kws_decisions_init(kws_decisions *decisions)
{
    memset(decisions, 0, sizeof *decisions);
    decisions->lasting = -1;
}

static void add(kws_decisions *decisions, const int8_t *scores)
{
    uint8_t *const oldest = decisions->results[decisions->next];
    for (int32_t i = 0; i < KWS_CLASSES; i++) {
        const uint8_t score = (uint8_t)(scores[i] + 128);
        decisions->sums[i] += score - oldest[i];
        oldest[i] = score;
    }
    decisions->next = decisions->next + 1 < KWS_SMOOTHED_RESULTS ? decisions->next + 1 : 0;
}

int32_t kws_decide(kws_decisions *decisions, const int8_t *scores, int32_t *score)
{
    int32_t best = -1;
    add(decisions, scores);
    if (decisions->lasting >= 0 && decisions->sums[decisions->lasting] < KWS_THRESHOLD) {
        decisions->lasting = -1;
    }
    if (decisions->rest > 0) {
        decisions->rest--;
        return -1;
    }
    for (int32_t i = 0; i < KWS_CLASSES; i++) {
        const int32_t sum = decisions->sums[i];
        if (is_keyword[i] && i != decisions->lasting && sum >= KWS_THRESHOLD && (best < 0 || sum > *score)) {
            best = i;
            *score = sum;
        }
    }
    if (best >= 0) {
        decisions->rest = KWS_RESTING_RESULTS;
        decisions->lasting = best;
    }
    return best;
}
