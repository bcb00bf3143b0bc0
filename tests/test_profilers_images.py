"""Whole firmware images in the emulator: start-up, timers, serial dialogue, FPU, C++, other formats, hostile bytes."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from firmware_images import DIALOGUE, build
from intelhex import IntelHex

from rena_kws.cli.main import main as command
from rena_kws.devices import catalogue
from rena_kws.devices.description import Device
from rena_kws.errors import CandidateError, ModelError
from rena_kws.profilers.cortex_m.emulator import Emulator
from rena_kws.profilers.cortex_m.image import Image, Segment, read_image
from rena_kws.profilers.cortex_m.image_profiler import ImageRun, profile_image
from rena_kws.profilers.cortex_m.peripherals import SYSTICK, Console, SystemSpace
from rena_kws.profilers.cortex_m.worker import EmulatorProcess

BOARD = catalogue.get("nucleo-l4r5zi")
M4 = catalogue.get("cortex-m4")
HARD_FLOAT = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp")


@pytest.fixture(scope="module")
def dialogue() -> Path:
    return build(DIALOGUE)


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    process = EmulatorProcess()
    yield process
    process.close()


def test_a_firmware_talks_to_its_host_and_times_itself(dialogue: Path) -> None:
    measured = profile_image(dialogue, BOARD, ImageRun(region="infer", send=b"ixi", calls=2))
    printed = measured.environment["printed"].splitlines()
    assert printed[0] == "m-ready 41"  # .data was copied and .bss zeroed
    own_figure = int(printed[1].split()[-1])  # by the firmware's own DWT counter
    total = (measured.cycles or 0) + (measured.memory_cycles or 0)
    assert 0 <= own_figure - total < 40  # the call and two reads of the counter
    assert len(measured.samples_ms) == 2 and measured.how == "emulated"
    assert {"main", "infer", "SysTick_Handler", "SystemClock_Config"} <= {layer.name for layer in measured.layers}


def test_a_firmware_that_waits_for_input_is_not_waited_for(dialogue: Path) -> None:
    measured = profile_image(dialogue, BOARD, ImageRun(region="infer", send=b"i"))
    assert "waits for input on its serial port (pc" in measured.environment["ended"]
    with pytest.raises(CandidateError, match=r"never came back from a call of 'infer': .*waits for input"):
        profile_image(dialogue, BOARD, ImageRun(region="infer"))


def test_firmware_that_runs_for_ever_is_profiled_until_its_budget_is_spent() -> None:
    source = "volatile int n; __attribute__((noinline)) void work(void) { n++; } int main(void) { for (;;) work(); }"
    image = build(source)
    measured = profile_image(image, BOARD, ImageRun(instructions=1_000_000))
    assert "within its budget of 1000000 instructions" in measured.environment["ended"]
    assert 1_000_000 <= int(measured.environment["instructions"]) < 1_000_100
    assert {"main", "work"} <= {layer.name for layer in measured.layers}
    with pytest.raises(CandidateError, match="never came back from a call of 'main'"):
        profile_image(image, BOARD, ImageRun(region="main", instructions=100_000))


SLOW = [pytest.param(core, marks=pytest.mark.slow) for core in ("cortex-m3", "cortex-m33", "cortex-m7")]


@pytest.mark.parametrize("core", ["cortex-m0plus", *SLOW])
def test_exceptions_are_taken_on_every_core(core: str) -> None:
    device = replace(catalogue.get(core), uart="stm32_usart_2", uart_origin=0x40008000)
    measured = profile_image(build(DIALOGUE, core=core), device, ImageRun(region="infer", send=b"ii", calls=2))
    assert "result" in measured.environment["printed"]
    assert "SysTick_Handler" in {layer.name for layer in measured.layers}


def test_a_direct_call_costs_what_a_call_by_the_firmware_does(dialogue: Path) -> None:
    by_firmware = profile_image(dialogue, BOARD, ImageRun(region="infer", send=b"i", calls=1))
    address = next(f.start for f in read_image(dialogue).functions if f.name == "infer")
    direct = profile_image(dialogue, BOARD, ImageRun(region=address, stop="main", arguments=(0x20000000, 1000)))
    assert len(direct.samples_ms) == 3 and direct.cycles == by_firmware.cycles


def test_hex_and_binary_run_as_the_elf_they_come_from(dialogue: Path, tmp_path: Path) -> None:
    image = read_image(dialogue)
    flash = [segment for segment in image.load if segment.address < 0x20000000]
    file = IntelHex()
    for segment in flash:
        file.puts(segment.address, segment.data)
    file.write_hex_file(str(tmp_path / "a.hex"))
    file.tobinfile(str(tmp_path / "a.bin"))
    start, stop = image.named("infer").start, image.named("main").start
    run = ImageRun(region=start, send=b"i", calls=1)
    expected = profile_image(dialogue, BOARD, run).cycles
    assert profile_image(tmp_path / "a.hex", BOARD, run).cycles == expected
    assert profile_image(tmp_path / "a.bin", BOARD, replace(run, base=0x08000000)).cycles == expected
    whole = profile_image(tmp_path / "a.bin", BOARD, ImageRun(stop=stop, base=0x08000000))
    assert whole.environment["ended"].startswith("the stop address was reached")
    with pytest.raises(ModelError, match="give its load address"):
        profile_image(tmp_path / "a.bin", BOARD, run)
    (tmp_path / "b.hex").write_text(":00000001FE\n")
    with pytest.raises(ModelError, match="no Intel HEX"):
        read_image(tmp_path / "b.hex")


def test_initialised_data_is_found_where_the_file_has_it(dialogue: Path, tmp_path: Path) -> None:
    """Some linkers give a segment of initialised data the address in flash only: then its place in the file tells."""
    data = bytearray(dialogue.read_bytes())
    table, size, count = (int.from_bytes(data[at : at + n], "little") for at, n in ((28, 4), (42, 2), (44, 2)))
    for at in range(table, table + size * count, size):
        if data[at : at + 4] == b"\1\0\0\0":  # PT_LOAD: p_vaddr becomes p_paddr
            data[at + 8 : at + 12] = data[at + 12 : at + 16]
    (tmp_path / "a.elf").write_bytes(data)
    measured = profile_image(tmp_path / "a.elf", BOARD, ImageRun(region="infer", send=b"i", calls=1))
    assert measured.environment["printed"].startswith("m-ready 41")


def test_zeroed_memory_that_the_board_lacks_is_left_to_the_code_that_uses_it() -> None:
    image = read_image(build('int main(void) { for (;;) __asm__ volatile("wfi"); }'))
    odd = replace(image, load=(*image.load, Segment(0x60000000, bytes(64), zeroed=True)))
    with Emulator(BOARD) as chip:
        chip.load(odd)
        assert chip.run().stop.why == "sleep"
    with Emulator(BOARD) as chip, pytest.raises(CandidateError, match="write of 64 bytes at 0x60000000"):
        chip.load(replace(odd, load=(Segment(0x60000000, bytes(64)),)))


TICKS = r"""
#include <stdint.h>
#define REG(address) (*(volatile uint32_t *)(address))
static volatile uint32_t ticks, flags;
void SysTick_Handler(void) { ticks++; flags += REG(0xE000E010) >> 16 & 1; }
__attribute__((noinline)) uint32_t found(uint32_t polled) { return ticks << 16 | flags << 8 | polled; }
int main(void)
{
    uint32_t polled = 0;
    REG(0xE000E014) = 10000 - 1;
    REG(0xE000E018) = 0;
    REG(0xE000E010) = 7;
    while (ticks < 2) {}
    __asm__ volatile("cpsid i");
    while (!polled) polled = REG(0xE000E010) >> 16 & 1;
    __asm__ volatile("cpsie i");
    while (ticks < 4) {}
    found(polled);
    return 0;
}
"""


def test_systick_tells_its_handler_and_whoever_polls_that_it_has_counted_to_zero() -> None:
    with Emulator(BOARD, instructions=1_000_000) as chip:
        chip.load(read_image(build(TICKS)))
        chip.run(stop="found")
        # Of four ticks, three are told to the handler. One the polling loop has heard of; it is taken all the same.
        assert chip.call("found", chip.register("r0")).value == 4 << 16 | 3 << 8 | 1


def test_countflag_and_the_exception_of_systick_do_not_know_of_each_other() -> None:
    now = 0
    space = SystemSpace("cortex-m4", lambda: now, Console())
    control, reload, value = 0xE010, 0xE014, 0xE018
    space.write(reload, 4, 99)
    space.write(control, 4, 7)

    def counted() -> int:
        return space.read(control, 4) >> 16 & 1

    now = 99
    assert not counted()
    now = 100
    assert counted() and not counted()
    assert space.next_tick() == 100  # what a masked loop has read is still to be taken
    space.tick()
    assert SYSTICK in space.pending and space.next_tick() == 200
    now = 350
    space.tick()
    assert space.next_tick() == 400 and counted() and not counted()  # two ticks are one
    now = 400
    space.write(value, 4, 0)
    assert not counted()
    now = 500
    space.write(control, 4, space.read(control, 4) & ~1)
    now = 1000
    assert not counted()  # it stands still, and what was written back does not stay


FLOATING = r"""
volatile float x = 1.5f;
float out;
static int seen;
__attribute__((noinline)) float infer(float a)
{
    float s = 0;
    for (int i = 0; i < 100; i++) s += a * (float)i;
    return s;
}
void SVC_Handler(void) { seen++; out = x * 3.0f; }
static void host(long number, const void *argument)
{
    register long r0 __asm__("r0") = number;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}
