/* What the emulator counts, in C because it is called for every basic block.
 *
 * A block's costs are asked for once, when it is first met, through `on_new_block`; from then on each pass adds them to a
 * running count (in half cycles: of two that issue together, one may wait half the time), so that timers which the firmware
 * reads agree with what is reported. Where unicorn cuts a run of
 * instructions in two (at the border of a page, say) the pieces are put together again: what lies where must not change
 * what it costs. Fetches and reads of the flash go through small caches whose misses are a count of their own.
 *
 * The unicorn functions and the zeroed state are handed in, and no C library is used: nothing to link with. tracer.py
 * repeats the layout of the structs. */
#include <stdint.h>

#define BLOCKS 65536u /* slots; a power of two */
#define LONGEST 4096u /* bytes of a block that is put together again */
#define CACHE_LINES 4096u
#define OWNERS 1024u
#define CALLS 16u
#define DEPTH 64u
#define SAMPLES 4096u

enum { STOP_BUDGET = 1, STOP_BLOCKS, STOP_REFUSED, STOP_EVENT, STOP_REGION };
enum {
    BLOCK_OPEN = 1,        /* it does not end in a branch */
    BLOCK_CALLS = 2,       /* it ends in a call */
    BLOCK_CONDITIONAL = 4, /* it ends in a branch that may go either way */
    BLOCK_REFUSED = 8      /* it must not run */
};

typedef struct {
    uint32_t address, size;
    uint32_t through_halves, taken_halves; /* half cycles of a pass that falls through, and of one that branches away */
    uint32_t instructions, flags;
    uint32_t predicted, reserved; /* a two-bit counter: 2 and 3 predict that the branch is taken */
    uint64_t through, taken;      /* passes */
    uint64_t mispredicted;
} block;

typedef struct {
    uint32_t line_bytes, sets, ways, miss_cycles; /* line_bytes 0: there is none */
    uint64_t misses;
    uint32_t lines[CACHE_LINES]; /* [sets][ways], the most recent of a set first; line number + 1, 0 is empty */
} cache;

typedef struct {
    uint32_t return_address, stack;
    uint64_t halves, memory_cycles;
} frame;

typedef struct {
    uint64_t halves, memory_cycles;
} sample;

typedef struct {
    int (*reg_read)(void *uc, int reg, void *value);
    int (*reg_write)(void *uc, int reg, const void *value);
    int (*emu_stop)(void *uc);
    int (*on_new_block)(uint32_t address, uint32_t size, block *out); /* not 0: it must not run */
    /* One entry a halfword of the code: 0 leaves the owner as it is, k + 1 makes k the owner of what follows. */
    const uint16_t *owner_at;
    int xpsr_register, sp_register, lr_register;
    uint32_t owner_base, owner_entries;
    uint32_t mispredict_cycles;
    uint32_t flash_first, flash_last; /* what the caches stand before */
    uint32_t prefetch, unified;
    uint32_t region, region_calls; /* the function whose calls are timed, 0: none; stop after so many, 0: never */
    uint32_t counting;             /* 0: only the budget is watched, and every halfword taken for an instruction */
    uint64_t instruction_budget;
    uint64_t event_halves; /* stop when the count of half cycles reaches it */

    uint32_t stop, owner;
    uint32_t current, current_owner; /* slot + 1 of the block that runs, 0: none */
    uint32_t used, last_line, depth, samples_used, calls_used, reserved;
    uint64_t instructions, halves, memory_cycles;
    uint64_t owner_halves[OWNERS], owner_memory_cycles[OWNERS];
    uint32_t call_from[CALLS], call_to[CALLS]; /* a ring */
    frame frames[DEPTH];
    sample samples[SAMPLES];
    cache instruction_cache, data_cache;
    block blocks[BLOCKS];
} tracer;

static void stop(tracer *t, void *uc, uint32_t why) {
    if (!t->stop) t->stop = why;
    t->emu_stop(uc);
}

/* 0 with the reason in `why` where there is no room or the block must not run. */
static block *find(tracer *t, uint32_t address, uint32_t size, uint32_t *why) {
    uint32_t slot = ((address >> 1) * 2654435761u ^ size * 40503u) >> 7;
    for (;; slot++) {
        block *b = &t->blocks[slot % BLOCKS];
        if (b->size == 0) {
            *why = STOP_BLOCKS;
            if (t->used >= BLOCKS / 2) return 0;
            t->used++;
            b->address = address;
            b->size = size;
            b->predicted = 2;
            if (t->on_new_block(address, size, b)) b->flags |= BLOCK_REFUSED;
        }
        if (b->size != size || b->address != address) continue;
        *why = STOP_REFUSED;
        return b->flags & BLOCK_REFUSED ? 0 : b;
    }
}

static uint32_t touch(cache *c, uint32_t line) {
    uint32_t *set = &c->lines[line % c->sets * c->ways];
    uint32_t tag = line + 1, i = 0;
    if (set[0] == tag) return 0;
    while (i < c->ways && set[i] != tag) i++;
    uint32_t missed = i == c->ways;
    i -= missed;
    for (; i > 0; i--) set[i] = set[i - 1];
    set[0] = tag;
    c->misses += missed;
    return missed;
}

