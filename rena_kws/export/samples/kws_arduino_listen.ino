/* SPDX-License-Identifier: MIT-0
 *
 * Prints the words that a board with a PDM microphone (Arduino Nano 33 BLE Sense, Nano RP2040 Connect, Nicla, ...) hears.
 *
 *     microphone ─► interrupt ─► ring ─► loop() ─► kws_stream_push ─► on_event ─► Serial
 */
#include <PDM.h>

#include <kws_labels.h>
#include <kws_stream.h>

/* Sound that loop() has not listened to yet: as much as arrives while the network runs. A power of two. */
static const uint32_t RING_SAMPLES = 8192;

alignas(KWS_ARENA_ALIGNMENT) static unsigned char arena[KWS_STREAM_ARENA_BYTES];
static kws_stream stream;
static int16_t ring[RING_SAMPLES];
static volatile uint32_t written; /* samples so far; the place in the ring is what is left of RING_SAMPLES */
static volatile uint32_t taken;
static volatile uint32_t lost; /* samples that found the ring full */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Reads n samples at most; returns how many. Those that the ring has no room for are read too: a microphone whose sound
 * is left where it is stops. */
static uint32_t take_samples(uint32_t n)
{
    static int16_t dropped[64];
    const uint32_t at = written % RING_SAMPLES;
    const uint32_t room = least(RING_SAMPLES - (written - taken), RING_SAMPLES - at);
    int16_t *const into = room > 0 ? ring + at : dropped;
    const uint32_t wanted = least(n, room > 0 ? room : sizeof dropped / sizeof dropped[0]);
    const int read = PDM.read(into, wanted * sizeof(int16_t)) / static_cast<int>(sizeof(int16_t));
    const uint32_t count = read > 0 ? static_cast<uint32_t>(read) : 0;
    if (room > 0) {
        written = written + count;
    } else {
        lost = lost + count;
    }
    return count;
}

/* Runs in the microphone's interrupt. */
static void on_samples()
{
    uint32_t left = static_cast<uint32_t>(PDM.available()) / sizeof(int16_t);
    while (left > 0) {
        const uint32_t count = take_samples(left);
        if (count == 0) {
            break;
        }
        left -= count;
    }
}

static void on_event(void *, const kws_event *event)
{
    static const char *const words[] = KWS_LABELS;
    Serial.print(static_cast<double>(event->position) / KWS_SAMPLE_RATE_HZ, 2);
    Serial.print(" s  ");
    Serial.print(static_cast<double>(event->score) / KWS_FULL_SCORE, 2);
    Serial.print("  ");
    Serial.println(words[event->label]);
}

void setup()
{
    Serial.begin(115200);
    while (!Serial && millis() < 3000) {
        delay(10); /* for whoever opens the serial monitor to see the first line */
    }
    kws_stream_init(&stream, arena, on_event, nullptr);
    PDM.onReceive(on_samples);
    if (!PDM.begin(1, KWS_SAMPLE_RATE_HZ)) {
        for (;;) {
            Serial.println("the microphone does not start");
            delay(1000);
        }
    }
    Serial.println("listening");
}

void loop()
{
    static uint32_t told;
    const uint32_t at = taken % RING_SAMPLES;
    const uint32_t n = least(least(written - taken, RING_SAMPLES - at), KWS_HOP_SAMPLES);
    kws_stream_push(&stream, ring + at, n);
    taken = taken + n;
    const uint32_t now_lost = lost;
    if (now_lost != told) {
        Serial.print(now_lost - told);
        Serial.println(" samples lost: the network takes longer than they do to come");
        told = now_lost;
    }
}
