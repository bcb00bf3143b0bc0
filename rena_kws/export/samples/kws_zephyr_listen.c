/* SPDX-License-Identifier: MIT-0
 *
 * Prints the words that a digital microphone hears.
 *
 *     microphone ─► DMIC driver ─► blocks ─► kws_stream_push ─► on_event ─► console
 */
#include <errno.h>

#include <zephyr/audio/dmic.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

#include "kws_labels.h"
#include "kws_stream.h"

#if DT_NODE_EXISTS(DT_ALIAS(dmic0))
#define MICROPHONE DT_ALIAS(dmic0)
#else
#define MICROPHONE DT_NODELABEL(dmic_dev)
#endif

/* A driver fills two blocks at a time; the others keep the sound that comes while the network runs. */
#define BLOCK_MS 100
#define BLOCK_COUNT 6
#define BLOCK_BYTES (KWS_SAMPLE_RATE_HZ / 1000 * BLOCK_MS * (int)sizeof(int16_t))
#define READ_TIMEOUT_MS 1000

K_MEM_SLAB_DEFINE_STATIC(blocks, BLOCK_BYTES, BLOCK_COUNT, 4);

static unsigned char arena[KWS_STREAM_ARENA_BYTES] __aligned(KWS_ARENA_ALIGNMENT);
static kws_stream stream;

static void on_event(void *user, const kws_event *event)
{
    static const char *const words[] = KWS_LABELS;
    const uint64_t hundredths = event->position * 100U / KWS_SAMPLE_RATE_HZ;
    const unsigned int seconds = (unsigned int)(hundredths / 100U);
    const unsigned int percent = ((unsigned int)event->score * 200U / KWS_FULL_SCORE + 1U) / 2U;
    ARG_UNUSED(user);
    printk("%u.%02u s  %u.%02u  %s\n", seconds, (unsigned int)(hundredths % 100U), percent / 100U, percent % 100U,
           words[event->label]);
}

static int start(const struct device *microphone)
{
    struct pcm_stream_cfg pcm = {
        .pcm_rate = KWS_SAMPLE_RATE_HZ,
        .pcm_width = 16,
        .block_size = BLOCK_BYTES,
        .mem_slab = &blocks,
    };
    struct dmic_cfg config = {
        .io = {
            .min_pdm_clk_freq = 1000000, /* what your microphone's data sheet allows: Hz, and per cent of a period */
            .max_pdm_clk_freq = 3500000,
            .min_pdm_clk_dc = 40,
            .max_pdm_clk_dc = 60,
        },
        .streams = &pcm,
        .channel = {
            .req_num_streams = 1,
            .req_num_chan = 1,
            .req_chan_map_lo = dmic_build_channel_map(0, 0, PDM_CHAN_LEFT),
        },
    };
    const int status = dmic_configure(microphone, &config);
    return status < 0 ? status : dmic_trigger(microphone, DMIC_TRIGGER_START);
}

int main(void)
{
    const struct device *const microphone = DEVICE_DT_GET(MICROPHONE);
    int status = device_is_ready(microphone) ? start(microphone) : -ENODEV;
    kws_stream_init(&stream, arena, on_event, NULL);
    while (status >= 0) {
        void *block;
        size_t bytes;
        status = dmic_read(microphone, 0, &block, &bytes, READ_TIMEOUT_MS);
        if (status >= 0) {
            kws_stream_push(&stream, block, bytes / sizeof(int16_t));
            k_mem_slab_free(&blocks, block);
        } else {
            /* A driver that finds no free block stops: the network takes longer than its sound does to come. */
            printk("sound is lost: error %d; the microphone starts anew\n", status);
            status = dmic_trigger(microphone, DMIC_TRIGGER_START);
        }
    }
    printk("the microphone stopped: error %d\n", status);
    return 0;
}
