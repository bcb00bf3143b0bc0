"""rena-kws evaluate: a model on a dataset's clips, or on long streams made of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rena_kws.cli.arguments import from_1, new_folder, number, positive, seed, words
from rena_kws.cli.dataset_options import add_dataset_options, dataset_options
from rena_kws.errors import RenaError

if TYPE_CHECKING:
    from rena_kws.streaming.evaluation import StreamReport

_OF_STREAMS = ("hops", "hours", "snr_db", "false_accepts", "seed", "save")
_OF_CLIPS = ("split", "speakers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file with its manifest beside it, or a run")
    parser.add_argument("--dataset", required=True, metavar="NAME[:PATH]")
    parser.add_argument("--split", choices=("test", "validation", "train", "all"), help="of clips (default: test)")
    parser.add_argument("--speakers", type=words, metavar="A,B,…", help="score only these speakers of the split")
    add_dataset_options(parser)
    parser.add_argument(
        "--out", type=new_folder, metavar="DIR", help="write clips.json and confusion.svg, or stream.json and det.svg"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    stream = parser.add_argument_group("streams", "decisions are chosen on the validation split, and rated on test")
    stream.add_argument("--stream", action="store_true", help="listen to long streams instead of clips")
    stream.add_argument(
        "--hops", type=from_1, metavar="K", help="the network runs once in K hops (default: the manifest's, or 4)"
    )
    stream.add_argument("--hours", type=positive, metavar="H", help="without keywords, of each split (default: 10)")
    stream.add_argument("--snr-db", type=number, metavar="DB", help="words above the noise (default: 10)")
    stream.add_argument(
        "--false-accepts", type=number, metavar="N", help="an hour, that the threshold may let through (default: 1)"
    )
    stream.add_argument("--seed", type=seed, metavar="S", help="of the streams (default: 0)")
    stream.add_argument(
        "--save", action="store_true", default=None, help="keep the decisions in the model's manifest, for export"
    )


def run(arguments: argparse.Namespace) -> None:
    given = [name for name in (_OF_CLIPS if arguments.stream else _OF_STREAMS) if getattr(arguments, name) is not None]
    if given:
        kind, mend = ("clips", "leave it out") if arguments.stream else ("streams", "add --stream")
        raise RenaError(f"--{given[0].replace('_', '-')} is for {kind}: {mend}")
    if arguments.stream:
        _run_stream(arguments)
    else:
        _run_clips(arguments)


def _run_clips(arguments: argparse.Namespace) -> None:
    from rena_kws.api import evaluate
    from rena_kws.cli.output import print_json, table
    from rena_kws.report.confusion import confusion_plot
    from rena_kws.report.files import write_pair

    options = dataset_options(arguments)
    report = evaluate(arguments.model, arguments.dataset, arguments.split or "test", options, arguments.speakers)
    if arguments.out:
        picture = confusion_plot(report.confusion, report.labels)
        write_pair(arguments.out, "clips.json", report.as_json(), "confusion.svg", picture)
    if arguments.json:
        print_json(report.as_json())
        return
    print(f"accuracy {100 * report.accuracy:.2f} % of {report.n} clips ({report.how})")
    rows = [(label, *map(int, row)) for label, row in zip(report.labels, report.confusion, strict=True)]
    print(table(("said \\ heard", *report.labels), rows))


def _run_stream(arguments: argparse.Namespace) -> None:
    from rena_kws.api import evaluate_stream
    from rena_kws.cli.output import print_json
    from rena_kws.cli.progress import status
    from rena_kws.streaming.evaluation import StreamSettings
    from rena_kws.streaming.files import save_decisions, write_report

    given = {
        "hours": arguments.hours,
        "snr_db": arguments.snr_db,
        "false_accepts_per_hour": arguments.false_accepts,
        "seed": arguments.seed,
        "hops_a_result": arguments.hops,
    }
    settings = StreamSettings(**{name: value for name, value in given.items() if value is not None})
    report = evaluate_stream(arguments.model, arguments.dataset, settings, dataset_options(arguments), status)
    status("")
    if arguments.out:
        write_report(report, arguments.out)
    saved = save_decisions(report, arguments.model) if arguments.save else None
    if arguments.json:
        print_json(report.as_json())
        return
    print(describe(report))
    if saved:
        print(f"decisions kept in {saved}")


def describe(report: StreamReport) -> str:
    """A report for people."""
    test, decisions = report.test, report.decisions
    low, high = test.interval_per_hour
    target = report.settings.false_accepts_per_hour
    missed_target = f" (no threshold keeps {target:g})" if report.validation.false_accepts_per_hour > target else ""
    lines = [
        f"threshold {decisions.threshold:.3g} of the mean of {decisions.smoothed_results} results, chosen on "
        f"validation: {100 * report.validation.false_reject_rate:.1f} % missed, "
        f"{report.validation.false_accepts_per_hour:.2f} false accepts an hour{missed_target}",
        f"test, {report.settings.snr_db:g} dB above noise ({report.how}):",
        f"  false rejects {100 * test.false_reject_rate:.1f} %: {test.missed} of {test.said} keywords",
        f"  false accepts {test.false_accepts_per_hour:.2f} an hour: {test.false_accepts} in {test.hours:.3g} hours "
        f"without keywords (90 % interval {low:.2f} to {high:.2f})",
        f"  detections beside the words said: {test.stray}",
    ]
    if test.latency_ms_median is not None:
        lines.append(
            f"  latency after the end of a word: median {test.latency_ms_median:.0f} ms, "
            f"nine in ten within {test.latency_ms_90:.0f} ms"
        )
    material = report.material["test"]
    others = "noise alone"
    if material["other_clips"]:
        others = f"{material['other_clips']} other clips again and again, which the interval takes for independent"
    lines.append(f"  of {material['voices']} voices; without keywords: {others}")
    return "\n".join(lines)
