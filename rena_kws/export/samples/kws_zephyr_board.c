/* SPDX-License-Identifier: MIT-0
 *
 * Makes the board a device to profile on: its console answers the serial protocol of MLPerf Tiny.
 *
 *     rena-kws profile MODEL.tflite --device serial:PORT
 */
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>

#include "kws_harness.h"

static const struct device *const uart = DEVICE_DT_GET(DT_CHOSEN(zephyr_console));

void kws_putchar(char byte)
{
    uart_poll_out(uart, (unsigned char)byte);
}

int kws_getchar(void)
{
    unsigned char byte;
    while (uart_poll_in(uart, &byte) < 0) {
    }
    return byte;
}

uint64_t kws_timestamp_us(void)
{
    return k_ticks_to_us_floor64((uint64_t)k_uptime_ticks());
}

int main(void)
{
    if (device_is_ready(uart)) {
        kws_harness();
    }
    return 0;
}
