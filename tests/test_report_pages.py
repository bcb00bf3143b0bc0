"""The terminal's table and the HTML page, on trials of every outcome."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.artifacts import Evaluation
from rena_kws.controller.base import Proposal
from rena_kws.report import render_table, write_html
from rena_kws.report.curves import Curve, draw
from rena_kws.report.history import describe, family, pictures
from rena_kws.report.html import render_html
from rena_kws.report.svg import Point, scatter
from rena_kws.reward import parse_limit
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.spec.edits import Edit, Insert, Remove, Scale, apply
from rena_kws.spec.search_space import SearchSpace, seed_architecture
from rena_kws.store import Trial

LIMITS = tuple(map(parse_limit, ("latency_ms=30", "cpu:latency_ms=1")))
SETTINGS: dict[str, Any] = {"device": "cortex-m", "dataset": "synthetic", "limits": list(map(str, LIMITS)), "seed": 0}
VOID = {"meta", "br", "img", "link", "input", "hr"}


def network(channels: int) -> Architecture:
    return Architecture(12, (Layer("conv2d", (0,), 10, 4, (2, 2), 1, channels),))


def trial(number: int, accuracy: float | None, latency_ms: float, status: Any = "ok") -> Trial:
    resources = {"latency_ms": latency_ms, "cpu:latency_ms": 0.5, "ram_bytes": 12_345.0, "params": 1000.0}
    evaluation = Evaluation(status, accuracy or 0.0, accuracy, resources, "", {"train": 10.0, "profile": 0.25})
    return Trial(number, Proposal(number, network(number + 1)), evaluation, float(number))


TRIALS = [
    trial(0, 0.80, 10.0),
    trial(1, 0.90, 20.5),
    trial(2, 0.95, 31.0),  # the most accurate, in a soft search: over the limit
    trial(3, None, 50.0, "over_limit"),
    Trial(4, Proposal(4, network(9)), Evaluation("failed", 0.0, reason="died"), 4.0),
]
WINNER: dict[str, Any] = {
    "architecture": network(2).as_json(),
    "accuracy": 0.92,
    "test_accuracy": 0.911,
    "labels": ["yes", "no"],
    "measurement": {
        "how": "emulated",
        "latency_ms": 20.5,
        "ram_bytes": 12345,
        "flash_bytes": 45678,
        "layers": [
            {"name": "conv", "op": "CONV_2D", "macs": 1000, "cycles": 750, "latency_ms": None},
            {"name": "fc", "op": "FULLY_CONNECTED", "macs": 10, "cycles": 250, "latency_ms": None},
        ],
        "environment": {"unicorn": "2.1"},
    },
}


class Reader(HTMLParser):
    """The page's tags, attributes and text; fails on tags that do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + "\n"


def test_the_table_ranks_what_keeps_the_limits_and_counts_the_rest() -> None:
    lines = render_table(TRIALS, LIMITS).splitlines()
    assert lines[0].split("  ")[0] == "trial"
    assert [line.split()[:3] for line in lines[1:3]] == [["1", "90.0", "%"], ["0", "80.0", "%"]]
    assert len({len(line) for line in lines[:3]}) == 1
    assert "12,345" in lines[1] and "–" in lines[1]  # the device did not tell flash
    assert "cpu:latency_ms" in lines[0]
    assert lines[3] == ""
    assert "3 trained and scored, 1 over a limit (not trained), 0 stopped early (the worse half), 1 failed" in lines[5]
    assert "train 40.0, profile 1.0" in lines[6]


def test_the_table_is_cut_and_says_so() -> None:
    assert "… and 1 more within the limits" in render_table(TRIALS, LIMITS, top=1)
    assert render_table([], ()).startswith("no candidate within the limits yet")


def test_the_page_holds_the_figures_and_how_they_were_obtained() -> None:
    text = Reader(render_html(SETTINGS, TRIALS, WINNER)).text
    for figure in (
        "91.1 %",
        "92.0 %",
        "20.500 ms",
        "12,345 bytes",
        "45,678 bytes",
        "75.0 %",
        "Emulated:",
        "unicorn 2.1",
    ):
        assert figure in text
    assert "Measured:" not in text


def test_the_page_needs_nothing_but_itself() -> None:
    page = render_html(SETTINGS, TRIALS, WINNER)
    read = Reader(page)
    assert not read.tags & {"script", "link", "img", "iframe", "object"}
    assert not {name for name, _ in read.attributes} & {"src", "href", "style", "onload", "onclick"}
    assert not re.search(r"url\(|@import", page)
    assert set(re.findall(r"https?://[^\"]*", page)) == {"http://www.w3.org/2000/svg"}  # a name, never fetched


@pytest.mark.parametrize("trials", [[], TRIALS[3:], TRIALS])
@pytest.mark.parametrize("winner", [None, {}, {"accuracy": 0.5}, WINNER])
def test_a_page_of_any_run(tmp_path: Path, trials: list[Trial], winner: dict[str, Any] | None) -> None:
    write_html(tmp_path / "report.html", SETTINGS, trials, winner)
    Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


@given(st.text())
def test_every_text_is_escaped(text: str) -> None:
    hostile = text + "<script>alert(1)</script>\"'&</title></style>"
    settings = {**SETTINGS, "device": hostile, "dataset": hostile, "dataset_options": {hostile: hostile}}
    layer = {"name": hostile, "op": hostile, "macs": 1, "cycles": 1}
    measurement = {"how": hostile, "latency_ms": 1.0, "layers": [layer], "environment": {hostile: hostile}}
    page = render_html(settings, TRIALS, {"labels": [hostile], "measurement": measurement})
    assert "script" not in Reader(page).tags
    assert "<script" not in page


