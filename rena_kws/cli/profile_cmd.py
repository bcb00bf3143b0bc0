"""rena-kws profile: what a model, or any Cortex-M image, costs on a device, and what the device computes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rena_kws.errors import ModelError

if TYPE_CHECKING:
    from rena_kws.artifacts import Measurement


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rena_kws.cli.output import add_optimize

    parser.add_argument("model", type=Path, metavar="MODEL", help="a .tflite or .onnx file, a run, or a firmware image")
    parser.add_argument("--device", default="cortex-m", help="see `rena-kws devices` (default: %(default)s)")
    parser.add_argument(
        "--inputs", type=Path, metavar="F.npy", help="a batch in the model's own dtype (default: one of zeros)"
    )
    parser.add_argument("--outputs", type=Path, metavar="G.npy", help="write what the device computed")
    add_optimize(parser)
    parser.add_argument("--layers", action="store_true", help="cost by layer, or by function of an image")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    image = parser.add_argument_group("firmware images (.elf, .hex, .bin)", "places are function names or addresses")
    image.add_argument("--region", metavar="PLACE", help="the function whose calls are timed")
    image.add_argument("--calls", type=int, default=3, metavar="N", help="how many calls of it (default: %(default)s)")
    image.add_argument(
        "--call",
        nargs="?",
        type=_numbers,
        const=(),
        metavar="ARGS",
        help="call it directly, once --stop is reached if that is given; up to four integers, separated by commas",
    )
    image.add_argument("--start", metavar="PLACE", help="where to begin (default: the vector table's reset handler)")
    image.add_argument("--stop", metavar="PLACE", help="where to end")
    image.add_argument("--base", type=_address, metavar="ADDRESS", help="where a .bin lies")
    image.add_argument("--send", default="", metavar="TEXT", help="what the firmware receives on its serial port")
    image.add_argument("--instructions", type=int, default=2_000_000_000, metavar="N", help="budget of a run")
    image.add_argument("--seconds", type=float, default=120, metavar="S", help="budget of a run, real time")


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

    names = ("region", "call", "start", "stop", "base", "send")
    given = [name for name in names if getattr(arguments, name) not in (None, "")]
    if given:
        raise ModelError(f"--{given[0]} is for firmware images; {arguments.model} is a network")
    measurement = profile(arguments.model, arguments.device, _read_inputs(arguments.inputs), arguments.optimize)
    if arguments.outputs:
        with replacing(arguments.outputs) as aside, open(aside, "wb") as file:
            np.save(file, measurement.outputs)
    return measurement


def _profile_image(arguments: argparse.Namespace) -> Measurement:
    from rena_kws.api import profile_image
    from rena_kws.cli.progress import status

    given = [name for name in ("inputs", "outputs", "optimize") if getattr(arguments, name)]
    if given:
        raise ModelError(f"--{given[0]} is for networks; {arguments.model} is a firmware image")
    if arguments.call is not None and not arguments.region:
        raise ModelError("--call needs --region, the function to call")
    if arguments.calls < 1:
        raise ModelError(f"--calls {arguments.calls}: at least 1 is needed")
    status(f"running {arguments.model.name}")
    measurement = profile_image(
        arguments.model,
        arguments.device,
        region=_place(arguments.region),
        calls=arguments.calls,
        arguments=arguments.call,
        start=_place(arguments.start),
        stop=_place(arguments.stop),
        base=arguments.base,
        send=arguments.send.encode(),
        instructions=arguments.instructions,
        seconds=arguments.seconds,
    )
    status("")
    return measurement


def _place(text: str | None) -> int | str | None:
    """An address where it is a number, else a name."""
    if text is None:
        return None
    try:
        return int(text, 0) & ~1
    except ValueError:
        return text


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part, 0) for part in text.split(",") if part)


def _address(text: str) -> int:
    return int(text, 0)


def _read_inputs(path: Path | None) -> Any:
    import numpy as np

    if path is None:
        return None
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"--inputs {path} is no .npy array: {error}") from error
