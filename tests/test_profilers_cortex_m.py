"""The emulated Cortex-M on small handwritten firmwares: memory, layers, the flash's cache, misbehaving images."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cortex_m_kernels import ARENA_BYTES, assembly, firmware, run

from rena_kws.artifacts import ConvertedModel
from rena_kws.devices import catalogue
from rena_kws.errors import CandidateError, DeviceError, DoesNotFitError, ModelError, UnavailableError
from rena_kws.profilers.cortex_m.emulator import Emulator
from rena_kws.profilers.cortex_m.profiler import CortexMProfiler
from rena_kws.profilers.cortex_m.worker import EmulatorProcess

M4 = catalogue.get("cortex-m4")
BOARD = catalogue.get("nucleo-l4r5zi")
FOREVER = "1: b 1b\n"


@pytest.fixture(scope="module")
def profiler() -> CortexMProfiler:
    return CortexMProfiler(instructions=2_000_000, cached=False)


def test_outputs_answer_the_batch_in_order(profiler: CortexMProfiler) -> None:
    inputs = np.arange(20, dtype=np.int8).reshape(5, 4)
    add_one = assembly("ldr r1, [r0]\nmov.w r2, #0x01010101\nsadd8 r1, r1, r2\nstr r1, [r0]\nbx lr\n")
    measurement = profiler.profile_firmware(add_one, M4, inputs)
    np.testing.assert_array_equal(measurement.outputs, inputs + 1)
    assert measurement.outputs.dtype == np.int8
    assert measurement.latency_ms == pytest.approx((measurement.cycles or 0) / 100e3)


def test_every_run_starts_with_fresh_memory(profiler: CortexMProfiler) -> None:
    count = "ldr r1, =counter\nldr r2, [r1]\nadds r2, #1\nstr r2, [r1]\nstr r2, [r0]\nbx lr\n.ltorg\n"
    data = '.section .data.counter, "aw"\n.balign 4\ncounter: .word 7\n.text\n'
    outputs = profiler.profile_firmware(assembly(count + data), M4, np.zeros((3, 4), np.int8)).outputs
    np.testing.assert_array_equal(outputs, [[8, 0, 0, 0]] * 3)


def test_flash_ram_and_stack_are_counted_to_the_byte() -> None:
    code = (
        "push {r4, lr}\nsub sp, #32\nldr r1, =initialised\nldr r2, =zeroed\nldr r3, =table\n"
        "ldr r4, [r1]\nstr r4, [r2]\nldr r4, [r3]\nstr r4, [sp]\nadd sp, #32\npop {r4, pc}\n.balign 4\n.ltorg\n"
        '.section .data.initialised, "aw"\n.balign 4\ninitialised: .word 1, 2\n'
        '.section .bss.zeroed, "aw", %nobits\n.balign 4\nzeroed: .space 24\n'
        '.section .rodata.table, "a"\n.balign 4\ntable: .space 100, 1\n'
        '.section .rodata.unused, "a"\n.space 1000\n.text\n'
    )
    measurement = run(code)
    # Eleven 16-bit instructions, two bytes of padding, three literals; the table; the initial values of .data.
    assert measurement.flash_bytes == (22 + 2 + 12) + 100 + 8
    assert measurement.environment["stack_bytes"] == str(8 + 32)
    # .data and .bss end at 32 and the arena begins on 16.
    assert measurement.ram_bytes == 8 + 24 + ARENA_BYTES + 8 + 32


def test_layers_are_charged_with_what_they_call(profiler: CortexMProfiler) -> None:
    def layer(name: str, turns: int) -> str:
        body = f"push {{r4, lr}}\nmovs r1, #{turns}\nbl kernel\npop {{r4, pc}}"
        return f".type {name}, %function\n{name}: {body}\n.size {name}, .-{name}\n"

    run = "push {r4, lr}\nbl layer_a\nbl layer_b\npop {r4, pc}\n.size kws_run, .-kws_run\n"
    code = assembly(run + layer("layer_a", 100) + layer("layer_b", 200) + "kernel: subs r1, #1\nbne kernel\nbx lr\n")
    network = firmware(dict(code.sources), ("layer_a", "layer_b", "gone"))
    measurement = profiler.profile_firmware(network, M4)
    expected = [3 + 1 + 3 + (2 * turns + 2 * (turns - 1) + 3) + 5 for turns in (100, 200)]
    assert [layer.cycles for layer in measurement.layers] == [*expected, None]
    assert measurement.cycles == sum(expected) + 3 + 3 + 3 + 5


def test_a_read_in_an_it_block_survives_being_watched() -> None:
    # unicorn's read hooks break IT blocks; ours repairs them. Odd and even turns read two words each.
    code = (
        "ldr r1, =table\nmovs r3, #0\nmovs r2, #64\n1: tst r2, #1\nittee eq\nldreq r12, [r1]\nldreq r4, [r1, #4]\n"
        "ldrne r12, [r1, #8]\nldrne r4, [r1, #12]\nadd r3, r12\nadd r3, r4\nadds r3, #1\nsubs r2, #1\nbne 1b\n"
        'str r3, [r0]\nbx lr\n.ltorg\n.section .rodata.table, "a"\n.balign 4\ntable: .word 10, 20, 300, 400\n.text\n'
    )
    expected = np.array([64 + 32 * 730], "<i4").view(np.int8)
    watched = run(code, "nucleo-l4r5zi")
    np.testing.assert_array_equal(watched.outputs[0], expected)
    assert watched.cycles == run(code, "cortex-m4").cycles


@pytest.mark.parametrize(
    ("size_bytes", "misses"),
    [
        (128, 16),  # read twice, it fits the cache of 256 bytes: each line of 8 bytes misses once
        (512, 128),  # least recently used keeps nothing of a longer loop: each line misses both times
    ],
)
def test_reads_of_the_flash_pay_for_its_cache_misses(size_bytes: int, misses: int) -> None:
    body = (
        f"movw r1, #:lower16:table\nmovt r1, #:upper16:table\nmovs r2, #2\n"
        f"2: mov r3, r1\nmov.w r12, #{size_bytes // 4}\n"
        "1: ldr r0, [r3], #4\nsubs.w r12, r12, #1\nbne 1b\nsubs r2, #1\nbne 2b\nbx lr\n"
        f'.section .rodata.table, "a"\n.balign 8\ntable: .space {size_bytes}, 1\n.text\n'
    )
    measurement = run(body, "nucleo-l4r5zi")
    assert measurement.cycles is not None
    assert measurement.memory_cycles == round(0.058 * measurement.cycles) + 4 * misses
    assert measurement.latency_ms == pytest.approx((measurement.cycles + measurement.memory_cycles) / 120e3)
    assert run(body, "cortex-m4").memory_cycles == 0


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (FOREVER, r"did not end within its budget of 2000000 instructions \(pc 0x08000000 in kws_run"),
        (
            "mov.w r1, #0x40000000\nldr r1, [r1]\nbx lr\n",
            "read of unmapped address 0x40000000 .4 bytes. .pc 0x08000004",
        ),
        ("mov.w r1, #0x40000000\nstr r1, [r1]\nbx lr\n", "write to unmapped address 0x40000000"),
        ("mov.w r1, #0x08000000\nstr r1, [r1]\nbx lr\n", "write to flash at 0x08000000"),
        ("mov.w r1, #0x40000000\nadds r1, #1\nbx r1\n", "jump to 0x40000000, where nothing can run"),
        ("mov.w r1, #0x10000000\nadds r1, #1\nbx r1\n", "jump to unmapped address 0x10000000"),
        ("adds r0, #1\nbx r0\n", "jump into RAM at 0x20000000"),
        ("udf #1\n", "invalid instruction"),
        ("1: push {r0}\ncmp sp, r0\nbhi 1b\nbx lr\n", "stack ran into the arena"),
    ],
)
def test_an_image_that_misbehaves_is_reported(profiler: CortexMProfiler, body: str, complaint: str) -> None:
    with pytest.raises(CandidateError, match=complaint) as caught:
        profiler.profile_firmware(assembly(body), M4)
    assert "kws failed on cortex-m4" in str(caught.value) and "\n" not in str(caught.value)


def test_instructions_that_the_core_lacks_are_refused(profiler: CortexMProfiler) -> None:
    smuad = assembly(".inst.w 0xfb20f001\nbx lr\n")  # the emulator's M3 would run it
    assert profiler.profile_firmware(smuad, M4).cycles == 4
    with pytest.raises(CandidateError, match=r"cortex-m3 has no instruction 'smuad r0, r0, r1' .pc 0x08000000"):
        profiler.profile_firmware(smuad, catalogue.get("cortex-m3"))
    without = replace(catalogue.get("cortex-m33"), dsp=False)
    with pytest.raises(CandidateError, match="cortex-m33 has no instruction 'smuad"):
        profiler.profile_firmware(smuad, without)


def test_what_does_not_fit_is_refused_with_the_numbers(profiler: CortexMProfiler) -> None:
    table = 'ldr r1, =table\nbx lr\n.ltorg\n.section .rodata.table, "a"\ntable: .space 3000\n.text\n'
    with pytest.raises(DoesNotFitError, match=r"needs 30.. bytes of flash, there are 2048"):
        profiler.profile_firmware(assembly(table), replace(M4, flash_bytes=2048))
    big = replace(assembly("bx lr\n"), arena_bytes=5000)
    with pytest.raises(DoesNotFitError, match=r"needs 5000 bytes of RAM .data 0, arena 5000.*there are 4096"):
        profiler.profile_firmware(big, replace(M4, ram_bytes=4096))


def test_a_run_that_takes_too_long_or_a_worker_that_dies_costs_its_job_only() -> None:
    slow = CortexMProfiler(instructions=10**15, seconds=1, cached=False)
    with pytest.raises(CandidateError, match="did not end within 1 s of real time"):
        slow.profile_firmware(assembly(FOREVER), M4)
    assert slow.profile_firmware(assembly("bx lr\n"), M4).cycles == 3

    dying = CortexMProfiler(instructions=10**15, cached=False)
    dying.profile_firmware(assembly("bx lr\n"), M4)
    process = dying.process._process
    assert process is not None
    killer = threading.Timer(0.5, process.kill)
    killer.start()
    with pytest.raises(DeviceError, match="ended with status"):
        dying.profile_firmware(assembly(FOREVER), M4)
    killer.join()
    assert dying.profile_firmware(assembly("bx lr\n"), M4).cycles == 3


def test_a_worker_that_hangs_is_stopped() -> None:
    process = EmulatorProcess()
    with Emulator(M4, process=process) as chip:
        chip.write(M4.flash_origin or 0, b"\xfe\xe7")
        with pytest.raises(DeviceError, match="longer than its 1 s"):
            process.ask(chip._id, "run", (M4.flash_origin, None, 10**15, 60), timeout_s=1)
        with pytest.raises(DeviceError, match="and with it the chip"):
            chip.read(0x20000000, 4)


def test_the_worker_is_kept_warm(profiler: CortexMProfiler) -> None:
    profiler.profile_firmware(assembly("bx lr\n"), M4)
    process = profiler.process._process
    profiler.profile_firmware(assembly("bx lr\n"), M4)
    assert process is not None and profiler.process._process is process and process.pid != os.getpid()


def test_results_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path))
    inputs = np.arange(8, dtype=np.int8).reshape(2, 4)
    first = CortexMProfiler().profile_firmware(assembly("bx lr\n"), M4, inputs)
    again = CortexMProfiler()
    kept = again.profile_firmware(assembly("bx lr\n"), M4, inputs)
    assert again.process._process is None  # nothing was emulated
    np.testing.assert_array_equal(kept.outputs, first.outputs)
    assert replace(kept, outputs=first.outputs) == first
    others = [(M4, inputs + 1, "balanced"), (replace(M4, clock_hz=1_000_000), inputs, "balanced"), (M4, inputs, "size")]
    for device, batch, optimize in others:
        CortexMProfiler(optimize=optimize).profile_firmware(assembly("bx lr\n"), device, batch)  # type: ignore[arg-type]
    files = list((tmp_path / "profiles").iterdir())
    assert len(files) == 1 + len(others)
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    assert CortexMProfiler().profile_firmware(assembly("bx lr\n"), M4, inputs).cycles == first.cycles


def test_energy_is_given_only_where_the_current_is(profiler: CortexMProfiler) -> None:
    assert profiler.profile_firmware(assembly("bx lr\n"), M4).energy_uj is None
    measured = profiler.profile_firmware(assembly("bx lr\n"), replace(M4, active_current_ma=10.0, supply_v=3.0))
    assert measured.energy_uj == pytest.approx(10.0 * 3.0 * measured.latency_ms)
    assert "estimate" in measured.environment["energy"]


def test_what_cannot_be_profiled_is_refused(profiler: CortexMProfiler, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"runs int8 \.tflite models: got a model in format onnx"):
        profiler.profile(ConvertedModel("onnx", b"x"), M4)
    with pytest.raises(ModelError, match="device cpu is no Cortex-M"):
        profiler.profile_firmware(assembly("bx lr\n"), catalogue.get("cpu"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "unicorn" else object())
    assert profiler.unavailable() == "the emulated Cortex-M needs packages that are missing: pip install unicorn"
    with pytest.raises(UnavailableError, match="pip install unicorn"):
        profiler.profile_firmware(assembly("bx lr\n"), M4)
