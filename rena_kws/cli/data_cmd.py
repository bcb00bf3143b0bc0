"""rena-kws data describe: classes, counts, speakers, durations of a dataset, and what leaks between its splits."""

from __future__ import annotations

import argparse

from rena_kws.cli.dataset_options import add_dataset_options, dataset_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("describe",))
    parser.add_argument("dataset", metavar="NAME[:PATH]")
    add_dataset_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.cli.output import print_json
    from rena_kws.datasets.base import open_dataset
    from rena_kws.datasets.describe import describe, render

    description = describe(open_dataset(arguments.dataset, dataset_options(arguments)))
    if arguments.json:
        print_json(description)
    else:
        print(render(description))
