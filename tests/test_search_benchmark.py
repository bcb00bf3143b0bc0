"""The table, its surrogate and the comparison of controllers, on the table that ships."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from rena_kws.cli.compare_cmd import SHIPPED_TABLE
from rena_kws.cli.main import main
from rena_kws.errors import ModelError
from rena_kws.reward import over_limits
from rena_kws.search_benchmark import compare, table
from rena_kws.search_benchmark.collect import BOUNDS, LIMIT_SETS
from rena_kws.search_benchmark.surrogate import held_out, rank_correlation
from rena_kws.spec.search_space import SearchSpace

ROWS = table.read(SHIPPED_TABLE)
sklearn = pytest.importorskip("sklearn")


def test_the_shipped_table_holds_a_few_hundred_different_networks_of_the_space() -> None:
    assert len({row.architecture.id for row in ROWS}) == len(ROWS) >= 300
    space = SearchSpace()
    for row in ROWS:
        assert not over_limits(BOUNDS, row.resources)
        assert 0 < row.accuracy < 1
        for layer in row.architecture.layers:
            space.check(layer)


@pytest.mark.slow
def test_the_surrogate_ranks_networks_that_it_has_not_seen() -> None:
    accuracy = np.array([row.accuracy for row in ROWS])
    predicted = held_out(ROWS)
    assert rank_correlation(predicted, accuracy) > 0.85
    better = accuracy > np.median(accuracy)
    assert rank_correlation(predicted[better], accuracy[better]) > 0.5  # where a search looks


def test_rank_correlation_equals_scipy() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    first = rng.normal(size=50)
    second = first + rng.normal(size=50)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_a_row_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    assert table.begin(path, "cortex-m4") == []
    for row in ROWS[:3]:
        table.append(path, row)
    assert table.read(path) == ROWS[:3]


@pytest.mark.parametrize("text", ["", "no json", '{"schema": 99}\n', '{"schema": 1}\n{"accuracy": 1}\n'])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"table\.jsonl is no table"):
        table.read(path)


def test_a_run_keeps_the_limits_and_never_gets_worse() -> None:
    world = compare.World(SHIPPED_TABLE)
    limits = LIMIT_SETS["10 ms"]
    best = compare.best_so_far(world, compare.Contest("evolution", limits, 30, {}), seed=1)
    assert best.shape == (30,)
    assert (np.diff(best) >= 0).all()
    reachable = [row.accuracy for row in ROWS if not over_limits(limits, row.resources)]
    assert 0.1 < best[-1] <= max(reachable) + 0.05


def test_equal_seeds_give_equal_runs_and_controllers_differ() -> None:
    little = {"drafts": 8, "dreams": 2}
    controllers = (("random", {}), ("random", {}), ("rena", little))
    contests = [compare.Contest(name, LIMIT_SETS["10 ms"], 20, options) for name, options in controllers]
    with ThreadPoolExecutor(1) as pool:
        runs = {(number, seed): best for number, seed, best in compare.run(SHIPPED_TABLE, contests, 2, pool)}
    assert (runs[0, 0] == runs[1, 0]).all()
    assert len(runs) == 6
    assert not (runs[0, 0] == runs[2, 0]).all()


def test_the_band_of_a_median_covers_it() -> None:
    values = np.random.default_rng(3).normal(5, 1, 200)
    found = compare.Median.of(values)
    assert found.low < found.median < found.high
    assert found.low < 5 < found.high and found.high - found.low < 0.6


@pytest.mark.slow
def test_the_command_prints_every_setting_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--workers", "1", "--seeds", "2", "--controllers"]
    assert main([*words, "random:12,evolution:12:population=4:sample=2", "--plot", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for setting in LIMIT_SETS:
        assert setting in printed
        assert "evolution population=4 sample=2" in (tmp_path / f"{setting.replace(' ', '_')}.svg").read_text()
    assert main([*words, "random:12", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["networks"] == len(ROWS) and data["how"] == "estimated"
    assert len(data["settings"]["loose"]["random"]) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--controllers", "rnea:10"], "rena"),
        (["--controllers", "rena"], "NAME:EVALUATIONS"),
        (["--collect", "5"], "--dataset"),
        (["--table", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) if "NAME" in message else nullcontext() as stopped:
        assert main(["compare", *words]) == 2
    assert stopped is None or stopped.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
