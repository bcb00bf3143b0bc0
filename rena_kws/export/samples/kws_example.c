/* SPDX-License-Identifier: MIT-0
 *
 * An example of a main program, to be fitted to your board: the microphone's interrupt leaves samples in a ring, the
 * main loop listens to them.
 */
#include "kws_labels.h"
#include "kws_stream.h"

/* A power of two. It has to hold what the microphone delivers while the network runs. */
#define RING_SAMPLES 8192U

void microphone_received(const int16_t *samples, size_t n); /* call it from the interrupt of your microphone's DMA */
void detected(const char *word, float probability);         /* yours: what a word sets in motion */

static unsigned char memory[KWS_STREAM_ARENA_BYTES + KWS_ARENA_ALIGNMENT];
static kws_stream stream;
static int16_t ring[RING_SAMPLES];
static volatile uint32_t written; /* samples so far; the place in the ring is what is left of RING_SAMPLES */

void microphone_received(const int16_t *samples, size_t n)
{
    uint32_t at = written;
    for (size_t i = 0; i < n; i++) {
        ring[at++ % RING_SAMPLES] = samples[i];
    }
    written = at;
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
    uint32_t read = 0;
    kws_stream_init(&stream, arena, on_event, 0);
    for (;;) {
        const uint32_t at = read % RING_SAMPLES;
        uint32_t waiting = written - read; /* sleep here while it is 0 */
        if (waiting > RING_SAMPLES - at) {
            waiting = RING_SAMPLES - at;
        }
        kws_stream_push(&stream, ring + at, waiting);
        read += waiting;
    }
}
