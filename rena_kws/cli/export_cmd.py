"""rena-kws export: a run's winner, or a model file, as a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from rena_kws.cli.output import add_optimize, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="RUN|MODEL", help="a run's folder, or a .tflite or .onnx file")
    parser.add_argument("--format", required=True, help="c, arduino, zephyr, esphome, tflite or onnx")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--name", default="kws_model", metavar="PREFIX", help="prefix of every C symbol (default: %(default)s)"
    )
    add_optimize(parser)
    parser.add_argument(
        "--harness",
        action="store_true",
        help="with c, arduino or zephyr: also what makes a board with a UART a device to profile on",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="with c, arduino or zephyr: a stream runs the whole network for each result, even where it need not",
    )
    parser.add_argument("--word", help="with esphome: the keyword to wake at, where the model knows several")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.api import export

    asked = (arguments.name, arguments.optimize, arguments.harness, arguments.whole, arguments.word)
    folder = export(arguments.source, arguments.format, arguments.out, *asked)
    if arguments.json:
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        print_json({"folder": str(folder), "files": files})
    else:
        entries = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
        print(f"{folder}: {', '.join(entries)}")
