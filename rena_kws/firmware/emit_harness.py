"""A generated network → the C that answers MLPerf Tiny's serial protocol for it, and an example program around that.

As with the kernels, the prefix `kws_` of the templates in `harness/` stands for the network's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from rena_kws.artifacts import ConvertedModel, Firmware
from rena_kws.errors import ModelError
from rena_kws.firmware.emit import renamed

_FILES = ("harness.h", "harness.c", "board.c")


def harness_sources(firmware: Firmware, model: ConvertedModel) -> Mapping[str, str]:
    """File name → text: `NAME_harness.{h,c}`, and `NAME_board.c` with `main`. `firmware` was generated from `model`.

    Raises `ModelError` for a network with several inputs or outputs: the protocol has one of each.
    """
    if (len(firmware.inputs), len(firmware.outputs)) != (1, 1):
        ports = f"{len(firmware.inputs)} and {len(firmware.outputs)}"
        raise ModelError(f"{model.name}: the serial protocol has one input and one output; the network has {ports}")
    folder = resources.files("rena_kws.firmware.harness")
    return {
        f"{firmware.name}_{file}": _filled_in((folder / f"kws_{file}").read_text("utf-8"), firmware, model)
        for file in _FILES
    }


def _filled_in(text: str, firmware: Firmware, model: ConvertedModel) -> str:
    text = text.replace('#define KWS_HARNESS_SHA256 ""', f'#define KWS_HARNESS_SHA256 "{model.sha256}"')
    return renamed(text, firmware.name).replace('"kws.h"', f'"{firmware.name}.h"')  # last: the name may begin with kws_
