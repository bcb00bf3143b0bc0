"""Reads modules and configuration as Zephyr's build does: kconfig.py PRJ_CONF BUILD_DIR MODULE…

Writes autoconf.h and modules.cmake, with CONFIG_… and the folders that modules name, into BUILD_DIR. Every warning of
Kconfig is an error, as in Zephyr, and so is an assignment that does not come about.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import kconfiglib
import yaml

KEYS = {"name", "build", "tests", "samples", "boards"}
# What the applications use of Zephyr's own Kconfig, with what it depends on.
ZEPHYR = """
config AUDIO
	bool "Audio"
config AUDIO_DMIC
	bool "Digital microphones"
	depends on AUDIO
config SERIAL
	bool "Serial drivers"
config CONSOLE
	bool "Console"
config UART_CONSOLE
	bool "Console on a UART"
	depends on SERIAL && CONSOLE
config BOOT_BANNER
	bool "Boot banner"
	default y
config MAIN_STACK_SIZE
	int "Stack of main"
	default 1024
"""


def main(settings: Path, build: Path, modules: list[Path]) -> None:
    read = [(module, description(module)) for module in modules]
    sources = [f'osource "{module / about["build"]["kconfig"]}"\n' for module, about in read]
    names = [f"config ZEPHYR_{about['name'].upper()}_MODULE\n\tbool\n\tdefault y\n" for _, about in read]
    (build / "Kconfig").write_text("".join([ZEPHYR, *sources, *names]))
    kconfig = kconfiglib.Kconfig(str(build / "Kconfig"), warn_to_stderr=False)
    kconfig.warn_assign_undef = True
    kconfig.load_config(str(settings))
    wrong = [f"{s.name} is {s.str_value}" for s in kconfig.unique_defined_syms if unheeded(s)]
    if kconfig.warnings or wrong:
        sys.exit("\n".join([*kconfig.warnings, *wrong]))
    kconfig.write_autoconf(str(build / "autoconf.h"))
    options = [f"set(CONFIG_{s.name} {s.str_value})\n" for s in kconfig.unique_defined_syms if s.str_value != "n"]
    folders = " ".join(str((module / about["build"]["cmake"]).resolve()) for module, about in read)
    (build / "modules.cmake").write_text("".join(options) + f"set(ZEPHYR_MODULES {folders})\n")


def unheeded(symbol: Any) -> bool:
    value = symbol.user_value
    return value is not None and symbol.str_value != (kconfiglib.TRI_TO_STR[value] if isinstance(value, int) else value)


def description(module: Path) -> dict[str, Any]:
    about: dict[str, Any] = yaml.safe_load((module / "zephyr" / "module.yml").read_text())
    if not set(about) <= KEYS or not (module / about["build"]["cmake"] / "CMakeLists.txt").is_file():
        sys.exit(f"{module}/zephyr/module.yml is malformed: {about}")
    return about


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(module) for module in sys.argv[3:]])
