"""rena-kws doctor: what works on this machine, and the command that mends the rest."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.cli.output import print_json
    from rena_kws.doctor import examine

    if arguments.json:
        print_json({finding.part: {k: v for k, v in vars(finding).items() if k != "part"} for finding in examine()})
        return
    for finding in examine():
        print(f"{finding.state:8} {finding.part:20} {finding.seen}", flush=True)
        if finding.mend and finding.state != "works":
            print(f"{'':8} {'':20} {finding.mend}")
