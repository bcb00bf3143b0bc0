/* What of Zephyr's kernel the exported applications use, on this computer: host.c. */
#ifndef ZEPHYR_KERNEL_H
#define ZEPHYR_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __aligned(n) __attribute__((aligned(n)))
#define ARG_UNUSED(x) (void)(x)
#define BIT_MASK(n) ((1UL << (n)) - 1UL)

struct device {
    const char *name;
};

/* The devicetree of a board with a microphone that has a label and no alias, and a console. */
#define DT_NODELABEL(label) label_##label
#define DT_ALIAS(alias) alias_##alias
#define DT_CHOSEN(property) chosen_##property
#define DT_NODE_EXISTS(node) NODE_EXISTS(node)
#define NODE_EXISTS(node) node##_EXISTS
#define alias_dmic0_EXISTS 0
#define label_dmic_dev_EXISTS 1
#define DEVICE_DT_GET(node) DEVICE_OF(node)
#define DEVICE_OF(node) (&device_of_##node)
extern const struct device device_of_label_dmic_dev;
extern const struct device device_of_chosen_zephyr_console;
bool device_is_ready(const struct device *device);

struct k_mem_slab {
    char *memory;
    size_t block_size;
    uint32_t count;
    uint32_t used; /* a bit a block */
};

#define K_MEM_SLAB_DEFINE_STATIC(name, size, blocks, align)                        \
    static char __aligned(align) name##_memory[(size) * (blocks)];                 \
    static struct k_mem_slab name = {name##_memory, (size), (blocks), 0}
void k_mem_slab_free(struct k_mem_slab *slab, void *block);

int64_t k_uptime_ticks(void);
uint64_t k_ticks_to_us_floor64(uint64_t ticks);

#endif
