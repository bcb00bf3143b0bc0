"""The options that choose and cut a dataset; several commands share them."""

from __future__ import annotations

import argparse
from typing import Any

from rena_kws.cli.arguments import words


def add_dataset_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument("--keywords", type=words, metavar="A,B,…", help="the words to spot (default: the dataset's)")
    parser.add_argument("--language", metavar="L", help="of synthetic speech: en, de, … (default: en)")
    parser.add_argument("--test-speakers", type=words, metavar="A,B,…", help="speakers kept for the test split")
    parser.add_argument("--validation-speakers", type=words, metavar="A,B,…", help="speakers of the validation split")
    parser.add_argument(
        "--augment-with", metavar="S", help="a dataset, synthetic say, whose clips of the same words are trained on too"
    )


def dataset_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given, by the names that datasets take."""
    names = ("keywords", "language", "test_speakers", "validation_speakers", "augment_with")
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
