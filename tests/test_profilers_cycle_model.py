"""Kernels in assembly whose cycles are counted by hand from each core's rules, run through the whole profiler."""

from __future__ import annotations

import pytest
from cortex_m_kernels import run

# Each case: core, code, cycles. r0 is the arena; a return by BX is the last term of each sum.
CASES = {
    "m4 ALU chain": ("cortex-m4", "adds r1, #1\n" * 10 + "bx lr", 10 + 3),
    "m4 multiply and divide": ("cortex-m4", "mul r1, r2, r3\nmla r1, r2, r3, r1\nsmull r1, r2, r3, r3\nbx lr", 3 + 3),
    "m4 divide": ("cortex-m4", "movs r2, #1\nudiv r1, r0, r2\nbx lr", 1 + 7 + 3),
    "m4 loads in a row": ("cortex-m4", "ldr r1, [r0]\nldr r2, [r0, #4]\nldr r3, [r0, #8]\nbx lr", 2 + 1 + 1 + 3),
    "m4 post-indexed loads pipeline": ("cortex-m4", "ldr r1, [r0], #4\nldr r2, [r0], #4\nbx lr", 2 + 1 + 3),
    "m4 loads apart": ("cortex-m4", "ldr r1, [r0]\nadds r3, #1\nldr r2, [r0, #4]\nbx lr", 2 + 1 + 2 + 3),
    "m4 address stall": ("cortex-m4", "adds r0, #4\nldr r1, [r0]\nbx lr", 1 + (2 + 1) + 3),
    "m4 address from two before": ("cortex-m4", "adds r0, #4\nadds r3, #1\nldr r1, [r0]\nbx lr", 1 + 1 + 2 + 3),
    "m4 compare is no address": ("cortex-m4", "cmp r0, #4\nldr r1, [r0]\nbx lr", 1 + 2 + 3),
    "m4 stores": ("cortex-m4", "movs r2, #4\nstr r1, [r0]\nstr r1, [r0, #8]\nbx lr", 1 + 1 + 1 + 3),
    "m4 register store": ("cortex-m4", "movs r2, #4\nadds r3, #1\nstr r1, [r0, r2]\nbx lr", 1 + 1 + 2 + 3),
    "m4 register store after a load": (
        "cortex-m4",
        "movs r2, #4\nldr r1, [r0]\nstr r1, [r0, r2]\nbx lr",
        1 + 2 + 1 + 3,
    ),
    "m4 double": ("cortex-m4", "ldrd r1, r2, [r0]\nldr r3, [r0]\nstrd r1, r2, [r0]\nbx lr", 3 + 2 + 3 + 3),
    "m4 load of many": ("cortex-m4", "ldm r0, {r1, r2, r3}\nbx lr", 1 + 3 + 3),
    "m4 push, pop to pc": ("cortex-m4", "push {r4, r5, lr}\npop {r4, r5, pc}", (1 + 3) + (1 + 3 + 2)),
    "m4 IT block": ("cortex-m4", "cmp r0, #0\nite eq\nmoveq r1, r2\nmovne r1, r3\nbx lr", 4 + 3),
    "m4 call": ("cortex-m4", "push {r4, lr}\nbl 1f\npop {r4, pc}\n1: bx lr", (1 + 2) + 3 + 3 + (1 + 2 + 2)),
    "m4 multiply-accumulate loop": (
        "cortex-m4",
        "movs r3, #10\n1: ldr r1, [r0]\nldr r2, [r0, #4]\nsmlad r12, r1, r2, r12\nsubs r3, #1\nbne 1b\nbx lr",
        1 + 10 * (2 + 1 + 1 + 1 + 1) + 9 * 2 + 3,
    ),
    "m4 branch to the next instruction": ("cortex-m4", "b 1f\n1: nop\nbx lr", 3 + 1 + 3),
    "m0+ ALU and loads": ("cortex-m0plus", "adds r1, #1\nldr r1, [r0]\nldr r2, [r0, #4]\nbx lr", 1 + 2 + 2 + 2),
    "m0+ loop": ("cortex-m0plus", "movs r3, #5\n1: subs r3, #1\nbne 1b\nbx lr", 1 + 5 * 2 + 4 * 1 + 2),
    "m0+ call": ("cortex-m0plus", "push {r4, lr}\nbl 1f\npop {r4, pc}\n1: bx lr", 3 + 3 + 2 + (3 + 2)),
    "m3 multiply": ("cortex-m3", "mla r1, r2, r3, r1\nsmull r1, r2, r3, r3\nbx lr", 2 + 5 + 3),
    "m3 memory pipelines": ("cortex-m3", "ldr r1, [r0]\nldr r2, [r0, #4]\nstr r1, [r0]\nbx lr", 2 + 1 + 1 + 3),
    "m3 no address stall": ("cortex-m3", "adds r0, #4\nldr r1, [r0]\nbx lr", 1 + 2 + 3),
    "m33 load and use": ("cortex-m33", "ldr r1, [r0]\nadds r1, #1\nbx lr", 1 + (1 + 1) + 3),
    "m33 load, use later": ("cortex-m33", "ldr r1, [r0]\nadds r2, #1\nadds r1, #1\nbx lr", 1 + 1 + 1 + 3),
    "m33 accumulator forward": (
        "cortex-m33",
        "mla r1, r2, r3, r1\nmla r1, r2, r3, r1\nadds r1, #1\nbx lr",
        1 + 1 + 2 + 3,
    ),
    "m33 shifted operand": ("cortex-m33", "add r1, r2, r3, asr #2\nadd r4, r1, r3\nbx lr", 2 + 1 + 3),
    "m33 shifted operand, used later": ("cortex-m33", "add r1, r2, r3, asr #2\nadd r4, r2, r3, lsl #2\nbx lr", 2 + 3),
    "m33 SIMD": ("cortex-m33", "sadd16 r1, r2, r3\nsadd16 r1, r1, r3\nbx lr", 2 + 1 + 3),
    "m7 pairs": ("cortex-m7", "add r1, r0, #1\nadd r2, r0, #2\nadd r3, r0, #3\nadd r12, r0, #4\nbx lr", 2 + 1),
    "m7 chain": ("cortex-m7", "adds r1, #1\n" * 10 + "bx lr", 10),
    "m7 load and use": ("cortex-m7", "ldr r1, [r0]\nadds r1, #1\nbx lr", 2 + 1),
    "m7 byte and use": ("cortex-m7", "ldrb r1, [r0]\nadds r1, #1\nbx lr", 3 + 1),
    "m7 two loads": ("cortex-m7", "ldr r1, [r0]\nldr r2, [r0, #4]\nbx lr", 1 + 1),
    "m7 one multiply a cycle": ("cortex-m7", "mul r1, r0, r0\nmul r2, r0, r0\nbx lr", 1 + 1),
    "m7 rarer way mispredicts": (
        "cortex-m7",
        "movs r3, #5\n1: subs r3, #1\nbne 1b\nbx lr",
        2 + 3 * 1 + (1 + 1) + 7 + 1,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_hand_counted_kernels(case: str) -> None:
    core, code, cycles = CASES[case]
    assert run(code, core).cycles == cycles
