/* SPDX-License-Identifier: MIT-0
 *
 * The harness on an emulated chip: it prints and asks for the time through semihosting, so no board's devices matter.
 */
#include "kws_harness.h"

#include <string.h>

enum { WRITE_CHARACTER = 0x03, ELAPSED = 0x30 };

static void ask_host(int32_t number, void *argument)
{
    register int32_t r0 __asm__("r0") = number;
    register void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

#if defined(__clang__) /* freestanding: there is no C library */
size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    return length;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}
#endif

void kws_putchar(char byte)
{
    ask_host(WRITE_CHARACTER, &byte);
}

int kws_getchar(void)
{
    return -1; /* bytes are pushed */
}

uint64_t kws_timestamp_us(void)
{
    uint64_t cycles;
    ask_host(ELAPSED, &cycles);
    return cycles * 1000000U / KWS_CLOCK_HZ;
}

/* A reset where there are no bytes, else what they make the harness do. */
void kws_emulated_board(const char *bytes, size_t count);
void kws_emulated_board(const char *bytes, size_t count)
{
    if (count == 0) {
        kws_harness_start();
    }
    for (size_t i = 0; i < count; i++) {
        kws_harness_receive(bytes[i]);
    }
}
