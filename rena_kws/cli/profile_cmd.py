"""rena-kws profile: what a model costs on a device, and what the device computes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rena_kws.errors import ModelError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rena_kws.cli.output import add_optimize

    parser.add_argument("model", type=Path, metavar="MODEL", help="a .tflite or .onnx file, or a run")
    parser.add_argument("--device", default="cortex-m", help="see `rena-kws devices` (default: %(default)s)")
    parser.add_argument(
        "--inputs", type=Path, metavar="F.npy", help="a batch in the model's own dtype (default: one of zeros)"
    )
    parser.add_argument("--outputs", type=Path, metavar="G.npy", help="write what the device computed")
    add_optimize(parser)
    parser.add_argument("--layers", action="store_true", help="cost by layer")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from rena_kws.api import profile
    from rena_kws.cli.output import describe_measurement, print_json
    from rena_kws.files import replacing

    measurement = profile(arguments.model, arguments.device, _read_inputs(arguments.inputs), arguments.optimize)
    if arguments.outputs:
        with replacing(arguments.outputs) as aside, open(aside, "wb") as file:
            np.save(file, measurement.outputs)
    if arguments.json:
        print_json(measurement.as_json())
    else:
        print(describe_measurement(measurement, arguments.layers))


def _read_inputs(path: Path | None) -> Any:
    import numpy as np

    if path is None:
        return None
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"--inputs {path} is no .npy array: {error}") from error
