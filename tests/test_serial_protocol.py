"""The protocol's lines as data, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.profilers.serial_board import protocol
from rena_kws.profilers.serial_board.protocol import BadReply

INFER = [
    "m-warmup-start-2", "m-warmup-done", "m-infer-start-10", "m-lap-us-1000", "m-lap-us-3500", "m-infer-done",
    "m-results-[0.100,-0.900]",
]  # fmt: skip


@given(st.binary(min_size=1, max_size=300))
def test_data_goes_in_pieces_that_fit_the_firmwares_line(data: bytes) -> None:
    load, *pieces = protocol.data_commands(data)
    assert load == f"db load {len(data)}"
    assert all(len(piece) <= 80 for piece in pieces)
    assert bytes.fromhex("".join(piece.removeprefix("db ") for piece in pieces)) == data
    assert all(len(piece) == 3 + 62 for piece in pieces[:-1])


def test_a_window_is_read() -> None:
    window = protocol.window(INFER, 10, 2)
    assert (window.elapsed_us, window.latency_us, window.results) == (2500, 250.0, (0.1, -0.9))


@pytest.mark.parametrize("missing", range(len(INFER)))
def test_a_window_without_a_line_is_refused(missing: int) -> None:
    with pytest.raises(BadReply):
        protocol.window(INFER[:missing] + INFER[missing + 1 :], 10, 2)
    with pytest.raises(BadReply):
        protocol.window([*INFER[:missing], INFER[missing], *INFER[missing:]], 10, 2)


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ("m-infer-start-10", "m-infer-start-1"),
        ("m-warmup-start-2", "m-warmup-start-20"),
        ("m-lap-us-1000", "m-lap-us-10?0"),
        ("m-results-[0.100,-0.900]", "m-results-[0.100,-0.9.0]"),
        ("m-results-[0.100,-0.900]", "m-results-[0.100,nan]"),
        ("m-results-[0.100,-0.900]", "m-results-[0.100,-0.900"),
        ("m-infer-done", "e-[Inference iterations must be >0]"),
    ],
)
def test_a_damaged_window_is_refused(find: str, replace: str) -> None:
    with pytest.raises(BadReply):
        protocol.window([replace if line == find else line for line in INFER], 10, 2)


def test_energy_mode_is_named() -> None:
    with pytest.raises(BadReply, match="energy mode"):
        protocol.window([line for line in INFER if "lap" not in line], 10, 2)


LINE = st.one_of(
    st.text(st.characters(max_codepoint=127)),
    st.builds(
        "".join,
        st.lists(st.sampled_from([*INFER, "m-lap-us-", "m-results-[", "]", "9" * 5000, "1_0", ",", "-", "e-["])),
    ),
)


@given(st.lists(LINE))
def test_whatever_comes_is_read_or_refused(lines: list[str]) -> None:
    for read in (
        protocol.name, protocol.profile, protocol.sha256, protocol.buffer, protocol.results, protocol.restarted,
        lambda lines: protocol.window(lines, 10, 2), lambda lines: protocol.check_load("db 00", lines, True),
    ):  # fmt: skip
        with contextlib.suppress(BadReply):
            read(lines)


def test_names() -> None:
    assert protocol.name(["m-name-dut-[Vendor 1]"]) == ("dut", "Vendor 1")
    assert protocol.name(["m-name-io-[x]"]) == ("io", "x")
    assert protocol.name(["m-name-dut-[]"]) == ("dut", "")
    for line in ("m-name-dut-[x", "xm-name-dut-[x]", "name-dut-[x]", "m-name-[x]"):
        assert protocol.name([line]) is None


def test_what_a_board_says_of_itself() -> None:
    assert protocol.profile(["m-profile-[x y]", "m-model-[kws01]"]) == ("x y", "kws01")
    assert protocol.profile(["e-[Unknown command: profile]"]) == (None, None)
    assert protocol.sha256(["help", f"m-sha256-[{'0a' * 32}]"]) == "0a" * 32
    assert protocol.sha256(["help"]) is None
    with pytest.raises(BadReply, match="m-profile"):
        protocol.profile(["m-name-dut-[x]"])
    for line in ("m-name-dut-[x]", f"m-sha256-[{'0a' * 31}]", f"m-sha256-[{'0?' * 32}]"):
        with pytest.raises(BadReply, match="damaged or foreign"):
            protocol.sha256([line])


def test_a_buffer_is_read_from_several_lines() -> None:
    assert protocol.buffer(["m-buffer-00-ff", "m-buffer-10", ""]) == b"\0\xff\x10"
    assert protocol.buffer(["e-[Unknown command: db]"]) is None
    for line in ("m-buffer-0-ff", "m-buffer-00--ff", "m-buffer-00-f?", "m-buffer-"):
        with pytest.raises(BadReply, match="damaged"):
            protocol.buffer([line])


@pytest.mark.parametrize(
    ("command", "lines", "last", "complaint"),
    [
        ("db load 48", ["m-[Expecting 4 bytes]"], False, "Expecting 48"),
        ("db load 48", [], False, "but nothing"),
        # The public firmware says so without an e-[...] line.
        ("db load 48", ["Supplied buffer size 48 exceeds maximum of 10"], False, "Supplied buffer size"),
        ("db 00", [], True, "lost on the way"),
        ("db 00", ["m-load-done"], False, "too early"),
        ("db 0", ["e-[Insufficent number of hex digits]"], False, "Insufficent"),
    ],
)
def test_a_load_that_went_wrong(command: str, lines: list[str], last: bool, complaint: str) -> None:
    with pytest.raises(BadReply, match=complaint):
        protocol.check_load(command, lines, last)
