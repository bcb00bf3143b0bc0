"""rena-kws search: keywords, a device and limits in; a measured network and its firmware out."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rena_kws import registry
from rena_kws.cli.arguments import from_1, positive, seed
from rena_kws.cli.dataset_options import add_dataset_options, dataset_options
from rena_kws.cli.output import print_json
from rena_kws.errors import ModelError, RenaError, UnknownNameError

if TYPE_CHECKING:
    from rena_kws.artifacts import Trained
    from rena_kws.search import SearchResult
    from rena_kws.search_settings import SearchSettings
    from rena_kws.spec.architecture import Architecture

DEFAULT_MINUTES = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cortex-m", help="see `rena-kws devices` (default: %(default)s)")
    parser.add_argument(
        "--dataset", default="synthetic", metavar="NAME[:PATH][?OPTION=VALUE&…]", help="(default: %(default)s speech)"
    )
    add_dataset_options(parser)
    parser.add_argument(
        "--front-end",
        default="mfcc",
        choices=("mfcc", "micro_frontend"),
        help="micro_frontend is what ESPHome listens with (default: %(default)s)",
    )
    parser.add_argument(
        "--limit", action="append", default=[], metavar="[DEVICE:]NAME=VALUE", help="e.g. latency_ms=30; repeatable"
    )
    parser.add_argument("--soft", action="store_true", help="going over a limit costs reward instead of the trial")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="RUN|SPEC",
        help="begin with a run's winner and its weights, or with a JSON network",
    )
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="networks that a stream evaluates by new rows alone, in less time; clips count as loud as they are",
    )
    parser.add_argument(
        "--controller", default="rena", help=f"{', '.join(registry.names('controllers'))} (default: %(default)s)"
    )
    parser.add_argument("--trials", type=from_1, help="stop searching after this many networks")
    parser.add_argument(
        "--minutes",
        type=positive,
        help=f"time for the whole run (default: {DEFAULT_MINUTES:g}, or none with --trials)",
    )
    parser.add_argument(
        "--from-scratch", action="store_true", help="train each network from fresh weights instead of its parent's"
    )
    parser.add_argument(
        "--refit", action="store_true", help="train the winner once more, on the validation split too: for few speakers"
    )
    parser.add_argument("--no-halving", action="store_true", help="train every network to the end")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--cluster", metavar="tcp://HOST:PORT", help="a Dask scheduler, whose workers evaluate instead")
    parser.add_argument("--workers", type=from_1, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument(
        "--run", dest="run_folder", type=Path, metavar="DIR", help="the run's folder (default: runs/DATE-TIME)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --run DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws.api import search
    from rena_kws.cli.progress import ProgressLine
    from rena_kws.run_folder import new_run_path

    settings = settings_of(arguments)
    if arguments.resume and not arguments.run_folder:
        raise RenaError("--resume continues the run in a folder: name it with --run DIR")
    arguments.run_folder = arguments.run_folder or new_run_path()
    progress = ProgressLine(settings.minutes)
    try:
        result, folder = search(settings, arguments.run_folder, arguments.resume, progress)
    finally:
        progress.close()
    if arguments.json:
        print_json(_as_json(result, folder))
    else:
        _print(result, settings, folder)


def settings_of(arguments: argparse.Namespace) -> SearchSettings:
    """The settings that the arguments ask for. Raises what names the first wrong one."""
    from rena_kws.datasets.base import split_spec
    from rena_kws.devices import catalogue
    from rena_kws.devices.bench import is_serial
    from rena_kws.frontend.settings import MICRO_FRONTEND, UNSEEN_VOICES, UNSEEN_VOICES_IN_STREAMS
    from rena_kws.reward import parse_limit
    from rena_kws.search_settings import SearchSettings

    if "," in arguments.device and not is_serial(arguments.device):
        raise RenaError(
            f"a search is for one device, got {arguments.device!r}; limits of others are written --limit "
            "cpu:latency_ms=…"
        )
    catalogue.get(arguments.device)
    for kind, name in (
        ("datasets", split_spec(arguments.dataset)[0].partition(":")[0]),
        ("controllers", arguments.controller),
    ):
        if name not in registry.names(kind):
            raise UnknownNameError(kind.rstrip("s"), name, registry.names(kind))
    minutes = arguments.minutes if arguments.minutes or arguments.trials else DEFAULT_MINUTES
    for_esphome = arguments.front_end == MICRO_FRONTEND.kind
    of_stream = UNSEEN_VOICES_IN_STREAMS if arguments.streaming else UNSEEN_VOICES
    return SearchSettings(
        device=arguments.device,
        dataset=arguments.dataset,
        dataset_options=dataset_options(arguments),
        limits=tuple(parse_limit(text) for text in arguments.limit),
        soft=arguments.soft,
        start=_read_start(arguments.start),
        controller=arguments.controller,
        trials=arguments.trials,
        minutes=minutes,
        seed=arguments.seed,
        inherit=not arguments.from_scratch,
        halving=not arguments.no_halving,
        refit=arguments.refit,
        streaming=arguments.streaming,
        front_end=MICRO_FRONTEND if for_esphome else of_stream,
        workers=arguments.workers,
        cluster=arguments.cluster,
    )


def _read_start(path: Path | None) -> Architecture | Trained | None:
    """A network in JSON; or what a search left beside the model that a run, a folder or the model's file name."""
    from rena_kws import model_file
    from rena_kws.spec.architecture import Architecture
    from rena_kws.store.weights import WEIGHTS_FILE, read_npz

    if path is None:
        return None
    try:
        if path.suffix == ".json":
            return Architecture.from_json(json.loads(path.read_text()))
        return read_npz(model_file.find(path).with_name(WEIGHTS_FILE))
    except OSError as error:
        raise ModelError(
            f"--start takes a run, whose winner has {WEIGHTS_FILE} beside its model, or a network in .json, "
            f"not {path}; {error.filename}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ModelError(f"--start {path} is no network in JSON: {error}") from error


def _as_json(result: SearchResult, folder: Path) -> dict[str, Any]:
    measurement = result.outcome.measurement
    assert measurement is not None
    return {
        "run": str(folder),
        "validation_accuracy": result.outcome.evaluation.accuracy,
        "test_accuracy": result.test_accuracy,
        "refit": result.refit,
        "trials": len(result.trials),
        "architecture": result.architecture.as_json(),
        "measurement": measurement.as_json(),
    }


def _print(result: SearchResult, settings: SearchSettings, folder: Path) -> None:
    from rena_kws.cli.output import describe_measurement
    from rena_kws.report.table import render_table

    measurement = result.outcome.measurement
    assert measurement is not None
    print(render_table(result.trials, settings.limits))
    then = ", before it was trained on that too" if result.refit else ""
    print(
        f"\nwinner: {100 * (result.outcome.evaluation.accuracy or 0):.1f} % on validation{then}, "
        f"{100 * result.test_accuracy:.1f} % on test (measured, int8)"
    )
    print(describe_measurement(measurement, layers=False))
    print(f"\nfirmware  {folder / 'firmware'}\nmodel     {folder / 'winner'}\nreport    {folder / 'report.html'}")