int main(void)
{
    float a = infer(x);
    __asm__ volatile("svc 1" ::: "memory");
    a += infer(x);
    host(4, a == 14850.0f && seen == 1 && out == 4.5f ? "right\n" : "wrong\n");
    host(0x18, (void *)0x20026);
    return 0;
}
"""


def test_floats_survive_an_exception_and_semihosting_prints_and_ends() -> None:
    measured = profile_image(build(FLOATING, flags=HARD_FLOAT), BOARD, ImageRun(region="infer"))
    assert measured.environment["printed"] == "right\n"
    assert measured.environment["ended"].startswith("status 0") and len(measured.samples_ms) == 2


def test_the_fpu_is_off_until_it_is_turned_on() -> None:
    image = build(FLOATING, flags=(*HARD_FLOAT, "-DLEAVE_FPU_OFF"))
    with pytest.raises(CandidateError, match=r"floating point while the FPU is off .CPACR. \(pc .* in main"):
        profile_image(image, BOARD, ImageRun())


def test_instructions_that_the_core_lacks_fault() -> None:
    single = build(FLOATING, flags=HARD_FLOAT)
    with pytest.raises(CandidateError, match="cortex-m4 has no instruction 'v"):
        profile_image(single, M4, ImageRun())  # the generic core has no FPU
    double = 'int main(void) { __asm__ volatile(".inst.w 0xee310b02"); return 0; }\n'  # vadd.f64 d0, d1, d2
    with pytest.raises(CandidateError, match=r"cortex-m4 has no instruction 'vadd.f64"):
        profile_image(build(double, flags=HARD_FLOAT), BOARD, ImageRun())


TASKS = r"""
/* Two threads on the process stack that PendSV switches between, as a small RTOS does. */
#include <stdint.h>
#define REG(address) (*(volatile uint32_t *)(address))
static uint32_t stacks[2][64], *saved[2];
static volatile uint32_t current, turns[2];
__attribute__((noinline)) void finished(void) { __asm__ volatile(""); }
static void task(uint32_t self)
{
    for (;;) {
        turns[self]++;
        if (turns[0] >= 5 && turns[1] >= 5) finished();
        REG(0xE000ED04) = 1u << 28;
        __asm__ volatile("isb");
    }
}
static void first(void) { task(0); }
static void second(void) { task(1); }
__attribute__((used)) uint32_t *next_task(uint32_t *sp) { saved[current] = sp; current ^= 1; return saved[current]; }
__attribute__((naked)) void PendSV_Handler(void)
{
    __asm__ volatile("mrs r0, psp\nstmdb r0!, {r4-r11}\npush {r3, lr}\nbl next_task\npop {r3, lr}\n"
                     "ldmia r0!, {r4-r11}\nmsr psp, r0\nbx lr");
}
int main(void)
{
    for (int i = 0; i < 2; i++) {
        uint32_t *sp = stacks[i] + 64 - 8;
        sp[6] = (uint32_t)(uintptr_t)(i ? second : first);
        sp[7] = 0x01000000;
        saved[i] = sp - 8;
    }
    __asm__ volatile("msr psp, %0\nmovs r0, #2\nmsr control, r0\nisb" :: "r"(stacks[0] + 64) : "r0", "memory");
    first();
    return 0;
}
"""


def test_threads_are_switched(process: EmulatorProcess) -> None:
    with Emulator(BOARD, process=process, instructions=100_000) as chip:
        chip.load(read_image(build(TASKS)))
        assert chip.run(stop="finished").stop.why == "stop"
        assert chip.by_function()["PendSV_Handler"] > 0


SERIAL_PORTS = {
    # registers of a port: how to send `c`, whether a byte is there, and the byte
    "stm32_usart_1": ("while (!(R(0) & 0x80)) {} R(4) = c;", "R(0) & 0x20", "R(4)"),
    "stm32_usart_2": ("while (!(R(0x1C) & 0x80)) {} R(0x28) = c;", "R(0x1C) & 0x20", "R(0x24)"),
    "pl011": ("while (R(0x18) & 0x20) {} R(0) = c;", "!(R(0x18) & 0x10)", "R(0)"),
    "cmsdk": ("while (R(4) & 1) {} R(0) = c;", "R(4) & 2", "R(0)"),
    "nrf_uarte": (
        "out[0] = c; R(0x544) = (uint32_t)out; R(0x548) = 1; R(0x120) = 0; R(8) = 1; while (!R(0x120)) {}",
        "(R(0x534) = (uint32_t)in, R(0x538) = 1, R(0) = 1, R(0x110))",
        "(R(0x110) = 0, in[0])",
    ),
}


@pytest.mark.parametrize("layout", SERIAL_PORTS)
def test_every_serial_port_echoes(layout: str) -> None:
    send, ready, receive = SERIAL_PORTS[layout]
    source = (
        "#include <stdint.h>\n#define R(offset) (*(volatile uint32_t *)(0x40008000 + (offset)))\n"
        "static volatile uint8_t out[4], in[4];\n"
        f"int main(void) {{ for (;;) {{ if ({ready}) {{ uint8_t c = (uint8_t)({receive}); {send} }} }}\n"
        "  return in[0] + out[0]; }\n"
    )
    with Emulator(replace(BOARD, uart=layout)) as chip:  # type: ignore[arg-type]
        chip.load(read_image(build(source)))
        chip.send(b"hello, world")
        assert chip.run().stop.why == "input"
        assert chip.sent == b"hello, world"


def test_a_serial_interrupt_wakes_a_sleeping_firmware() -> None:
    source = (
        "#include <stdint.h>\n#define REG(address) (*(volatile uint32_t *)(address))\n"
        "static volatile uint32_t count;\n"
        "void Serial_Handler(void) { REG(0x40008028) = REG(0x40008024) + 1; count++; }\n"
        "int main(void) { REG(0x40008000) = 1u << 5; REG(0xE000E100) = 2;\n"
        '  while (count < 3) __asm__ volatile("wfi"); return 0; }\n'
    )
    with Emulator(replace(BOARD, uart_interrupt=1)) as chip:
        chip.load(read_image(build(source)))
        chip.send(b"ab")
        assert chip.run().stop.why == "sleep"  # two of three came
        chip.send(b"y")
        chip.run()
        assert chip.sent == b"bcz"


def test_cpp_constructors_run() -> None:
    source = (
        "struct Table { int sum; Table() : sum(0) { for (int i = 0; i < 10; i++) sum += i; } };\n"
        "static Table table;\n"
        'extern "C" __attribute__((noinline)) int infer(int n) { return table.sum + n; }\n'
        "int answer;\n"
        "int main() { answer = infer(5); return 0; }\n"
        'extern "C" int __aeabi_atexit(void *, void (*)(void *), void *) { return 0; }\n'
        "void *__dso_handle;\n"
    )
    flags = ("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-nostdlib++")
    with Emulator(BOARD) as chip:
        chip.load(read_image(build(source.replace("int main()", 'extern "C" int main()'), language="cpp", flags=flags)))
        chip.run(stop="main")
        assert chip.call("infer", 7).value == 45 + 7


def test_devices_and_watches_of_the_caller(dialogue: Path) -> None:
    seen: list[tuple[int, int]] = []
    written: list[tuple[str, int]] = []
    with Emulator(M4) as chip:
        chip.load(read_image(dialogue))
        answers = {0x1C: 0x80 | 0x20, 0x24: ord("i")}  # always ready, always the same byte
        chip.attach(
            0x40008000, 0x400, lambda o, size: answers.get(o, 0), lambda o, size, value: seen.append((o, value))
        )
        chip.run(stop="infer")
        assert bytes(value for offset, value in seen if offset == 0x28).startswith(b"m-ready 41")
        chip.watch(0x20000000, 0x200003FF, lambda what, address, size, value: written.append((what, address)))
        assert chip.call("infer", 0x20000000, 3).stop.why == "stop"
    assert [address for what, address in written if what == "read"] == [0x20000000, 0x20000001, 0x20000002]


@pytest.mark.parametrize("stack", [0x08100000, 0x10008000, 0x20010000, 0x24080000])
def test_a_vector_table_is_known_wherever_ram_lies(stack: int) -> None:
    code = stack.to_bytes(4, "little") + (0x10000009).to_bytes(4, "little") + b"\xfe\xe7"
    vectors = Image("x", (Segment(0x10000000, code),), 0, 0, 0, ()).vectors
    assert vectors is not None and (vectors.stack, vectors.reset) == (stack, 0x10000008)


def test_code_is_no_vector_table() -> None:
    for words in ((0x20010000, 0x10000008), (0x20010001, 0x10000009), (0x20010000, 0x08000009), (0, 0x10000009)):
        code = b"".join(word.to_bytes(4, "little") for word in words) + b"\xfe\xe7"
        assert Image("x", (Segment(0x10000000, code),), 0, 0, 0, ()).vectors is None


def test_places_that_do_not_exist_are_refused(dialogue: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"image.elf has no function 'infre'; there are infer"):
        profile_image(dialogue, BOARD, ImageRun(region="infre"))
    with pytest.raises(CandidateError, match=r"write of .* at 0x08000000: the memories of raspberry"):
        profile_image(dialogue, catalogue.get("raspberry-pi-pico"), ImageRun())
    (tmp_path / "x.elf").write_bytes(b"\x7fELF" + bytes(60))
    with pytest.raises(ModelError, match="no readable ELF"):
        read_image(tmp_path / "x.elf")


def test_the_command_line(dialogue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["profile", str(dialogue), "--device", "nucleo-l4r5zi", "--stop", "main"]
    assert command([*arguments, "--region", "infer", "--call", "0x20000000,1000", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["how"] == "emulated" and len(table["samples_ms"]) == 3 and table["cycles"] > 4000
    assert command([*arguments, "--layers"]) == 0
    assert "SystemClock_Config" in capsys.readouterr().out
    assert command([*arguments, "--call"]) == 2
    assert "--call needs --region" in capsys.readouterr().err


def hostile_images(seed: int) -> Iterator[Image]:
    """Images that do what no image should, in turn."""
    rng = random.Random(seed)

    def image(code: bytes, stack: int = 0x20010000) -> Image:
        reset = 0x08000008 | 1
        vectors = stack.to_bytes(4, "little") + reset.to_bytes(4, "little")
        return Image("hostile", (Segment(0x08000000, vectors + code),), 0, 0, 0, ())

    def halfwords(*values: int) -> bytes:
        return b"".join(value.to_bytes(2, "little") for value in values)

    for turn in itertools.count():
        noise = rng.randbytes(rng.choice((2, 30, 400, 5000)))
        yield (
            image(noise),
            image(halfwords(0xE7FE)),  # b .
            image(halfwords(0x2000, 0x4700)),  # movs r0, #0; bx r0
            image(halfwords(0x2001, 0x4700)),  # movs r0, #1; bx r0: to the vectors
            image(halfwords(0xB500, 0xF7FF, 0xFFFD)),  # push {lr}; bl back: until the stack is through
            image(noise, stack=rng.choice((0, 4, 0x20000000, 0x1FFFFFFC, 0xFFFFFFFC))),
            # mov r0, sp; subs r0, 64; str code there; jump to it, which writes over itself
            image(halfwords(0x4668, 0x3840, 0x4902, 0x6001, 0x3001, 0x4700) + rng.randbytes(4)),
            image(halfwords(0xBEAB) * 50),  # semihosting with rubbish
            image(halfwords(0xDF00) * 50 + noise),  # svc without a handler
            image(halfwords(0xBF30, 0xE7FD)),  # wfi for ever
            image(halfwords(0xBF20, 0xE7FD)),  # wfe for ever
            image(halfwords(*(rng.choice((0x4700 | rng.randrange(16) << 3, rng.randrange(65536))) for _ in range(40)))),
        )[turn % 12]


def _assault(device: Device, process: EmulatorProcess, count: int, seed: int, instructions: int) -> set[str]:
    ends = set()
    for image in itertools.islice(hostile_images(seed), count):
        with Emulator(device, process=process, instructions=instructions, seconds=5) as chip:
            chip.load(image)
            run = chip.run(0x08000008)
            assert chip.report(run.stop)
            ends.add(run.stop.why)
    return ends


def test_hostile_images_always_end_in_a_report(process: EmulatorProcess) -> None:
    worker = None
    for device in (BOARD, catalogue.get("cortex-m0plus")):
        assert {"fault", "budget", "sleep"} <= _assault(device, process, 60, seed=1, instructions=10_000)
        assert worker is None or process._process is worker, "the emulator's process died"
        worker = process._process


@pytest.mark.slow
def test_a_thousand_hostile_images(process: EmulatorProcess) -> None:
    with Emulator(BOARD, process=process):
        worker = process._process
    _assault(BOARD, process, 600, seed=2, instructions=50_000)
    _assault(catalogue.get("cortex-m7"), process, 400, seed=3, instructions=50_000)
    assert process._process is worker
