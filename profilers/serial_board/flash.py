"""A candidate onto the board: its C in a folder, the bench's build command, the bench's flash command."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.devices.bench import Bench
from rena_kws.errors import DeviceError, DoesNotFitError

_FULL = "overflowed by"
"""What GNU ld and lld say of a memory region that is too small."""
NAME = "kws_model"
"""The prefix of the C's symbols and files, which a board's own main program relies on."""


def flash(bench: Bench, model: ConvertedModel) -> None:
    """Put the model on the board.

    Raises `ModelError` where it gives no C, `DoesNotFitError` where the linker says so, `DeviceError` where a command
    fails otherwise.
    """
    from rena_kws.firmware.emit import generate
    from rena_kws.firmware.emit_harness import harness_sources

    firmware = generate(model, NAME)
    with tempfile.TemporaryDirectory(prefix="rena-kws-") as name:
        bundle, elf = Path(name) / "bundle", Path(name) / "firmware.elf"
        bundle.mkdir()
        for file, text in {**firmware.sources, **harness_sources(firmware, model)}.items():
            (bundle / file).write_text(text, encoding="utf-8")
        for step, command in (("build_command", bench.build_command), ("flash_command", bench.flash_command)):
            if command:
                _run(step, command, bench, bundle, elf, model.name)
            if step == "build_command" and command and "{elf}" in command and not elf.exists():
                raise DeviceError(f"the bench's build_command succeeded and made no {{elf}}: {command}")


def _run(step: str, command: str, bench: Bench, bundle: Path, elf: Path, model: str) -> None:
    """Run a command of the bench file in a shell, as it would be typed."""
    filled = command.replace("{bundle}", _quoted(bundle)).replace("{elf}", _quoted(elf))
    with subprocess.Popen(
        filled,
        shell=True,
        cwd=bench.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=bench.flash_s)
        except BaseException as error:  # Ctrl-C too: what the shell started must not go on with the board
            _kill_with_children(process)
            if isinstance(error, subprocess.TimeoutExpired):
                took = f"took longer than flash_s = {bench.flash_s:g} s"
                raise DeviceError(f"the bench's {step} {took}: {command}") from None
            raise
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        if full := next((line for line in lines if _FULL in line), None):
            raise DoesNotFitError(f"{model} does not fit the board: {full[:200]}")
        said = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no message")
        raise DeviceError(f"the bench's {step} failed with status {process.returncode}: {said[:200]}")


def _kill_with_children(process: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)


def _quoted(path: Path) -> str:
    return f'"{path}"' if sys.platform == "win32" else shlex.quote(str(path))
