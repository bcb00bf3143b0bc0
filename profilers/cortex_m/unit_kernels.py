"""Small programs whose cycles the literature tells, run through the emulator to check the cycle models.

Each program runs a body many times over inside one call; what the call itself costs is taken off. The expected cycles
are worked out from the source that stands beside them, not from `cores.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rena_kws.devices import catalogue
from rena_kws.firmware.toolchain import Target, ZigToolchain
from rena_kws.profilers.cortex_m.emulator import Emulator, check
from rena_kws.profilers.cortex_m.image import read_image
from rena_kws.profilers.cortex_m.worker import EmulatorProcess

_M0 = "Arm DDI0484C, table 3-1"
_M3 = "Arm DDI0337E, table 18-1"
_M4 = "Arm DDI0439B, table 3-1 (recalled), TI SWCU192 table 3-25"
_M33 = "slothy, cortex_m33.py, measured on an RP2350"
_M7 = "LLVM, ARMScheduleM7.td; slothy, cortex_m7.py"


@dataclass(frozen=True)
class UnitKernel:
    """`body` once; `cycles` is what it is to take."""

    name: str
    core: str
    body: str
    cycles: float
    source: str


def _straight(line: str, times: int) -> str:
    return f".rept {times}\n{line}\n.endr\n"


def _loop(line: str, turns: int) -> str:
    return f"movs r3, #{turns}\n1:\n{line}\nsubs r3, #1\nbne 1b\n"


_ADDS = _straight("adds r1, r1, r2", 300)
_APART = _straight("adds r1, r1, r2\nadds r4, r4, r2", 150)
_LOADS = _straight("ldr r1, [r0]\nldr r2, [r0, #4]", 150)
_STORES = _straight("str r1, [r0]", 300)
_LITERALS = _straight("ldr r1, 3f\nldr r2, 3f + 4", 60) + "b 4f\n.balign 4\n3: .word 1, 2\n4:\n"
_MULTIPLIES = _straight("muls r1, r2, r1", 300)
_ACCUMULATES = _straight("mla r1, r2, r4, r1", 300)
_SMLADS = _straight("smlad r1, r2, r4, r1", 300)
_MANY = _straight("ldm r0, {r1, r2, r4, r5, r6, r7}", 100)
_COUNT = _loop("", 200)
_TAKEN = _straight("b 9f\n9:", 200)
_MAC_LOOP = _loop("ldr r1, [r0]\nldr r2, [r0, #4]\nmla r4, r1, r2, r4", 200)

KERNELS = (
    UnitKernel("ALU, dependent", "cortex-m0plus", _ADDS, 300, f"{_M0}: ADDS 1"),
    UnitKernel("loads", "cortex-m0plus", _LOADS, 600, f"{_M0}: LDR 2"),
    UnitKernel("stores", "cortex-m0plus", _STORES, 600, f"{_M0}: STR 2"),
    UnitKernel("multiplies", "cortex-m0plus", _MULTIPLIES, 300, f"{_M0}: MULS 1 with the fast multiplier"),
    UnitKernel("branches taken", "cortex-m0plus", _TAKEN, 400, f"{_M0}: B 2"),
    UnitKernel("counting loop", "cortex-m0plus", _COUNT, 1 + 200 + 199 * 2 + 1, f"{_M0}: SUBS 1, B 2 taken, 1 not"),
    UnitKernel(
        "load of six", "cortex-m0plus", _MANY.replace("r0,", "r0!,").replace("100", "5"), 5 * 7, f"{_M0}: 1 + N"
    ),
    UnitKernel("ALU, dependent", "cortex-m3", _ADDS, 300, f"{_M3}: ADD 1"),
    UnitKernel("loads", "cortex-m3", _LOADS, 301, f"{_M3}: LDR 2, pipelined 1"),
    UnitKernel("multiply-accumulates", "cortex-m3", _ACCUMULATES, 600, f"{_M3}: MLA 2"),
    UnitKernel("load of six", "cortex-m3", _MANY, 700, f"{_M3}: 1 + N"),
    UnitKernel("counting loop", "cortex-m3", _COUNT, 1 + 200 + 199 * 3 + 1, f"{_M3}: B 1 + P, P from 1 to 3: 2"),
    UnitKernel("ALU, dependent", "cortex-m4", _ADDS, 300, f"{_M4}: ADD 1"),
    UnitKernel("loads", "cortex-m4", _LOADS, 301, f"{_M4}: LDR 2, pipelined 1"),
    UnitKernel("literal loads", "cortex-m4", _LITERALS, 121 + 3, f"{_M4}: LDR 2, pipelined 1; B 3"),
    UnitKernel("stores", "cortex-m4", _STORES, 300, f"{_M4}: STR with immediate offset 1"),
    UnitKernel("multiply-accumulates", "cortex-m4", _ACCUMULATES, 300, f"{_M4}: MLA 1"),
    UnitKernel("SMLAD", "cortex-m4", _SMLADS, 300, f"{_M4}: SMLAD 1"),
    UnitKernel("load of six", "cortex-m4", _MANY, 700, f"{_M4}: 1 + N"),
    UnitKernel("branches taken", "cortex-m4", _TAKEN, 600, f"{_M4}: B 1 + P, P from 1 to 3: 2"),
    UnitKernel(
        "multiply-accumulate loop",
        "cortex-m4",
        _MAC_LOOP,
        1 + 200 * (3 + 1 + 1 + 1) + 199 * 2,
        f"{_M4}: two loads 3, MLA 1, SUBS 1, B 1 + P",
    ),
    UnitKernel("ALU, dependent", "cortex-m33", _ADDS, 300, f"{_M33}: 1"),
    UnitKernel("loads", "cortex-m33", _LOADS, 300, f"{_M33}: LDR 1 a cycle"),
    UnitKernel("multiply-accumulates", "cortex-m33", _ACCUMULATES, 300, f"{_M33}: 1 through the accumulator"),
    UnitKernel(
        "operands shifted right", "cortex-m33", _straight("add r1, r2, r1, asr #1", 200), 400, f"{_M33}: latency 2"
    ),
    UnitKernel("SIMD, dependent", "cortex-m33", _straight("sadd16 r1, r1, r2", 200), 400, f"{_M33}: latency 2"),
    UnitKernel("counting loop", "cortex-m33", _COUNT, 1 + 200 + 199 * 3 + 1, f"{_M33}: taken branch 3"),
    UnitKernel("ALU, dependent", "cortex-m7", _ADDS, 300, f"{_M7}: latency 1"),
    UnitKernel("ALU, independent", "cortex-m7", _APART, 150, f"{_M7}: two a cycle"),
    UnitKernel("loads of both banks", "cortex-m7", _LOADS, 150, f"{_M7}: two a cycle"),
    UnitKernel(
        "loads of one bank", "cortex-m7", _straight("ldr r1, [r0]\nldr r2, [r0, #8]", 150), 300, f"{_M7}: banks"
    ),
    UnitKernel("multiply-accumulates", "cortex-m7", _ACCUMULATES, 300, f"{_M7}: one MAC unit, forwarded sum"),
    UnitKernel("SMLAD", "cortex-m7", _SMLADS, 300, f"{_M7}: one MAC unit, forwarded sum"),
    UnitKernel("load, then use", "cortex-m7", _straight("ldr r1, [r0]\nadds r1, r1, r2", 100), 300, f"{_M7}: 2 + 1"),
    UnitKernel("shifted operand", "cortex-m7", _straight("add r1, r2, r1, lsl #2", 200), 400, f"{_M7}: a stage early"),
    UnitKernel("counting loop", "cortex-m7", _COUNT, 1 + 200 + 7, f"{_M7}: predicted branches pair; 7 for the exit"),
)


def run(kernel: UnitKernel, process: EmulatorProcess | None = None) -> float:
    """The cycles that the emulator counts for the kernel's body."""
    return _cycles(kernel.body, kernel.core, process) - _cycles("", kernel.core, process)


def _cycles(body: str, core: str, process: EmulatorProcess | None) -> int:
    device = catalogue.get(core)
    text = (
        ".syntax unified\n.thumb\n.text\n.global kernel\n.type kernel, %function\n.balign 4\nkernel:\n"
        f"push {{r4-r7, lr}}\nmov r7, r0\n{body}\npop {{r4-r7, pc}}\n.size kernel, . - kernel\n"
    )
    target = Target(core, device.dsp, device.flash_origin or 0, device.ram_origin or 0)
    image = read_image(ZigToolchain().compile({"kernel.s": text}, target, entry="kernel"))
    with Emulator(device, bare=True, process=process) as chip:
        chip.load(image)
        run = chip.call("kernel", device.ram_origin or 0)
        check(run.stop, chip, "kernel")
        return run.cycles
