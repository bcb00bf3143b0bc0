/* SPDX-License-Identifier: MIT-0
 *
 * Answers the serial protocol of MLPerf Tiny, so that a host can load inputs, time inferences and read results.
 *
 * You supply three functions over a UART (115200 baud, 8N1, or whatever you choose) and call kws_harness(). Where your
 * main loop is your own, call kws_harness_start() once and kws_harness_receive() for every byte instead.
 */
#ifndef KWS_HARNESS_H
#define KWS_HARNESS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef KWS_HARNESS_VENDOR
#define KWS_HARNESS_VENDOR "rena-kws" /* the board's name: letters, digits, spaces; an emulator's begins with "emulated" */
#endif
#ifndef KWS_HARNESS_TEST_SET
#define KWS_HARNESS_TEST_SET "kws01" /* MLPerf's runner chooses its inputs by it: kws01, vww01, ad01, ic01, strww01 */
#endif
#define KWS_HARNESS_SHA256 "" /* of the .tflite file: `help%` tells it, so that a host knows what it measures */

/* Yours: waits until one byte is sent. */
void kws_putchar(char byte);
/* Yours: waits for a byte; negative ends kws_harness(). */
int kws_getchar(void);
/* Yours: microseconds since any moment, never backwards. */
uint64_t kws_timestamp_us(void);

/* Announces itself, then serves commands until kws_getchar() is negative. */
void kws_harness(void);

/* Everything as after a reset, and the announcement. */
void kws_harness_start(void);

/* One byte from the host; the one that ends a command runs it and sends the reply before this returns. */
void kws_harness_receive(char byte);

#ifdef __cplusplus
}
#endif

#endif
