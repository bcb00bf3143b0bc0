"""rena-kws compare: controllers on a table of networks that were trained once; --collect makes such a table."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rena_kws import registry
from rena_kws.cli.arguments import from_0, from_1, new_folder, number, seed
from rena_kws.errors import ModelError, UnknownNameError

if TYPE_CHECKING:
    from rena_kws.search_benchmark.compare import Array

CONTROLLERS = "rena:100,evolution:100,tpe:100,random:300"
SHIPPED_TABLE = Path(__file__).parent.parent / "search_benchmark" / "spoken_digits.jsonl"
TIMEOUT_S = 3600.0
MILESTONES = (10, 30, 100, 300)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rena_kws.cli.dataset_options import add_dataset_options

    parser.add_argument(
        "--controllers",
        type=_controllers,
        default=CONTROLLERS,
        metavar="NAME:N[:OPTION=VALUE]…,…",
        help="who competes, for how many evaluations, with which options (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=from_1, default=20, help="runs of each controller (default: %(default)s)")
    parser.add_argument("--table", type=Path, default=SHIPPED_TABLE, help="the table (default: the one that ships)")
    parser.add_argument("--plot", type=new_folder, metavar="DIR", help="draw the curves of each setting, as SVG")
    parser.add_argument("--workers", type=from_1, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    making = parser.add_argument_group("making a table")
    making.add_argument("--collect", type=from_1, metavar="N", help="train networks until the table has N, then stop")
    making.add_argument("--dataset", metavar="S", help="what to train on")
    making.add_argument("--seed", type=seed, default=0, help="which networks (default: %(default)s)")
    add_dataset_options(making)


def run(arguments: argparse.Namespace) -> None:
    if arguments.collect is not None:
        _collect(arguments)
    else:
        _compare(arguments)


def _collect(arguments: argparse.Namespace) -> None:
    from rena_kws.cli.dataset_options import dataset_options
    from rena_kws.cli.progress import status
    from rena_kws.pipeline import Task
    from rena_kws.search_benchmark.collect import collect
    from rena_kws.workers import WorkerPool

    if not arguments.dataset:
        raise ModelError("--collect trains networks: say on what with --dataset")
    task = Task(
        device="cortex-m4",
        dataset=arguments.dataset,
        dataset_options=dataset_options(arguments),
        train_clips=20_000,
        threads=max(1, (os.cpu_count() or 1) // arguments.workers),
    )
    pool = WorkerPool(arguments.workers, lambda *_: TIMEOUT_S)
    try:
        for rows in collect(arguments.table, task, arguments.collect, arguments.seed, pool, arguments.workers):
            status(f"{len(rows)} of {arguments.collect} networks, the last: {100 * rows[-1].accuracy:.1f} %")
    finally:
        pool.shutdown(cancel_futures=True)
        status("")


def _compare(arguments: argparse.Namespace) -> None:
    import numpy as np

    from rena_kws.cli.output import print_json
    from rena_kws.search_benchmark import table
    from rena_kws.search_benchmark.surrogate import held_out, rank_correlation

    rows = table.read(arguments.table)
    correlation = rank_correlation(held_out(rows), np.array([row.accuracy for row in rows]))
    curves = _run(arguments)
    if arguments.plot:
        _plot(arguments.plot, curves)
    if arguments.json:
        print_json({"networks": len(rows), "rank_correlation": correlation, "how": "estimated", **_as_json(curves)})
        return
    print(f"{len(rows)} networks trained once; rank correlation of the surrogate on held-out ones: {correlation:.3f}")
    print(f"Best accuracy within the limits (surrogate's), median of {arguments.seeds} seeds, 95 % band:")
    for setting, by_controller in curves.items():
        print(f"\n{setting:<22}" + "".join(f"{f'after {n}':>26}" for n in MILESTONES))
        for name, best in by_controller.items():
            print(f"  {name:<20}" + "".join(f"{text:>26}" for text in _milestones(best)))


def _run(arguments: argparse.Namespace) -> dict[str, dict[str, Array]]:
    """Setting → controller → best accuracy so far, (seeds, evaluations)."""
    import numpy as np

    from rena_kws.cli.progress import status
    from rena_kws.search_benchmark import compare
    from rena_kws.search_benchmark.collect import LIMIT_SETS
    from rena_kws.workers import WorkerPool

    contests = [
        (setting, name, compare.Contest(controller, limits, evaluations, options))
        for setting, limits in LIMIT_SETS.items()
        for name, controller, evaluations, options in arguments.controllers
    ]
    found: dict[tuple[int, int], Array] = {}
    pool = WorkerPool(arguments.workers, lambda *_: TIMEOUT_S)
    try:
        for number, seed, best in compare.run(arguments.table, [c for *_, c in contests], arguments.seeds, pool):
            found[number, seed] = best
            status(f"{len(found)} of {arguments.seeds * len(contests)} runs")
    finally:
        pool.shutdown(cancel_futures=True)
        status("")
    curves: dict[str, dict[str, Array]] = {}
    for number, (setting, name, _) in enumerate(contests):
        curves.setdefault(setting, {})[name] = np.array([found[number, seed] for seed in range(arguments.seeds)])
    return curves


def _milestones(best: Array) -> list[str]:
    from rena_kws.search_benchmark.compare import Median

    texts = []
    for evaluations in MILESTONES:
        if evaluations > best.shape[1]:
            texts.append("")
            continue
        found = Median.of(best[:, evaluations - 1])
        texts.append(f"{100 * found.median:.2f} % [{100 * found.low:.2f}, {100 * found.high:.2f}]")
    return texts


def _as_json(curves: Mapping[str, Mapping[str, Array]]) -> dict[str, Any]:
    from rena_kws.search_benchmark.compare import Median

    return {
        "settings": {
            setting: {
                name: [vars(Median.of(best[:, evaluation])) for evaluation in range(best.shape[1])]
                for name, best in by_controller.items()
            }
            for setting, by_controller in curves.items()
        }
    }


def _plot(folder: Path, curves: Mapping[str, Mapping[str, Array]]) -> None:
    import numpy as np

    from rena_kws.files import replacing
    from rena_kws.report.curves import Curve, draw
    from rena_kws.search_benchmark.compare import Median

    folder.mkdir(parents=True, exist_ok=True)
    for setting, by_controller in curves.items():
        drawn = []
        for name, best in by_controller.items():
            medians = [Median.of(100 * column) for column in best.T]
            x = np.arange(1, len(medians) + 1)
            band = [(m.low, m.high) for m in medians]
            drawn.append(Curve(name, x.tolist(), [m.median for m in medians], band))
        picture = draw(drawn, f"Best network within limits: {setting}", "evaluations", "accuracy, surrogate [%]")
        with replacing(folder / f"{setting.replace(' ', '_')}.svg") as aside:
            aside.write_text(picture)


def _controllers(text: str) -> list[tuple[str, str, int, dict[str, object]]]:
    """(name to print, controller, evaluations, options) of each competitor."""
    found = []
    for part in text.split(","):
        name, _, rest = part.partition(":")
        evaluations, *options = rest.split(":")
        if name not in registry.names("controllers"):
            raise UnknownNameError("controller", name, registry.names("controllers"))
        if not evaluations.isdecimal() or int(evaluations) < 1 or not all("=" in option for option in options):
            raise argparse.ArgumentTypeError(f"controllers are NAME:EVALUATIONS[:OPTION=VALUE]…, got {part!r}")
        found.append((" ".join([name, *options]), name, int(evaluations), _options(name, options)))
    return found


def _options(name: str, texts: Sequence[str]) -> dict[str, object]:
    """A controller's options are the parameters that it takes by keyword alone; their defaults tell their types."""
    if not texts:
        return {}
    taken = inspect.signature(registry.load("controllers", name)).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in taken if parameter.kind is parameter.KEYWORD_ONLY}
    found: dict[str, object] = {}
    for option, _, value in (text.partition("=") for text in texts):
        if option not in defaults:
            known = f"has the options {', '.join(sorted(defaults))}" if defaults else "has no options"
            raise argparse.ArgumentTypeError(f"the controller {name} {known}, got {option!r}")
        read = from_0 if isinstance(defaults[option], int) else number
        try:
            found[option] = read(value)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{option} of {name} is {error}") from None
    return found
