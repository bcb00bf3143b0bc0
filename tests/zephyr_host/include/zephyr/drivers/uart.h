/* The console's UART is standard input and output. */
#ifndef ZEPHYR_UART_H
#define ZEPHYR_UART_H

#include <zephyr/kernel.h>

int uart_poll_in(const struct device *device, unsigned char *byte);
void uart_poll_out(const struct device *device, unsigned char byte);

#endif
