/* SPDX-License-Identifier: MIT-0
 *
 * Armv6-M has eight registers to compute with, of which a compiler spills half here; but it can add into the high ones,
 * so the four sums live there. A word of weights serves four products of each row, or eight or sixteen if they are packed.
 */
#include "kws_dense_v6m.h"

#include "kws_quantized.h"

#if KWS_V6M

/* Elements `at` of both rows, r3 and r4, with the weights of the first channel in r6 and of the second by `second`. */
#define ELEMENT(at, first, second)       \
    "movs   r7, #" at "            \n"  \
    "ldrsb  r3, [r0, r7]           \n"  \
    "ldrsb  r4, [r2, r7]           \n"  \
    first                                \
    "mov    r7, r6                 \n"  \
    "muls   r7, r3                 \n"  \
    "add    r8, r7                 \n"  \
    "muls   r6, r4                 \n"  \
    "add    r10, r6                \n"  \
    second                               \
    "muls   r3, r6                 \n"  \
    "add    r9, r3                 \n"  \
    "muls   r4, r6                 \n"  \
    "add    r11, r4                \n"

/* Byte n of the word r5 to r6. */
#define BYTE_0 "sxtb r6, r5 \n"
#define BYTE_1 "lsls r6, r5, #16 \n asrs r6, r6, #24 \n"
#define BYTE_2 "lsls r6, r5, #8 \n asrs r6, r6, #24 \n"
#define BYTE_3 "asrs r6, r5, #24 \n"

/* The code that is `above` bits from the top of the word r5 to r6. */
#define CODE(above) "lsls r6, r5, #" above " \n asrs r6, r6, #32 - " KWS_TEXT(KWS_WEIGHT_BITS) " \n"

/* A unit: all its elements by pair(first, second, weights of both elements and channels). */
#if KWS_WEIGHT_BITS == 8
#define UNIT(pair)                                            \
    "ldr    r5, [r1, #0]           \n"                        \
    pair("0", "2", BYTE_0, BYTE_1, BYTE_2, BYTE_3)            \
    "ldr    r5, [r1, #4]           \n"                        \
    pair("1", "3", BYTE_0, BYTE_1, BYTE_2, BYTE_3)
#else
#define PACKED(pair, first, second, above)                    \
    pair(first, second, CODE("24 + " above), CODE("16 + " above), CODE("8 + " above), CODE(above))
#if KWS_WEIGHT_BITS == 4
#define UNIT(pair) "ldr r5, [r1, #0] \n" PACKED(pair, "0", "2", "0") PACKED(pair, "1", "3", "4")
#else
#define UNIT(pair)                                            \
    "ldr    r5, [r1, #0]           \n"                        \
    PACKED(pair, "0", "2", "0") PACKED(pair, "1", "3", "2")   \
    PACKED(pair, "4", "6", "4") PACKED(pair, "5", "7", "6")
#endif
#endif

/* A conditional branch reaches 256 bytes back. */
#if KWS_WEIGHT_BITS == 2
#define UNLESS_EQUAL_TO_1 "beq 2f \n b 1b \n 2: \n"
#else
#define UNLESS_EQUAL_TO_1 "bne 1b \n"
#endif

#define UNIT_ELEMENTS KWS_TEXT(KWS_UNIT)
#define UNIT_BYTES KWS_TEXT(KWS_UNIT_BYTES)

/* Two elements of both rows. */
#define ELEMENTS(first, second, a, b, c, d) ELEMENT(first, a, b) ELEMENT(second, c, d)

