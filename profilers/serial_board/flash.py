"""A candidate onto the board: its C in a folder, the bench's build command, the bench's flash command."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rena_kws.artifacts import ConvertedModel
from rena_kws.devices.bench import Bench
from rena_kws.errors import DeviceError

NAME = "kws_model"
"""The prefix of the C's symbols and files, which a board's own main program relies on."""


def flash(bench: Bench, model: ConvertedModel) -> None:
    """Put the model on the board. Raises `ModelError` where it gives no C, `DeviceError` where a command fails."""
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
                _run(step, command, bench, bundle, elf)
            if step == "build_command" and command and "{elf}" in command and not elf.exists():
                raise DeviceError(f"the bench's build_command succeeded and made no {{elf}}: {command}")


def _run(step: str, command: str, bench: Bench, bundle: Path, elf: Path) -> None:
    """Run a command of the bench file in a shell, as it would be typed."""
    filled = command.replace("{bundle}", _quoted(bundle)).replace("{elf}", _quoted(elf))
    try:
        done = subprocess.run(
            filled,
            shell=True,
            cwd=bench.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=bench.flash_s,
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(f"the bench's {step} took longer than flash_s = {bench.flash_s:g} s: {command}") from None
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no message")
        raise DeviceError(f"the bench's {step} failed with status {done.returncode}: {said[:200]}")


def _quoted(path: Path) -> str:
    return f'"{path}"' if sys.platform == "win32" else shlex.quote(str(path))
