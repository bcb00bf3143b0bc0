"""The store keeps what it acknowledged, and nothing else, whatever happens to process or disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rena_kws.artifacts import Evaluation, Trained
from rena_kws.controller.base import Proposal
from rena_kws.errors import RunFolderError
from rena_kws.spec.architecture import Architecture, Layer
from rena_kws.store import JournalStore, MemoryStore, Store, Trial
from rena_kws.store.weights import WeightStore

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=12)


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """Any trial: names with line ends and other alphabets, figures of any size."""
    channels = draw(st.integers(1, 512))
    network = Architecture(draw(st.integers(2, 40)), (Layer("conv2d", (0,), channels=channels),))
    evaluation = Evaluation(
        status=draw(st.sampled_from(("ok", "over_limit", "stopped", "failed"))),
        reward=draw(finite),
        accuracy=draw(st.none() | finite),
        resources=draw(st.dictionaries(names, finite, max_size=4)),
        reason=draw(st.text()),
        seconds=draw(st.dictionaries(names, finite, max_size=3)),
        early_reward=draw(st.none() | finite),
    )
    log = draw(st.dictionaries(names, st.integers() | st.lists(finite, max_size=3) | names, max_size=3))
    proposal = Proposal(draw(st.integers(0, 10_000)), network, draw(st.none() | st.just("0" * 16)), (), log)
    return Trial(draw(st.integers(0, 10_000)), proposal, evaluation, draw(st.integers(0, 10**6)) / 8)


def trial(number: int) -> Trial:
    network = Architecture(12, (Layer("conv2d", (0,), channels=number + 1),))
    return Trial(number, Proposal(number, network), Evaluation("ok", 0.5, 0.5, {"params": 3.0}), number / 2)


@given(st.lists(trials(), max_size=5))
def test_replay_gives_what_was_appended_in_order(tmp_path_factory: pytest.TempPathFactory, some: list[Trial]) -> None:
    path = tmp_path_factory.mktemp("store") / "trials.jsonl"
    stores: list[Store] = [JournalStore(path), MemoryStore()]
    for store in stores:
        for one in some:
            store.append(one)
        assert store.replay() == some
    assert JournalStore(path).replay() == some  # another process' store sees the same


@given(st.data())
def test_a_file_cut_anywhere_keeps_every_whole_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("store") / "trials.jsonl"
    for number in range(3):
        JournalStore(path).append(trial(number))
    whole = path.read_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(cut)
    kept = [trial(number) for number in range(cut.count(b"\n"))]
    assert JournalStore(path).replay() == kept
    JournalStore(path).append(trial(7))
    assert JournalStore(path).replay() == [*kept, trial(7)]


@pytest.mark.parametrize(
    "damaged",
    [b"{}", b"[1]", b"", b"\xff\xfe", b'{"number": 1}', b"not json", b"\x00" * 40],
    ids=["empty object", "list", "empty line", "no UTF-8", "half an object", "text", "zeros"],
)
def test_a_damaged_middle_line_is_named(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "trials.jsonl"
    for number in range(3):
        JournalStore(path).append(trial(number))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damaged, *lines[2:]]))
    with pytest.raises(RunFolderError, match="line 2 is damaged") as caught:
        JournalStore(path).replay()
    assert "\n" not in str(caught.value)


def test_a_line_that_is_no_valid_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    data = trial(0).as_json()
    data["proposal"]["architecture"]["classes"] = 1
    path.write_text(json.dumps(data) + "\n")
    with pytest.raises(RunFolderError, match="line 1 is damaged"):
        JournalStore(path).replay()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "trials.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunFolderError, match="No space left on device; the trials before are kept"):
        JournalStore(tmp_path / "trials.jsonl").append(trial(0))


FILL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store import trial
from rena_kws.errors import RunFolderError
from rena_kws.store import JournalStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = JournalStore(Path(sys.argv[1]))
store.append(trial(0))
resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1]).stat().st_size + 50,) * 2)
try:
    store.append(trial(1))
except RunFolderError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_disk_that_fills_in_the_middle_of_a_line_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    here = str(Path(__file__).parent)
    run = subprocess.run([sys.executable, "-c", FILL, str(path), here], capture_output=True, text=True, check=True)
    assert "cannot write" in run.stdout
    assert not path.read_bytes().endswith(b"\n")
    store = JournalStore(path)
    assert store.replay() == [trial(0)]
    store.append(trial(1))
    assert store.replay() == [trial(0), trial(1)]


def learnt(channels: int) -> Trained:
    rng = np.random.default_rng(channels)
    kernel = rng.normal(size=(3, 3, 1, channels)).astype(np.float32)
    network = Architecture(2, (Layer("conv2d", (0,), channels=channels),))
    return Trained(network, {"l1_conv2d": (kernel,), "l1_conv2d_bn": (kernel[0, 0, 0], kernel[1, 1, 0])})


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    WeightStore(tmp_path / "weights").save(kept := learnt(5))
    found = WeightStore(tmp_path / "weights").load(kept.architecture.id)
    assert found is not None and found.architecture == kept.architecture
    assert list(found.weights) == list(kept.weights)
    for name, arrays in kept.weights.items():
        for array, other in zip(arrays, found.weights[name], strict=True):
            np.testing.assert_array_equal(array, other)


def test_weights_that_nobody_asks_for_are_forgotten_first(tmp_path: Path) -> None:
    store = WeightStore(tmp_path, most=2)
    ids = [learnt(channels).architecture.id for channels in (1, 2, 3)]
    store.save(learnt(1))
    store.save(learnt(2))
    assert store.load(ids[0])
    store.save(learnt(3))
    assert [store.load(id) is not None for id in ids] == [True, False, True]


def test_damaged_weights_are_no_weights(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    store.save(kept := learnt(4))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:200])
    assert store.load(kept.architecture.id) is None
    assert store.load("0" * 16) is None
