/* SPDX-License-Identifier: MIT-0
 *
 * A stream on this computer, for a program that loads it as a library: sizes, scores of a long sound, decisions alone.
 */
#include <string.h>

#include "kws_stream.h"

size_t host_stream_bytes(void);
size_t host_arena_bytes(void);
int32_t host_classes(void);
int32_t host_full_score(void);
size_t host_scores(kws_stream *stream, const int16_t *samples, size_t n, int8_t *scores);
size_t host_decide(const int8_t *scores, size_t results, int32_t *found);

size_t host_stream_bytes(void)
{
    return sizeof(kws_stream);
}

size_t host_arena_bytes(void)
{
    return KWS_STREAM_ARENA_BYTES;
}

int32_t host_classes(void)
{
    return KWS_CLASSES;
}

int32_t host_full_score(void)
{
    return KWS_FULL_SCORE;
}

/* All results of a sound that a new stream hears, KWS_CLASSES scores each. Returns their number. */
size_t host_scores(kws_stream *stream, const int16_t *samples, size_t n, int8_t *scores)
{
    size_t results = 0;
    size_t next = KWS_CLIP_SAMPLES;
    while (n >= next) {
        kws_stream_push(stream, samples, next);
        memcpy(scores + results * KWS_CLASSES, stream->scores, KWS_CLASSES);
        results++;
        samples += next;
        n -= next;
        next = (size_t)KWS_HOP_SAMPLES * KWS_HOPS_A_RESULT;
    }
    return results;
}

/* The detections in a stream of scores: number of the result, label, score; three numbers each. Returns how many. */
size_t host_decide(const int8_t *scores, size_t results, int32_t *found)
{
    kws_decisions decisions;
    size_t count = 0;
    kws_decisions_init(&decisions);
    for (size_t i = 0; i < results; i++) {
        int32_t score = 0;
        const int32_t label = kws_decide(&decisions, scores + i * KWS_CLASSES, &score);
        if (label >= 0) {
            found[3 * count] = (int32_t)i;
            found[3 * count + 1] = label;
            found[3 * count + 2] = score;
            count++;
        }
    }
    return count;
}
