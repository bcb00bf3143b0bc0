"""rena-kws evaluate: accuracy and confusions of a model on a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from rena_kws.cli.dataset_options import add_dataset_options, dataset_options, words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file with its manifest beside it, or a run")
    parser.add_argument("--dataset", required=True, metavar="NAME[:PATH]")
    parser.add_argument("--split", default="test", choices=("test", "validation", "train", "all"))
    parser.add_argument("--speakers", type=words, metavar="A,B,…", help="score only these speakers of the split")
    add_dataset_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.api import evaluate
    from rena_kws.cli.output import print_json, table

    options = dataset_options(arguments)
    report = evaluate(arguments.model, arguments.dataset, arguments.split, options, arguments.speakers)
    if arguments.json:
        print_json(report.as_json())
        return
    print(f"accuracy {100 * report.accuracy:.2f} % of {report.n} clips ({report.how})")
    rows = [(label, *map(int, row)) for label, row in zip(report.labels, report.confusion, strict=True)]
    print(table(("said \\ heard", *report.labels), rows))
