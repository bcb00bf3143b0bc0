"""rena-kws profile: what a model, or any Cortex-M image, costs on a device, and what the device computes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rena_kws.cli.arguments import address, from_1, new_file, place, positive, registers
from rena_kws.errors import ModelError

if TYPE_CHECKING:
    from rena_kws.artifacts import Measurement

_OF_NETWORKS = ("inputs", "outputs", "optimize")
_OF_IMAGES = ("region", "calls", "call", "start", "stop", "base", "send", "instructions", "seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rena_kws.cli.output import add_optimize

    parser.add_argument("model", type=Path, metavar="MODEL", help="a .tflite or .onnx file, a run, or a firmware image")
    parser.add_argument("--device", default="cortex-m", help="see `rena-kws devices` (default: %(default)s)")
    parser.add_argument(
        "--inputs", type=Path, metavar="F.npy", help="a batch in the model's own dtype (default: one of zeros)"
    )
    parser.add_argument("--outputs", type=new_file, metavar="G.npy", help="write what the device computed")
    add_optimize(parser)
    parser.add_argument("--layers", action="store_true", help="cost by layer, or by function of an image")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    image = parser.add_argument_group("firmware images (.elf, .hex, .bin)", "places are function names or addresses")
    image.add_argument("--region", type=place, metavar="PLACE", help="the function whose calls are timed")
    image.add_argument("--calls", type=from_1, metavar="N", help="how many calls of it (default: 3)")
    image.add_argument(
        "--call",
        nargs="?",
        type=registers,
        const=(),
        metavar="ARGS",
        help="call it directly, once --stop is reached if that is given; up to four integers, separated by commas",
    )
    image.add_argument(
        "--start", type=place, metavar="PLACE", help="where to begin (default: the vector table's reset handler)"
    )
    image.add_argument("--stop", type=place, metavar="PLACE", help="where to end")
    image.add_argument("--base", type=address, metavar="ADDRESS", help="where a .bin lies")
    image.add_argument("--send", type=os.fsencode, metavar="TEXT", help="what the firmware receives on its serial port")
    image.add_argument("--instructions", type=from_1, metavar="N", help="budget of a run (default: 2 billion)")
    image.add_argument("--seconds", type=positive, metavar="S", help="budget of a run, real time (default: 120)")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.cli.output import describe_measurement, print_json
    from rena_kws.model_file import is_image

    measurement = _profile_image(arguments) if is_image(arguments.model) else _profile_model(arguments)
    if arguments.json:
        print_json(measurement.as_json())
    else:
        print(describe_measurement(measurement, arguments.layers))


def _profile_model(arguments: argparse.Namespace) -> Measurement:
    import numpy as np

    from rena_kws.api import profile
    from rena_kws.files import replacing

    if given := _given(arguments, _OF_IMAGES):
        raise ModelError(f"--{next(iter(given))} is for firmware images; {arguments.model} is a network")
    measurement = profile(arguments.model, arguments.device, _read_inputs(arguments.inputs), arguments.optimize)
    if arguments.outputs:
        with replacing(arguments.outputs) as aside, open(aside, "wb") as file:
            np.save(file, measurement.outputs)
    return measurement


def _profile_image(arguments: argparse.Namespace) -> Measurement:
    from rena_kws.api import profile_image
    from rena_kws.cli.progress import status

    if given := _given(arguments, _OF_NETWORKS):
        raise ModelError(f"--{next(iter(given))} is for networks; {arguments.model} is a firmware image")
    what = _given(arguments, _OF_IMAGES)
    if "call" in what:
        if "region" not in what:
            raise ModelError("--call needs --region, the function to call")
        what["arguments"] = what.pop("call")
    status(f"running {arguments.model.name}")
    measurement = profile_image(arguments.model, arguments.device, **what)
    status("")
    return measurement


def _given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


def _read_inputs(path: Path | None) -> Any:
    import numpy as np

    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise ModelError(f"cannot read --inputs {path}: {error.strerror}") from None
    except ValueError as error:
        raise ModelError(f"--inputs {path} is no .npy array: {error}") from None
