/* SPDX-License-Identifier: MIT-0
 *
 * An example of a program around the harness. Every function but main is weak: define yours in another file.
 *
 * As it stands it uses the C library's streams and clock. That serves on a computer, and on a board whose C library sends
 * them to a UART; a board without one defines all four.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "kws_harness.h"

#if defined(__GNUC__) || defined(__clang__) || defined(__ICCARM__)
#define WEAK __attribute__((weak))
#else
#define WEAK
#endif

void kws_board_start(void);

/* Yours: clocks, pins, the UART, a timer of microseconds. */
WEAK void kws_board_start(void)
{
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IONBF, 0);
}

WEAK void kws_putchar(char byte)
{
    putchar(byte);
}

WEAK int kws_getchar(void)
{
    return getchar();
}

WEAK uint64_t kws_timestamp_us(void)
{
    return (uint64_t)clock() * 1000000U / (uint64_t)CLOCKS_PER_SEC;
}

int main(void)
{
    kws_board_start();
    kws_harness();
    return 0;
}
