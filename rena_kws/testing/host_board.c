/* SPDX-License-Identifier: MIT-0
 *
 * The harness as a library on this computer: bytes in, bytes out, and a clock that is given to it.
 */
#include "kws_harness.h"

#include <stddef.h>

static uint64_t (*clock_us)(void);
static char *reply;
static size_t room;
static size_t size;

void kws_putchar(char byte)
{
    if (size < room) {
        reply[size++] = byte;
    }
}

int kws_getchar(void)
{
    return -1; /* bytes are pushed */
}

uint64_t kws_timestamp_us(void)
{
    return clock_us();
}

/* A reset; the number of bytes that the board sends at once. */
size_t board_start(uint64_t (*its_clock_us)(void), char *buffer, size_t bytes);
size_t board_start(uint64_t (*its_clock_us)(void), char *buffer, size_t bytes)
{
    clock_us = its_clock_us;
    reply = buffer;
    room = bytes;
    size = 0;
    kws_harness_start();
    return size;
}

/* The number of bytes that the board answers; above `room` they would be lost. */
size_t board_receive(const char *bytes, size_t count);
size_t board_receive(const char *bytes, size_t count)
{
    size = 0;
    for (size_t i = 0; i < count; i++) {
        kws_harness_receive(bytes[i]);
    }
    return size;
}
