/* What of Arduino's core the exported sketches use, on this computer: host.cpp. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus

/* Names that the cores take, as types or macros. */
typedef bool boolean;
typedef uint8_t byte;
typedef unsigned int word;
#define bit(b) (1UL << (b))
#define sq(x) ((x) * (x))
#define INPUT 0x0
#define OUTPUT 0x1

class SerialPort
{
public:
    void begin(unsigned long baud);
    explicit operator bool() const;
    int available();
    int read();
    size_t write(uint8_t c);
    size_t print(const char *text);
    size_t print(unsigned int value);
    size_t print(unsigned long value);
    size_t print(double value, int digits);
    size_t println(const char *text);
};

extern SerialPort Serial;

unsigned long millis();
unsigned long micros();
void delay(unsigned long time_ms);

void setup();
void loop();

#endif

#endif
