"""rena-kws listen: the words in a sound file, or in what the microphone hears, through the exported C."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rena_kws.errors import RenaError

if TYPE_CHECKING:
    from rena_kws.streaming.listening import Detection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sound", metavar="FILE|mic", help="a sound file, or the default microphone (until Ctrl-C)")
    parser.add_argument(
        "--model", required=True, type=Path, metavar="DIR", help="an exported bundle of C, a run, or a model's folder"
    )
    parser.add_argument("--device", metavar="D", help="on this emulated Cortex-M instead of this computer (files only)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.streaming.listening import file_pieces, microphone_pieces, open_ear

    def tell(found: Detection) -> None:
        text = json.dumps(vars(found)) if arguments.json else f"{found.time_s:9.2f} s  {found.score:.2f}  {found.label}"
        print(text, flush=True)

    if arguments.device:
        _listen_on_chip(arguments, tell)
        return
    ear = open_ear(arguments.model)
    if arguments.sound == "mic":
        pieces = microphone_pieces(ear.sample_rate_hz)
    else:
        pieces = file_pieces(Path(arguments.sound), ear.sample_rate_hz)
    ear.hear(pieces, tell)


def _listen_on_chip(arguments: argparse.Namespace, tell: Callable[[Detection], None]) -> None:
    """Samples in and events out on the emulated chip, and what that took."""
    from rena_kws.cli.progress import status
    from rena_kws.streaming.listening import hear_on_chip

    if arguments.sound == "mic":
        raise RenaError("an emulated chip is slower than a microphone: give --device with a sound file")
    status(f"running on {arguments.device}")
    cost = hear_on_chip(arguments.model, Path(arguments.sound), arguments.device, tell)
    status("")
    if not arguments.json:
        print(f"{cost.device}: {cost.as_line()}")
