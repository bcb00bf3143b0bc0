/* SPDX-License-Identifier: MIT-0
 *
 * A command is a line of words that ends with '%'; a reply is lines that end with "m-ready". No allocation, no printf.
 *
 * An inference may overwrite its input, so every inference gets it anew from a buffer. That copy lies inside the timed
 * part: some bytes against a whole network.
 */
#include "kws_harness.h"

#include <stddef.h>
#include <string.h>

#include "kws.h"

#define LINE_BYTES 80     /* of a command; what is longer is cut, as in the public firmware */
#define BYTES_A_LINE 8U   /* of `db print` */
#define DEFAULT_RUNS 1U
#define DEFAULT_WARM_UP 10U

static unsigned char memory[KWS_ARENA_BYTES + KWS_ARENA_ALIGNMENT]; /* C99 has no _Alignas */
static uint8_t input[KWS_INPUT_BYTES];
static uint32_t expected; /* bytes that `db load` announced */
static uint32_t loaded;   /* bytes of them that came */
static char line[LINE_BYTES + 1];
static uint32_t length;

static unsigned char *arena(void)
{
    return memory + (KWS_ARENA_ALIGNMENT - (uintptr_t)memory % KWS_ARENA_ALIGNMENT);
}

static void put_text(const char *text)
{
    for (; *text != '\0'; text++) {
        kws_putchar(*text);
    }
}

static void put_line(const char *text)
{
    put_text(text);
    put_text("\r\n");
}

static void put_number(uint64_t value)
{
    char digits[20];
    int count = 0;
    do {
        digits[count++] = (char)('0' + value % 10U);
        value /= 10U;
    } while (value != 0U);
    while (count > 0) {
        kws_putchar(digits[--count]);
    }
}

static void put_numbered(const char *before, uint64_t value, const char *after)
{
    put_text(before);
    put_number(value);
    put_line(after);
}

/* As printf writes "%.3f": rounded to nearest, ties to even. A float is mantissa / 2^shift, and thousandths of it fit
 * 64 bits up to 2^54, far above what a quantised output can be. */
static void put_thousandths(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t exponent = bits >> 23 & 0xFFU;
    const int32_t shift = 150 - (int32_t)(exponent != 0U ? exponent : 1U);
    uint64_t thousandths = (uint64_t)((bits & 0x7FFFFFU) | (exponent != 0U ? 0x800000U : 0U)) * 1000U;
    if (shift > 35) {
        thousandths = 0U; /* below 2^34, so nearer to 0 than to 1 */
    } else if (shift > 0) {
        const uint64_t rest = thousandths & (((uint64_t)1 << shift) - 1U);
        const uint64_t half = (uint64_t)1 << (shift - 1);
        thousandths >>= shift;
        thousandths += rest > half || (rest == half && thousandths % 2U == 1U) ? 1U : 0U;
    } else {
        thousandths = shift > -30 ? thousandths << -shift : UINT64_MAX;
    }
    if (bits >> 31 != 0U) {
        kws_putchar('-');
    }
    put_number(thousandths / 1000U);
    kws_putchar('.');
    kws_putchar((char)('0' + thousandths / 100U % 10U));
    kws_putchar((char)('0' + thousandths / 10U % 10U));
    kws_putchar((char)('0' + thousandths % 10U));
}

static void put_hex(uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    kws_putchar(digits[byte >> 4]);
    kws_putchar(digits[byte & 15U]);
}

/* The next word of what is left of the command, or NULL; cuts it off in place. */
static char *next_word(char **rest)
{
    char *word = *rest;
    while (*word == ' ') {
        word++;
    }
    char *end = word;
    while (*end != ' ' && *end != '\0') {
        end++;
    }
    *rest = *end == ' ' ? end + 1 : end;
    *end = '\0';
    return *word == '\0' ? NULL : word;
}

/* A word of decimal digits up to nine of them, or -1. */
static int32_t number(const char *word)
{
    int32_t value = 0;
    for (int i = 0; word[i] != '\0'; i++) {
        if (word[i] < '0' || word[i] > '9' || i == 9) {
            return -1;
        }
        value = value * 10 + (word[i] - '0');
    }
    return value;
}

static int32_t hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    const char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static void announce_time(uint64_t time_us)
{
    put_numbered("m-lap-us-", time_us, "");
}

static void results(void)
{
    const int8_t *const output = kws_output(arena());
    put_text("m-results-[");
    for (uint32_t i = 0; i < KWS_OUTPUT_BYTES; i++) {
        if (i != 0U) {
            kws_putchar(',');
        }
        put_thousandths((float)(output[i] - KWS_OUTPUT_ZERO_POINT) * KWS_OUTPUT_SCALE);
    }
    put_line("]");
}

static void run(uint32_t times)
{
    for (; times != 0U; times--) {
        memcpy(kws_input(arena()), input, sizeof input);
        kws_run(arena());
    }
}

