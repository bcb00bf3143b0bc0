/* SPDX-License-Identifier: MIT-0
 *
 * A stream for a caller with no linker: sizes, start and push through one function, events into memory of the caller's.
 */
#include "kws_stream.h"

typedef struct {
    uint32_t count;
    kws_event event; /* the last one */
} event_log;

uint32_t kws_listener(kws_stream *stream, void *memory, const int16_t *samples, uint32_t n);

static void kws_listener_event(void *user, const kws_event *event)
{
    event_log *const log = user;
    log->count++;
    log->event = *event;
}

/* Without a stream: the size of one. Without samples: a stream that begins, `memory` its arena and n the address of the
 * log. Otherwise n samples for it. */
uint32_t kws_listener(kws_stream *stream, void *memory, const int16_t *samples, uint32_t n)
{
    if (!stream) {
        return sizeof *stream;
    }
    if (samples) {
        kws_stream_push(stream, samples, n);
    } else {
        kws_stream_init(stream, memory, kws_listener_event, (void *)(uintptr_t)n);
    }
    return 0;
}
