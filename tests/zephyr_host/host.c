/* A board on this computer: blocks of the sound in the file $SOUND from the microphone, the console on standard input and
 * output. A block that the application keeps is missed: a slab is as small as it says. The driver stops once, after
 * $STOPS_AFTER blocks, as one does that finds no free block, and for good where the sound is over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <zephyr/audio/dmic.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>

const struct device device_of_label_dmic_dev = {"microphone"};
const struct device device_of_chosen_zephyr_console = {"console"};

static FILE *sound;
static struct pcm_stream_cfg stream;
static bool started;
static int blocks_read;

bool device_is_ready(const struct device *device)
{
    if (device == &device_of_label_dmic_dev) {
        const char *const path = getenv("SOUND");
        sound = path != NULL ? fopen(path, "rb") : NULL;
        return sound != NULL;
    }
    return device == &device_of_chosen_zephyr_console;
}

static void *allocate(struct k_mem_slab *slab)
{
    for (uint32_t i = 0; i < slab->count; i++) {
        if ((slab->used >> i & 1U) == 0U) {
            slab->used |= 1U << i;
            return slab->memory + i * slab->block_size;
        }
    }
    return NULL;
}

void k_mem_slab_free(struct k_mem_slab *slab, void *block)
{
    slab->used &= ~(1U << ((size_t)((char *)block - slab->memory) / slab->block_size));
}

uint32_t dmic_build_channel_map(uint8_t channel, uint8_t pdm, enum pdm_lr lr)
{
    return (uint32_t)(((pdm & BIT_MASK(3)) << 1 | (unsigned)lr) << ((channel & BIT_MASK(3)) * 4U));
}

int dmic_configure(const struct device *device, struct dmic_cfg *config)
{
    (void)device;
    stream = config->streams[0];
    const bool mono = config->channel.req_num_streams == 1 && config->channel.req_num_chan == 1;
    const bool clocked = config->io.min_pdm_clk_freq < config->io.max_pdm_clk_freq
        && config->io.min_pdm_clk_dc < config->io.max_pdm_clk_dc;
    return mono && clocked && stream.pcm_rate == 16000 && stream.pcm_width == 16
        && stream.block_size == stream.mem_slab->block_size ? 0 : -EINVAL;
}

int dmic_trigger(const struct device *device, enum dmic_trigger command)
{
    (void)device;
    started = command == DMIC_TRIGGER_START && !feof(sound);
    return command == DMIC_TRIGGER_START && !started ? -EIO : 0;
}

int dmic_read(const struct device *device, uint8_t number, void **block, size_t *size, int32_t timeout_ms)
{
    (void)device;
    (void)timeout_ms;
    if (!started || number != 0) {
        return -EIO;
    }
    const char *const stops_after = getenv("STOPS_AFTER");
    if (blocks_read++ == (stops_after != NULL ? atoi(stops_after) : -1)) {
        started = false;
        return -EAGAIN;
    }
    *block = allocate(stream.mem_slab);
    if (*block == NULL) {
        return -ENOMEM;
    }
    *size = fread(*block, 1, stream.block_size, sound);
    if (*size == 0) {
        return -EAGAIN;
    }
    return 0;
}

int uart_poll_in(const struct device *device, unsigned char *byte)
{
    (void)device;
    const int c = getchar();
    if (c < 0) {
        exit(0);
    }
    *byte = (unsigned char)c;
    return 0;
}

void uart_poll_out(const struct device *device, unsigned char byte)
{
    (void)device;
    putchar(byte);
}

int64_t k_uptime_ticks(void)
{
    return (int64_t)clock();
}

uint64_t k_ticks_to_us_floor64(uint64_t ticks)
{
    return ticks * 1000000U / (uint64_t)CLOCKS_PER_SEC;
}
