"""Whole firmwares as vendors ship them: vector table, start-up code, clock set-up that polls, timers, a serial port.

Written for an STM32-like part: flash at 0x08000000, RAM at 0x20000000, a USART at 0x40008000. Compiled by the project's
own compiler, or by Arm's where a test asks for it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

LINKER_SCRIPT = """
ENTRY(Reset_Handler)
MEMORY { FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 512K
         RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 64K }
_estack = ORIGIN(RAM) + LENGTH(RAM);
SECTIONS {
  .isr_vector : { KEEP(*(.isr_vector)) } > FLASH
  .text : { *(.text .text*) *(.rodata .rodata*) . = ALIGN(4); } > FLASH
  .init_array : { _init_begin = .; KEEP(*(.init_array*)) _init_end = .; } > FLASH
  _sidata = LOADADDR(.data);
  .data : { _sdata = .; *(.data .data*) . = ALIGN(4); _edata = .; } > RAM AT > FLASH
  .bss (NOLOAD) : { _sbss = .; *(.bss .bss*) *(COMMON) . = ALIGN(4); _ebss = .; } > RAM
  /DISCARD/ : { *(.ARM.exidx* .ARM.extab* .comment) }
}
"""

START_UP = """
#include <stdint.h>
extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;
extern void (*_init_begin[])(void), (*_init_end[])(void);
int main(void);
#define REG(address) (*(volatile uint32_t *)(address))
void Default_Handler(void) { for (;;) {} }
void Error_Handler(void) { for (;;) {} }
void SysTick_Handler(void) __attribute__((weak, alias("Default_Handler")));
void SVC_Handler(void) __attribute__((weak, alias("Default_Handler")));
void Serial_Handler(void) __attribute__((weak, alias("Default_Handler")));
void PendSV_Handler(void) __attribute__((weak, alias("Default_Handler")));
__attribute__((noinline)) void SystemClock_Config(void)
{
    REG(0x40021000) |= 1u << 8;
    while (!(REG(0x40021000) & (1u << 10))) {}      /* HSIRDY */
    REG(0x40021000) |= 1u << 24;
    while (!(REG(0x40021000) & (1u << 25))) {}      /* PLLRDY */
    REG(0x40022000) = (REG(0x40022000) & ~7u) | 5u; /* flash wait states, read back */
    while ((REG(0x40022000) & 7u) != 5u) {}
    REG(0x40021008) = (REG(0x40021008) & ~3u) | 2u;
    while ((REG(0x40021008) & 0xCu) != 0x8u) {}     /* SWS = PLL, as on an F4 */
    if (!(REG(0x40021000) & (1u << 25))) Error_Handler();
    if ((REG(0x40021008) & 0xFu) != 0xAu) Error_Handler();
    REG(0x40021000) &= ~(1u << 8);
    while (REG(0x40021000) & (1u << 10)) {}         /* HSIRDY has to fall */
    if (!(REG(0x40021000) & (1u << 25))) Error_Handler();
    while (!(REG(0x40007014) & 1u) && !(REG(0x40007018) & 1u)) {} /* two registers in turn */
}
void Reset_Handler(void)
{
    uint32_t *from = &_sidata;
    for (uint32_t *to = &_sdata; to < &_edata;) *to++ = *from++;
    for (uint32_t *to = &_sbss; to < &_ebss;) *to++ = 0;
#if defined(__VFP_FP__) && !defined(__SOFTFP__) && !defined(LEAVE_FPU_OFF)
    REG(0xE000ED88) |= 0xFu << 20;
    __asm__ volatile("dsb\\nisb");
#endif
    REG(0xE000ED08) = 0x08000000;
    SystemClock_Config();
    for (void (**f)(void) = _init_begin; f < _init_end; f++) (*f)();
    main();
    for (;;) {}
}
__attribute__((section(".isr_vector"), used)) static void *const vectors[] = {
    &_estack, Reset_Handler, Default_Handler, Default_Handler, Default_Handler, Default_Handler, Default_Handler,
    0, 0, 0, 0, SVC_Handler, Default_Handler, 0, PendSV_Handler, SysTick_Handler, Default_Handler, Serial_Handler,
};
"""


def build(
    main: str, *, core: str = "cortex-m4", flags: tuple[str, ...] = (), language: str = "c", compiler: str = "zig"
) -> Path:
    """The ELF of START_UP and `main`, in a folder of its own. `flags` may choose an FPU."""
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    (folder / "link.ld").write_text(LINKER_SCRIPT)
    (folder / "start.c").write_text(START_UP)
    (folder / f"main.{language}").write_text(main)
    if compiler == "zig":
        driver = "c++" if language == "cpp" else "cc"
        command = [sys.executable, "-m", "ziglang", driver, "-fno-sanitize=all"]
        if not any(flag.startswith("-target") for flag in flags):
            command += ["-target", "thumb-freestanding-eabi"]
        if not any(flag.startswith("-mcpu") for flag in flags):
            command += [f"-mcpu={core.replace('-', '_')}"]
    else:
        command = [compiler, f"-mcpu={core}", "-mthumb", "--specs=nano.specs", "--specs=nosys.specs", "-nostartfiles"]
    sources = ["-x", "c", "start.c", "-x", "c" if language == "c" else "c++", f"main.{language}"]
    subprocess.run(
        [*command, "-O2", "-ffreestanding", *flags, *sources, "-Wl,-T,link.ld", "-o", "image.elf"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return folder / "image.elf"


DIALOGUE = r"""
/* The shape of a benchmark's firmware: prints that it is ready, then does what lines from the host say. */
#include <stdint.h>
#define REG(address) (*(volatile uint32_t *)(address))
static volatile uint32_t ticks;
static uint32_t initialised = 41;
static int32_t zeroed;
void SysTick_Handler(void) { ticks++; }
static void put(char c) { while (!(REG(0x4000801C) & 0x80)) {} REG(0x40008028) = (uint8_t)c; }
static void print(const char *text) { while (*text) put(*text++); }
static char get(void) { while (!(REG(0x4000801C) & 0x20)) {} return (char)REG(0x40008024); }
static void print_number(uint32_t n) { if (n >= 10) print_number(n / 10); put((char)('0' + n % 10)); }
void HAL_Delay(uint32_t ms) { const uint32_t from = ticks; while (ticks - from < ms) {} }
__attribute__((noinline)) int32_t infer(const int8_t *x, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i] * (int32_t)i;
    return sum;
}
int8_t data[1000];
int main(void)
{
    REG(0xE000EDFC) |= 1u << 24; /* DWT's counter */
    REG(0xE0001004) = 0;
    REG(0xE0001000) |= 1;
    REG(0xE000E014) = 120000 - 1; /* SysTick, a millisecond at 120 MHz */
    REG(0xE000E018) = 0;
    REG(0xE000E010) = 7;
    HAL_Delay(3);
    for (uint32_t i = 0; i < sizeof data; i++) data[i] = (int8_t)(i * 7);
    print("m-ready ");
    print_number(initialised + (uint32_t)zeroed);
    print("\r\n");
    for (;;) {
        const char c = get();
        if (c == 'i') {
            const uint32_t before = REG(0xE0001004);
            const int32_t result = infer(data, sizeof data);
            const uint32_t took = REG(0xE0001004) - before;
            print("result ");
            print_number((uint32_t)result);
            print(" cycles ");
            print_number(took);
            print("\r\n");
        }
    }
}
"""
