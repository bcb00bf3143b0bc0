/* SPDX-License-Identifier: MIT-0
 *
 * An example of a main program, to be fitted to your board: the microphone's interrupt leaves samples in a ring, the
 * main loop listens to them.
 */
#include "kws_labels.h"
#include "kws_stream.h"

/* A power of two. It has to hold what the microphone delivers while the network runs; what comes beyond that is dropped,
 * since what the network reads must stay as it is. */
#define RING_SAMPLES 8192U

void microphone_received(const int16_t *samples, size_t n); /* call it from the interrupt of your microphone's DMA */
void detected(const char *word, float probability);         /* yours: what a word sets in motion */
void sound_lost(uint32_t samples); /* yours: the network takes longer than its sound does to come; tell of it */

static unsigned char memory[KWS_STREAM_ARENA_BYTES + KWS_ARENA_ALIGNMENT];
static kws_stream stream;
static int16_t ring[RING_SAMPLES];
static volatile uint32_t written; /* samples so far; the place in the ring is what is left of RING_SAMPLES */
static volatile uint32_t taken;
static volatile uint32_t lost; /* samples that found the ring full */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void microphone_received(const int16_t *samples, size_t n)
{
    const uint32_t at = written;
    const uint32_t kept = least((uint32_t)n, RING_SAMPLES - (at - taken));
    for (uint32_t i = 0; i < kept; i++) {
        ring[(at + i) % RING_SAMPLES] = samples[i];
    }
    written = at + kept;
    lost = lost + ((uint32_t)n - kept);
}

static void on_event(void *user, const kws_event *event)
{
    static const char *const words[] = KWS_LABELS;
    (void)user;
    detected(words[event->label], (float)event->score / KWS_FULL_SCORE);
}

int main(void)
{
    unsigned char *const arena = memory + (KWS_ARENA_ALIGNMENT - (uintptr_t)memory % KWS_ARENA_ALIGNMENT);
    uint32_t told = 0;
    kws_stream_init(&stream, arena, on_event, 0);
    for (;;) {
        const uint32_t at = taken % RING_SAMPLES;
        const uint32_t waiting = written - taken; /* sleep here while it is 0 */
        const uint32_t n = least(least(waiting, RING_SAMPLES - at), KWS_HOP_SAMPLES);
        const uint32_t now_lost = lost;
        kws_stream_push(&stream, ring + at, n);
        taken = taken + n;
        if (now_lost != told) {
            sound_lost(now_lost - told);
            told = now_lost;
        }
    }
}
