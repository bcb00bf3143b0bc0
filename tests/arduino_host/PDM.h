/* The interface of the library PDM of Arduino's core for mbed. */
#ifndef PDM_H
#define PDM_H

#include <Arduino.h>

class PDMClass
{
public:
    int begin(int channels, int sample_rate_hz);
    int available();
    int read(void *buffer, size_t size);
    void onReceive(void (*function)());
};

extern PDMClass PDM;

#endif