costs = st.floats(0, 1e8)
points = st.lists(
    st.builds(Point, costs, st.floats(0, 1), st.text(max_size=5), st.booleans(), st.booleans()), max_size=8
)
SVG = "{http://www.w3.org/2000/svg}"


@given(points, st.none() | st.floats(1e-3, 1e9))
def test_a_picture_of_any_points_is_xml_and_keeps_its_frame(points: list[Point], limit: float | None) -> None:
    printable = [Point(p.cost, p.accuracy, repr(p.name), p.within_limits, p.is_winner) for p in points]
    root = ElementTree.fromstring(scatter(printable, "latency", "ms", limit))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    dots = [dot for dot in root.iter(f"{SVG}circle") if dot.attrib["class"] != "winner"]
    assert len(dots) == len(points)
    for element in root.iter():
        for name, extent in (("cx", width), ("x", width), ("cy", height), ("y", height)):
            assert 0 <= float(element.attrib.get(name, 0)) <= extent
    for dot, front in ((dot, dot.attrib["class"] == "front") for dot in dots):
        assert front or dot.attrib["class"] in ("dot", "over")


def test_better_is_higher_and_dearer_is_further_right() -> None:
    root = ElementTree.fromstring(scatter([Point(1.0, 0.5, "a"), Point(2.0, 0.9, "b")], "latency", "ms", 1.5))
    a, b = root.iter(f"{SVG}circle")
    assert float(a.attrib["cx"]) < float(b.attrib["cx"]) and float(a.attrib["cy"]) > float(b.attrib["cy"])
    (limit,) = (path for path in root.iter(f"{SVG}path") if path.attrib["class"] == "limit")
    at = float(re.match(r"M([\d.]+)", limit.attrib["d"])[1])  # type: ignore[index]
    assert at == pytest.approx((float(a.attrib["cx"]) + float(b.attrib["cx"])) / 2, abs=0.11)


def test_a_limit_far_out_is_named_and_not_drawn() -> None:
    picture = scatter([Point(1.0, 0.5, "a")], "latency", "ms", 100)
    assert "limit 100 ms lies beyond" in picture and 'class="limit"' not in picture


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["C"]), max_size=8),
            st.lists(st.floats(-1e6, 1e6), max_size=12),
        ),
        max_size=4,
    )
)
def test_a_picture_of_any_curves_is_xml_and_keeps_its_frame(lines: list[tuple[str, list[float]]]) -> None:
    curves = [Curve(name, list(range(1, len(y) + 1)), y, [(value - 1, value + 1) for value in y]) for name, y in lines]
    picture = ElementTree.fromstring(draw(curves, "<&>", "trials", "accuracy"))
    width, height = (float(number) for number in picture.attrib["viewBox"].split()[2:])
    for path in picture.iter("{http://www.w3.org/2000/svg}path"):
        if path.get("fill") or path.get("stroke"):
            numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path.attrib["d"].split("h16")[0])]
            assert all(0 <= x <= width for x in numbers[::2]) and all(0 <= y <= height for y in numbers[1::2])


def history_of(edited: int) -> list[Trial]:
    """A first network and `edited` more, each made from the one before by one edit."""
    space, network_, trials = SearchSpace(), seed_architecture(10), []
    for number in range(edited + 1):
        edits: tuple[Edit, ...] = ()
        parent = None
        if number:
            parent, edits = network_.id, (Scale(1, "channels", space.channels[number]),)
            network_ = apply(network_, edits[0], space)
        resources = {"latency_ms": 10.0 + number, "cpu:latency_ms": 0.1, "ram_bytes": 9e3, "flash_bytes": 3e4}
        evaluation = Evaluation("ok", 0.5, 0.5 + 0.01 * number, resources)
        proposal = Proposal(number, network_, parent, edits, {"entropy": 1.5} if number else {})
        trials.append(Trial(number, proposal, evaluation, float(number)))
    return trials


def test_the_family_of_the_winner_is_told_from_the_first_network_on() -> None:
    trials = history_of(5)
    line = family(trials, trials[3].proposal.architecture.id)
    assert [step.trial.number for step in line] == [0, 1, 2, 3]
    assert [step.done for step in line] == [
        "first network", *(f"channels of layer 1 becomes {SearchSpace().channels[number]}" for number in (1, 2, 3))
    ]  # fmt: skip
    assert family(trials, "unknown") == []
    page = render_html(SETTINGS, trials, {"architecture": trials[3].proposal.architecture.as_json()})
    assert "The winner" in page and "channels of layer 1 becomes 20" in page
    for title in ("Accuracy over the trials", "Resources over the trials", "Pareto front over time", "indecision"):
        assert title in page


def test_edits_in_words() -> None:
    conv = Layer("conv2d", (2,), 3, 5, (2, 1), 1, 24)
    assert describe(Insert(conv)) == "insert conv2d (3 × 5, stride 2 × 1, 24 channels) behind layer 2"
    assert describe(Insert(Layer("add", (3, 0)))) == "insert add behind layer 3 with the input"
    assert describe(Insert(Layer("dense", (4,), channels=16))) == "insert dense (16 units) behind layer 4"
    assert describe(Remove(7)) == "remove layer 7"
    assert describe(Scale(2, "stride", (2, 2))) == "stride of layer 2 becomes 2 × 2"


def test_a_search_that_kept_no_limit_has_no_curves_of_accuracy() -> None:
    over = [trial(number, None, 50.0, "over_limit") for number in range(3)]
    found = "".join(pictures(over, LIMITS))
    assert "Resources over the trials" in found and "Accuracy over the trials" not in found
    assert pictures([], LIMITS) == []