/* r0 and r2: rows, r1: weights, r8 to r11: sums, r12: end of the first row. */
KWS_ASSEMBLY void KWS_SIZED(kws_multiply_v6m)(const int8_t *rows __attribute__((unused)),
                                                   const int8_t *weights __attribute__((unused)),
                                                   int32_t length __attribute__((unused)),
                                                   int32_t sums[2][2] __attribute__((unused)),
                                                   int32_t depth __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified               \n"
        "push   {r4-r7, lr}            \n"
        "mov    r4, r8                 \n"
        "mov    r5, r9                 \n"
        "mov    r6, r10                \n"
        "mov    r7, r11                \n"
        "push   {r3-r7}                \n"
        "ldr    r4, [r3, #0]           \n"
        "mov    r8, r4                 \n"
        "ldr    r4, [r3, #4]           \n"
        "mov    r9, r4                 \n"
        "ldr    r4, [r3, #8]           \n"
        "mov    r10, r4                \n"
        "ldr    r4, [r3, #12]          \n"
        "mov    r11, r4                \n"
        "adds   r2, r0, r2             \n"
        "mov    r12, r2                \n"
        "ldr    r2, [sp, #40]          \n"
        "adds   r2, r0, r2             \n"
        "1:                            \n"
        UNIT(ELEMENTS)
        "adds   r0, #" UNIT_ELEMENTS " \n"
        "adds   r2, #" UNIT_ELEMENTS " \n"
        "adds   r1, #" UNIT_BYTES "    \n"
        "cmp    r0, r12                \n"
        UNLESS_EQUAL_TO_1
        "ldr    r3, [sp]               \n"
        "mov    r4, r8                 \n"
        "str    r4, [r3, #0]           \n"
        "mov    r4, r9                 \n"
        "str    r4, [r3, #4]           \n"
        "mov    r4, r10                \n"
        "str    r4, [r3, #8]           \n"
        "mov    r4, r11                \n"
        "str    r4, [r3, #12]          \n"
        "pop    {r3-r7}                \n"
        "mov    r8, r4                 \n"
        "mov    r9, r5                 \n"
        "mov    r10, r6                \n"
        "mov    r11, r7                \n"
        "pop    {r4-r7, pc}            \n");
}

/* Two elements of the row in r0; sums in r3 and r2. */
#define ELEMENTS_OF_ROW(first, second, a, b, c, d) \
    "movs   r7, #" first "         \n"  \
    "ldrsb  r4, [r0, r7]           \n"  \
    a                                    \
    "muls   r6, r4                 \n"  \
    "adds   r3, r3, r6             \n"  \
    b                                    \
    "muls   r6, r4                 \n"  \
    "adds   r2, r2, r6             \n"  \
    "movs   r7, #" second "        \n"  \
    "ldrsb  r4, [r0, r7]           \n"  \
    c                                    \
    "muls   r6, r4                 \n"  \
    "adds   r3, r3, r6             \n"  \
    d                                    \
    "muls   r6, r4                 \n"  \
    "adds   r2, r2, r6             \n"

/* r0: row, r1: weights, r3 and r2: sums, r12: end of the row. */
KWS_ASSEMBLY void KWS_SIZED(kws_multiply_row_v6m)(const int8_t *row __attribute__((unused)),
                                                   const int8_t *weights __attribute__((unused)),
                                                   int32_t length __attribute__((unused)),
                                                   int32_t sums[2] __attribute__((unused)))
{
    __asm__ volatile(
        ".syntax unified               \n"
        "push   {r3-r7, lr}            \n"
        "adds   r2, r0, r2             \n"
        "mov    r12, r2                \n"
        "ldr    r2, [r3, #4]           \n"
        "ldr    r3, [r3, #0]           \n"
        "1:                            \n"
        UNIT(ELEMENTS_OF_ROW)
        "adds   r0, #" UNIT_ELEMENTS " \n"
        "adds   r1, #" UNIT_BYTES "    \n"
        "cmp    r0, r12                \n"
        UNLESS_EQUAL_TO_1
        "ldr    r4, [sp]               \n"
        "str    r3, [r4, #0]           \n"
        "str    r2, [r4, #4]           \n"
        "pop    {r3-r7, pc}            \n");
}

#endif
