"""rena-kws report: a run's table, and its HTML page made anew."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.export.manifest import Manifest
    from rena_kws.report.html import write_html
    from rena_kws.report.table import render_table
    from rena_kws.reward import parse_limit
    from rena_kws.run_folder import read_settings
    from rena_kws.store import JournalStore

    folder = arguments.run_folder
    settings = read_settings(folder)
    trials = JournalStore(folder / "trials.jsonl").replay()
    winner = Manifest.beside(folder / "winner")
    write_html(folder / "report.html", settings, trials, winner.figures if winner else None)
    print(render_table(trials, tuple(parse_limit(text) for text in settings["limits"])))
    print(f"\nreport    {folder / 'report.html'}")