static void wait(tracer *t, uint32_t cycles) {
    t->memory_cycles += cycles;
    t->owner_memory_cycles[t->owner] += cycles;
}

/* The fetches of a piece of a block. A line that was fetched ahead costs what the core did not spend on the one before:
 * its share of the block's cycles. */
static void fetch(tracer *t, const block *b, uint32_t address, uint32_t size) {
    cache *c = &t->instruction_cache;
    if (!c->line_bytes || address < t->flash_first || address > t->flash_last) return;
    uint32_t first = address / c->line_bytes, last = (address + size - 1) / c->line_bytes;
    for (uint32_t line = first; line <= last; line++) {
        uint32_t ahead = t->prefetch && line == t->last_line + 1;
        t->last_line = line;
        if (!touch(c, line)) continue;
        uint32_t spent = ahead ? b->through_halves * c->line_bytes / (2 * b->size) : 0;
        if (spent < c->miss_cycles) wait(t, c->miss_cycles - spent);
    }
}

/* The block that runs is over, and control goes to `next`. */
void tracer_close_block(tracer *t, uint32_t next) {
    if (!t->current) return;
    block *b = &t->blocks[t->current - 1];
    uint32_t taken = next != b->address + b->size, halves = taken ? b->taken_halves : b->through_halves;
    if (taken) b->taken++;
    else b->through++;
    if (b->flags & BLOCK_CALLS) {
        t->call_from[t->calls_used % CALLS] = b->address;
        t->call_to[t->calls_used++ % CALLS] = next;
    }
    if (b->flags & BLOCK_CONDITIONAL) {
        if ((b->predicted >= 2) != taken) {
            b->mispredicted++;
            halves += 2 * t->mispredict_cycles;
        }
        if (taken && b->predicted < 3) b->predicted++;
        if (!taken && b->predicted > 0) b->predicted--;
    }
    t->halves += halves;
    t->owner_halves[t->current_owner] += halves;
    t->current = 0;
}

/* Calls of one function: from its first instruction until control is back at the caller with the stack as it was. */
static void watch_region(tracer *t, void *uc, uint32_t address) {
    uint32_t stack = 0, lr = 0;
    while (t->depth && t->frames[t->depth - 1].return_address == address) {
        frame *f = &t->frames[t->depth - 1];
        t->reg_read(uc, t->sp_register, &stack);
        if (stack != f->stack) break;
        t->depth--;
        if (t->samples_used < SAMPLES) {
            t->samples[t->samples_used].halves = t->halves - f->halves;
            t->samples[t->samples_used++].memory_cycles = t->memory_cycles - f->memory_cycles;
        }
        if (!t->depth && t->samples_used == t->region_calls) stop(t, uc, STOP_REGION);
    }
    if (address == t->region && t->depth < DEPTH) {
        frame *f = &t->frames[t->depth];
        t->reg_read(uc, t->sp_register, &f->stack);
        t->reg_read(uc, t->lr_register, &lr);
        f->return_address = lr & ~1u;
        f->halves = t->halves;
        f->memory_cycles = t->memory_cycles;
        /* A function that branches back to its first instruction is still in the same call. */
        if (!t->depth || t->frames[t->depth - 1].stack != f->stack) t->depth++;
    }
}

/* The run ended where it should, before the block at `address`. */
void tracer_arrive(tracer *t, void *uc, uint32_t address) {
    tracer_close_block(t, address);
    if (t->region) watch_region(t, uc, address);
}

void tracer_on_block(void *uc, uint64_t at, uint32_t size, void *user) {
    tracer *t = user;
    uint32_t address = (uint32_t)at, start = address, whole = size, why = STOP_BUDGET;
    if (t->instructions > t->instruction_budget) {
        stop(t, uc, STOP_BUDGET);
        return;
    }
    if (!t->counting) {
        t->instructions += size / 2;
        return;
    }
    if (t->current) {
        block *b = &t->blocks[t->current - 1];
        if (b->flags & BLOCK_OPEN && address == b->address + b->size && b->size + size <= LONGEST) {
            start = b->address;
            whole = b->size + size;
            t->instructions -= b->instructions;
        } else {
            tracer_close_block(t, address);
        }
    }
    if (start == address) {
        if (t->region) watch_region(t, uc, address);
        if (t->stop || t->halves >= t->event_halves) {
            stop(t, uc, STOP_EVENT);
            return;
        }
        uint32_t entry = (address - t->owner_base) / 2;
        if (entry < t->owner_entries && t->owner_at[entry]) t->owner = t->owner_at[entry] - 1u;
        t->current_owner = t->owner;
    }
    block *b = find(t, start, whole, &why);
    if (!b) {
        t->current = 0;
        stop(t, uc, why);
        return;
    }
    fetch(t, b, address, size);
    t->instructions += b->instructions;
    t->current = (uint32_t)(b - t->blocks) + 1;
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
    cache *c = t->unified ? &t->instruction_cache : &t->data_cache;
    uint32_t first = (uint32_t)address / c->line_bytes, last = ((uint32_t)address + (uint32_t)size - 1) / c->line_bytes;
    for (uint32_t line = first; line <= last; line++) {
        if (touch(c, line)) wait(t, c->miss_cycles);
    }
}
