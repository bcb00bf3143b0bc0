"""rena-kws listen: the words in a sound file, or in what the microphone hears, through the exported C."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rena_kws.streaming.listening import Detection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sound", metavar="FILE|mic", help="a sound file, or the default microphone (until Ctrl-C)")
    parser.add_argument(
        "--model", required=True, type=Path, metavar="DIR", help="an exported C bundle, a run, or a model's folder"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.streaming.listening import file_pieces, microphone_pieces, open_ear

    ear = open_ear(arguments.model)
    if arguments.sound == "mic":
        pieces = microphone_pieces(ear.sample_rate_hz)
    else:
        pieces = file_pieces(Path(arguments.sound), ear.sample_rate_hz)

    def tell(found: Detection) -> None:
        text = json.dumps(vars(found)) if arguments.json else f"{found.time_s:9.2f} s  {found.score:.2f}  {found.label}"
        print(text, flush=True)

    ear.hear(pieces, tell)