static void infer(char *rest)
{
    const char *const runs_word = next_word(&rest);
    const char *const warm_up_word = next_word(&rest);
    const int32_t runs = runs_word != NULL ? number(runs_word) : (int32_t)DEFAULT_RUNS;
    const int32_t warm_up = warm_up_word != NULL ? number(warm_up_word) : (int32_t)DEFAULT_WARM_UP;
    if (runs <= 0) {
        put_line("e-[Inference iterations must be >0]");
        return;
    }
    if (warm_up < 0) {
        put_line("e-[Inference warmup must be >=0]");
        return;
    }
    put_numbered("m-warmup-start-", (uint64_t)warm_up, "");
    run((uint32_t)warm_up);
    put_line("m-warmup-done");
    put_numbered("m-infer-start-", (uint64_t)runs, "");
    const uint64_t start_us = kws_timestamp_us(); /* told after the last run: sending takes time too */
    run((uint32_t)runs);
    const uint64_t end_us = kws_timestamp_us();
    announce_time(start_us);
    announce_time(end_us);
    put_line("m-infer-done");
    results();
}

static void begin_load(const char *count_word)
{
    const int32_t count = count_word != NULL ? number(count_word) : -1;
    if (count <= 0) {
        put_line("e-[Command 'db load' needs the number of bytes, >0]");
    } else if ((uint32_t)count > sizeof input) {
        put_numbered("e-[The buffer holds at most ", sizeof input, " bytes]");
    } else {
        expected = (uint32_t)count;
        loaded = 0;
        put_numbered("m-[Expecting ", expected, " bytes]");
    }
}

static void load(const char *digits)
{
    const size_t count = strlen(digits);
    if (count % 2U != 0U) {
        put_line("e-[Insufficient number of hex digits]");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (hex_digit(digits[i]) < 0) {
            put_line("e-[Invalid hex digit]");
            return;
        }
    }
    if (count / 2U > expected - loaded) {
        put_line("e-[More bytes than 'db load' announced]");
        return;
    }
    for (size_t i = 0; i < count; i += 2U) {
        input[loaded++] = (uint8_t)(hex_digit(digits[i]) * 16 + hex_digit(digits[i + 1U]));
    }
    if (loaded == expected) {
        put_line("m-load-done");
    }
}

static void print_buffer(void)
{
    for (uint32_t i = 0; i < expected; i++) {
        put_text(i % BYTES_A_LINE == 0U ? "m-buffer-" : "-");
        put_hex(input[i]);
        if (i % BYTES_A_LINE == BYTES_A_LINE - 1U || i == expected - 1U) {
            put_line("");
        }
    }
}

static void buffer_command(char *rest)
{
    const char *const word = next_word(&rest);
    if (word == NULL) {
        put_line("e-[Command 'db' requires a subcommand]");
    } else if (strcmp(word, "load") == 0) {
        begin_load(next_word(&rest));
    } else if (strcmp(word, "print") == 0) {
        print_buffer();
    } else {
        load(word);
    }
}

static void help(void)
{
    put_line("name         the board's name");
    put_line("timestamp    its clock, microseconds");
    put_line("profile      the protocol's version and the test set");
    put_line("db load N    announce N bytes of input");
    put_line("db HH...     the next of them, in hex, 31 at most");
    put_line("db print     what came");
    put_line("infer N [W]  time N inferences after W that are not timed");
    put_line("results      the output of the last inference");
    put_line("m-sha256-[" KWS_HARNESS_SHA256 "]");
}

static void unknown(const char *word)
{
    put_text("e-[Unknown command: ");
    for (; *word != '\0'; word++) {
        kws_putchar(*word >= ' ' && *word <= '~' ? *word : '?');
    }
    put_line("]");
}

static void obey(char *command)
{
    const char *const word = next_word(&command);
    if (word == NULL) {
        unknown("");
    } else if (strcmp(word, "name") == 0) {
        put_line("m-name-dut-[" KWS_HARNESS_VENDOR "]");
    } else if (strcmp(word, "timestamp") == 0) {
        announce_time(kws_timestamp_us());
    } else if (strcmp(word, "profile") == 0) {
        put_line("m-profile-[ULPMark for tinyML Firmware V0.0.1]");
        put_line("m-model-[" KWS_HARNESS_TEST_SET "]");
    } else if (strcmp(word, "help") == 0) {
        help();
    } else if (strcmp(word, "db") == 0) {
        buffer_command(command);
    } else if (strcmp(word, "infer") == 0) {
        infer(command);
    } else if (strcmp(word, "results") == 0) {
        results();
    } else {
        unknown(word);
    }
    put_line("m-ready");
}

void kws_harness_start(void)
{
    memset(input, 0, sizeof input);
    expected = 0;
    loaded = 0;
    length = 0;
    put_line("m-timestamp-mode-performance");
    announce_time(0U);
    put_line("m-init-done");
    put_line("m-ready");
}

void kws_harness_receive(char byte)
{
    if (byte == '%') {
        line[length] = '\0';
        length = 0;
        obey(line);
    } else if (length < LINE_BYTES && byte != '\r' && byte != '\n') { /* a terminal's Enter is no part of a command */
        line[length++] = byte;
    }
}

void kws_harness(void)
{
    kws_harness_start();
    for (int byte = kws_getchar(); byte >= 0; byte = kws_getchar()) {
        kws_harness_receive((char)byte);
    }
}
