/* A board on this computer: the microphone plays the samples in the file $SOUND, the serial port is standard input and
 * output.
 *
 *     board CALLS
 *
 * Time goes by in calls of functions, which the sketch and its library are compiled to report: after every CALLS of them,
 * wherever they happen, the microphone interrupts. As on an nRF52840 it delivers 512 bytes, and stops for good where the
 * ones before are still there (exit status 2). A sketch that reads its serial port runs until standard input ends.
 */
#include <Arduino.h>
#include <PDM.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" void __cyg_profile_func_enter(void *function, void *from);
extern "C" void __cyg_profile_func_exit(void *function, void *from);

SerialPort Serial;
PDMClass PDM;

namespace
{
const size_t BUFFER_BYTES = 512;
const unsigned long CALLS_A_MS = 1000;

FILE *sound;
unsigned long calls_a_buffer, calls, next_interrupt;
bool interrupted, stopped, over;
unsigned char buffer[BUFFER_BYTES];
size_t filled, taken;
void (*received)();
int peeked = -1;

void interrupt()
{
    if (taken < filled) {
        stopped = true;
        return;
    }
    filled = fread(buffer, 1, BUFFER_BYTES, sound);
    taken = 0;
    over = filled == 0;
    if (!over && received != nullptr) {
        received();
    }
}
}

void __cyg_profile_func_enter(void *, void *)
{
    calls++;
    if (sound != nullptr && !interrupted && !stopped && !over && calls >= next_interrupt) {
        interrupted = true;
        next_interrupt = calls + calls_a_buffer;
        interrupt();
        interrupted = false;
    }
}

void __cyg_profile_func_exit(void *, void *)
{
}

int PDMClass::begin(int channels, int sample_rate_hz)
{
    if (channels != 1 || sample_rate_hz != 16000) {
        return 0;
    }
    const char *const path = getenv("SOUND");
    sound = path != nullptr ? fopen(path, "rb") : nullptr;
    next_interrupt = calls + calls_a_buffer;
    return sound != nullptr;
}

int PDMClass::available()
{
    return static_cast<int>(filled - taken);
}

int PDMClass::read(void *into, size_t size)
{
    const size_t count = size < filled - taken ? size : filled - taken;
    memcpy(into, buffer + taken, count);
    taken += count;
    return static_cast<int>(count);
}

void PDMClass::onReceive(void (*function)())
{
    received = function;
}

void SerialPort::begin(unsigned long)
{
    setvbuf(stdout, nullptr, _IONBF, 0);
}

SerialPort::operator bool() const
{
    return true;
}

int SerialPort::available()
{
    peeked = peeked >= 0 ? peeked : getchar();
    if (peeked < 0) {
        exit(0);
    }
    return 1;
}

int SerialPort::read()
{
    const int c = peeked;
    peeked = -1;
    return c;
}

size_t SerialPort::write(uint8_t c)
{
    return putchar(c) == c ? 1 : 0;
}

size_t SerialPort::print(const char *text)
{
    return static_cast<size_t>(printf("%s", text));
}

size_t SerialPort::print(double value, int digits)
{
    return static_cast<size_t>(printf("%.*f", digits, value));
}

size_t SerialPort::println(const char *text)
{
    return static_cast<size_t>(printf("%s\n", text));
}

size_t SerialPort::print(unsigned int value)
{
    return static_cast<size_t>(printf("%u", value));
}

size_t SerialPort::print(unsigned long value)
{
    return static_cast<size_t>(printf("%lu", value));
}

unsigned long millis()
{
    return calls / CALLS_A_MS;
}

unsigned long micros()
{
    return calls;
}

void delay(unsigned long time_ms)
{
    calls += time_ms * CALLS_A_MS;
    if (sound == nullptr && time_ms >= 1000) {
        exit(3); /* the sketch waits for a microphone */
    }
}

int main(int argc, char **argv)
{
    calls_a_buffer = argc > 1 ? strtoul(argv[1], nullptr, 10) : 0;
    setup();
    while (!over && !stopped) {
        loop();
    }
    for (int i = 0; i < 1000 && !stopped; i++) {
        loop();
    }
    return stopped ? 2 : 0;
}
