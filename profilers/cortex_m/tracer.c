/* What the emulator counts, in C because it is called for every basic block.
 *
 * Per block: how often it ran and left by a taken branch or by falling through, for each layer of the network apart. Costs
 * are worked out afterwards from these counts, so nothing here knows about cycles. Reads of the flash go through a small
 * least-recently-used cache; only its misses are kept. The unicorn functions and the zeroed state are handed in, and no C
 * library is used: nothing to link with. emulator.py repeats the layout of the two structs. */
#include <stdint.h>

#define TABLE_SIZE 65536u /* slots; a power of two */
#define CACHE_LINES 1024u

typedef struct {
    uint32_t address, size, taken, owner;
    uint64_t count;
} block_count;

typedef struct {
    int (*reg_read)(void *uc, int reg, void *value);
    int (*reg_write)(void *uc, int reg, const void *value);
    int (*emu_stop)(void *uc);
    int xpsr_register; /* unicorn's number of xPSR */
    /* One entry a halfword of the image: 0 leaves the owner as it is, k + 1 makes k the owner of what follows. */
    const uint16_t *owner_at;
    uint32_t owner_base, owner_entries;
    uint32_t cache_lines, line_bytes;
    uint32_t counting;         /* 0: only the budget is watched */
    uint64_t halfword_budget;  /* instructions are one or two halfwords, so this bounds them */
    uint64_t halfwords, misses;
    uint32_t overflow, over_budget;
    uint32_t owner, previous, previous_size;
    uint32_t used;
    uint32_t lines[CACHE_LINES]; /* most recent first; line number + 1, 0 is empty */
    block_count blocks[TABLE_SIZE];
} tracer;

/* The block that ran last is over, and control went to `next`. */
void tracer_close_block(tracer *t, uint32_t next) {
    if (t->previous_size == 0) return;
    uint32_t taken = next != t->previous + t->previous_size;
    uint32_t slot = ((t->previous >> 1) * 2654435761u ^ t->owner * 40503u ^ taken * 97u) >> 7;
    for (;; slot++) {
        block_count *b = &t->blocks[slot % TABLE_SIZE];
        if (b->count == 0) {
            if (t->used >= TABLE_SIZE / 2) {
                t->overflow = 1;
                break;
            }
            t->used++;
            b->address = t->previous;
            b->size = t->previous_size;
            b->taken = taken;
            b->owner = t->owner;
        } else if (b->address != t->previous || b->size != t->previous_size || b->taken != taken || b->owner != t->owner) {
            continue;
        }
        b->count++;
        break;
    }
    t->previous_size = 0;
}

void tracer_on_block(void *uc, uint64_t address, uint32_t size, void *user) {
    tracer *t = user;
    t->halfwords += size / 2;
    if (t->halfwords > t->halfword_budget) {
        t->over_budget = 1;
        t->emu_stop(uc);
        return;
    }
    if (!t->counting) return;
    tracer_close_block(t, (uint32_t)address);
    uint32_t entry = ((uint32_t)address - t->owner_base) / 2;
    if (entry < t->owner_entries && t->owner_at[entry]) t->owner = t->owner_at[entry] - 1u;
    t->previous = (uint32_t)address;
    t->previous_size = size;
}

static void touch_line(tracer *t, uint32_t line) {
    uint32_t tag = line + 1, i = 0;
    while (i < t->cache_lines && t->lines[i] != tag) i++;
    if (i == t->cache_lines) {
        t->misses++;
        i--;
    }
    for (; i > 0; i--) t->lines[i] = t->lines[i - 1];
    t->lines[0] = tag;
}

/* unicorn 2.1 restores the CPU's state at the load before it calls this hook. Inside an IT block that leaves the IT bits
 * in xPSR set, and the next block would start as if it stood in the IT block; the block itself has the condition
 * compiled in, so clearing them is all that is needed. */
void tracer_on_flash_read(void *uc, int type, uint64_t address, int size, int64_t value, void *user) {
    tracer *t = user;
    const uint32_t it_bits = 0x0600fc00u;
    uint32_t xpsr = 0;
    (void)type;
    (void)value;
    t->reg_read(uc, t->xpsr_register, &xpsr);
    if (xpsr & it_bits) {
        xpsr &= ~it_bits;
        t->reg_write(uc, t->xpsr_register, &xpsr);
    }
    uint32_t first = (uint32_t)address / t->line_bytes, last = ((uint32_t)address + (uint32_t)size - 1) / t->line_bytes;
    for (uint32_t line = first; line <= last; line++) touch_line(t, line);
}
