/* SPDX-License-Identifier: MIT-0
 *
 * Makes the board a device to profile on: it answers the serial protocol of MLPerf Tiny.
 *
 *     rena-kws profile MODEL.tflite --device serial:PORT
 */
#include <kws.h>

#include "kws_harness.h"

void kws_putchar(char c)
{
    Serial.write(static_cast<uint8_t>(c));
}

int kws_getchar(void)
{
    while (Serial.available() <= 0) {
    }
    return Serial.read();
}

/* micros() begins anew every 71 minutes. */
uint64_t kws_timestamp_us(void)
{
    static uint32_t last;
    static uint64_t time_us;
    const uint32_t now = micros();
    time_us += static_cast<uint32_t>(now - last);
    last = now;
    return time_us;
}

void setup()
{
    Serial.begin(115200);
    while (!Serial) {
        delay(10);
    }
    kws_harness_start();
}

void loop()
{
    while (Serial.available() > 0) {
        kws_harness_receive(static_cast<char>(Serial.read()));
    }
}
