"""Synthetic speech: repeatable across processes, voices apart, any words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

import numpy as np
import pytest
from voice_pitch import pitch_hz

from rena_kws.datasets import espeak
from rena_kws.datasets.base import SILENCE, SPLITS, UNKNOWN, Clip, open_dataset
from rena_kws.datasets.espeak import ENGLISH
from rena_kws.datasets.other_words import CrossedWords, NearMisses, other_words
from rena_kws.datasets.phonemes import nearly_holds
from rena_kws.datasets.pronunciations import Pronunciations
from rena_kws.datasets.synthetic_speech import OTHERS
from rena_kws.datasets.utterance import Utterance
from rena_kws.errors import DatasetError, UnavailableError
from rena_kws.testing.dataset_contract import check_dataset

SMALL = {"keywords": "lamp,fan", "clips_per_word": 10}


@pytest.fixture(scope="module")
def clips() -> dict[str, list[Clip]]:
    dataset = open_dataset("synthetic", SMALL)
    return {split: list(dataset.split(split)) for split in SPLITS}


def test_contract() -> None:
    check_dataset(lambda: open_dataset("synthetic", SMALL), clips=50)


def test_the_twelve_classes_stand_in_the_order_of_mlperf_tiny() -> None:
    """The order that kws01/y_labels.csv numbers: Down_0, Go_1 … Yes_9, Silence_10, Unknown_11."""
    order = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", SILENCE, UNKNOWN)
    assert open_dataset("synthetic").labels == order
    assert open_dataset("synthetic", {"keywords": "lamp,fan"}).labels == ("lamp", "fan", SILENCE, UNKNOWN)


def test_every_class_has_its_clips_and_no_voice_is_in_two_splits(clips: dict[str, list[Clip]]) -> None:
    for split, count in {"train": 10, "validation": 2, "test": 2}.items():
        for label in ("lamp", "fan", SILENCE, UNKNOWN):
            times = OTHERS if (split, label) == ("train", UNKNOWN) else 1
            assert sum(clip.label == label for clip in clips[split]) == times * count
    people = {split: {clip.speaker for clip in clips[split] if clip.speaker} for split in SPLITS}
    assert not people["train"] & people["validation"] and not people["train"] & people["test"]
    assert not people["validation"] & people["test"]
    assert all(not clip.speaker for clip in clips["train"] if clip.label == SILENCE)


def test_unknown_words_are_not_keywords(clips: dict[str, list[Clip]]) -> None:
    spoken = {clip.source.split(" by ")[0] for clip in clips["train"] if clip.label == UNKNOWN}
    assert len(spoken) > 3 and not spoken & {"lamp", "fan"}


def test_each_split_has_its_own_other_words_and_training_has_near_misses() -> None:
    dataset = open_dataset("synthetic", {"keywords": "lamp,fan", "clips_per_word": 100})
    said: dict[str, set[str]] = {}
    for split in SPLITS:
        said[split] = {clip.source.split(" by ")[0] for clip in dataset.split(split) if clip.label == UNKNOWN}
    words = {split: {text for text in texts if not text.startswith("[[")} for split, texts in said.items()}
    assert all(words.values()) and not words["train"] & words["test"] and not words["train"] & words["validation"]
    assert words["test"] == said["test"] and words["validation"] == said["validation"]
    assert 30 < len(said["train"] - words["train"]) < len(said["train"])


def test_beside_phrases_more_of_what_is_said_is_made_up() -> None:
    shares = []
    for keywords in ("lamp,fan", "lamp on,fan on"):
        dataset = open_dataset("synthetic", {"keywords": keywords, "clips_per_word": 100})
        unknown = [clip.source for clip in dataset.split("train") if clip.label == UNKNOWN]
        shares.append(np.mean([source.startswith("[[") for source in unknown]))
    assert 0.2 < shares[0] < 0.4 and 0.5 < shares[1] < 0.7


@pytest.mark.parametrize(("language", "keywords"), [("en", ("stop", "hey rena")), ("de", ("eins", "guten morgen"))])
def test_a_near_miss_differs_from_a_keyword_in_one_sound(language: str, keywords: tuple[str, ...]) -> None:
    words = other_words(language, keywords)
    near = NearMisses(language, keywords, words)
    spoken = [without_marks(sounds) for sounds in espeak.phonemes(keywords, language)]
    rng = np.random.default_rng(0)
    for _ in range(200):
        sounds = without_marks(near.draw(rng).strip("[]").split("|"))
        changes = [
            sum(a != b for a, b in zip(sounds, keyword, strict=True)) if len(sounds) == len(keyword) else 1
            for keyword in spoken
            if sounds in (keyword[1:], keyword) or len(sounds) == len(keyword)
        ]
        assert min(changes) == 1 and sounds not in spoken


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_crossed_word_is_a_beginning_and_an_end(language: str) -> None:
    keywords = ("eins", "licht an") if language == "de" else ("one", "hey rena")
    words = other_words(language, keywords)
    crossed = CrossedWords(language, keywords, words)
    spoken = [without_marks(sounds) for sounds in espeak.phonemes((*keywords, *words), language)]
    rng = np.random.default_rng(0)
    drawn = {crossed.draw(rng) for _ in range(300)}
    assert len(drawn) > 150
    for text in drawn:
        sounds = without_marks(text.strip("[]").split("|"))
        assert any(
            any(word[:cut] == sounds[:cut] for word in spoken) and any(ends(word, sounds[cut:]) for word in spoken)
            for cut in range(1, len(sounds))
        )
        assert not any("|".join(keyword) in "|".join(sounds) for keyword in spoken[: len(keywords)])


def ends(word: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return len(end) <= len(word) and word[len(word) - len(end) :] == end


def test_a_pronunciation_is_one_speakers_and_never_another_word() -> None:
    keywords = ("three", "thirty", "five", "marvin", "tree")
    pronunciations = Pronunciations("en", keywords, ("first",))
    rng = np.random.default_rng(0)
    drawn = {keyword: {pronunciations.draw(keyword, rng) for _ in range(200)} for keyword in keywords}
    assert drawn["marvin"] == {"marvin", "[[m|'A@|v|i:|n]]"} and drawn["tree"] >= {"tree", "[[t|R|'I]]"}
    assert {"five", "[[f|'aI|f]]"} == drawn["five"]
    tree = without_marks(espeak.phonemes(["tree"], "en")[0])
    for text in drawn["three"] - {"three"}:
        sounds = without_marks(text.strip("[]").split("|"))
        assert len(sounds) == 3 and sounds != tree and sounds[0] in ("T", "s", "t", "f")


def test_training_alone_may_have_other_pronunciations() -> None:
    small = {"keywords": "three,eight", "clips_per_word": 50}
    plain, accented = (open_dataset(f"synthetic?closed=yes&accented={how}", small) for how in ("no", "yes"))
    assert plain.fingerprint != accented.fingerprint
    said = {split: [clip.source.split(" by ")[0] for clip in accented.split(split)] for split in SPLITS}
    assert set(said["test"]) == set(said["validation"]) == {"three", "eight"}
    assert 5 < sum(text.startswith("[[") for text in said["train"]) < 50
    assert not any(clip.source.startswith("[[") for clip in plain.split("train"))


def without_marks(sounds: Iterable[str]) -> tuple[str, ...]:
    return tuple(bare for sound in sounds if (bare := sound.lstrip("',%=|")))


def test_a_closed_set_has_keywords_alone() -> None:
    dataset = open_dataset("synthetic?closed=yes", SMALL)
    assert dataset.labels == ("lamp", "fan") and dataset.count("train") == 20
    assert {clip.label for clip in dataset.split("test")} == {"lamp", "fan"}


def test_numbers_that_hold_a_keyword_are_not_other_words() -> None:
    others = other_words("de", ("zwei", "lampe"))
    assert {"3", "10", "100"} <= set(others) and not {"2", "22", "102", "32"} & set(others)
    assert "zero" in other_words("en", ("one",)) and "zero" not in other_words("en", ("Zero",))
    assert "road" in other_words("en", ("one",)) and "road" not in other_words("en", ("rode",))


@pytest.mark.parametrize(
    ("language", "keywords"),
    [
        ("de", "null,eins,zwei,drei,vier,fünf,sechs,sieben,acht,neun"),  # eSpeak NG's 8 is not quite its "acht"
        ("tr", "sıfır,bir,iki,üç,dört,beş,altı,yedi,sekiz,dokuz"),
        ("vi", "không,một,hai,ba,bốn,năm,sáu,bảy,tám,chín"),
        ("ko", "영,일,이,삼,사,오,육,칠,팔,구"),
        ("cmn", "零,一,二,三,四,五,六,七,八,九"),
    ],
)
def test_beside_the_digits_of_a_language_other_words_are_none_of_them(language: str, keywords: str) -> None:
    others = other_words(language, keywords.split(","))
    assert not set(others) & set("0123456789")
    assert len(set(others)) == len(others) >= 40  # few numbers are without digits: the rest is made up
    dataset = open_dataset("synthetic", {"keywords": keywords, "language": language, "clips_per_word": 5})
    unknown = [clip.source for split in SPLITS for clip in dataset.split(split) if clip.label == UNKNOWN]
    assert not [source for source in unknown if source.startswith("[['a|x|t]]") or source.startswith("8 ")]


def test_a_word_and_its_number_are_known_as_one_and_other_words_are_not() -> None:
    pairs = espeak.phonemes(["siete", "7", "seis", "6", "setenta"], "es")
    assert nearly_holds(pairs[1], pairs[0]) and nearly_holds(pairs[3], pairs[2])
    assert not nearly_holds(pairs[1], pairs[2]) and not nearly_holds(pairs[4], pairs[2])
    assert nearly_holds(("h", "a"), ("h", "a", "j")) and nearly_holds(("h", "a:I"), ("h", "a", "j"))
    assert not nearly_holds(("h", "a"), ("h", "a", "t")) and not nearly_holds(("s",), ("@r51",))


def test_words_of_another_language_are_spoken_by_its_voices() -> None:
    dataset = open_dataset("synthetic", {"keywords": "licht an,stopp", "language": "de", "clips_per_word": 5})
    sources = [clip.source for clip in dataset.split("test") if clip.label != SILENCE]
    assert sources and all(" by de+" in source for source in sources)
    with pytest.raises(DatasetError, match="no language 'xx'; it has af, am"):
        list(open_dataset("synthetic", {"language": "xx"}).split("test"))


def test_words_stand_out_of_the_noise(clips: dict[str, list[Clip]]) -> None:
    for clip in clips["train"]:
        if clip.label not in (SILENCE, UNKNOWN):
            loudness = np.abs(clip.audio).reshape(-1, 800).max(axis=1)
            assert loudness.max() > 2 * np.sort(loudness)[4]


def test_the_same_batch_sounds_the_same_in_another_python() -> None:
    """A fresh interpreter, other hash seeds, and voices with breath noise (which eSpeak seeds with the clock)."""
    program = (
        "import hashlib; from rena_kws.datasets import espeak; from rena_kws.datasets.utterance import Utterance; "
        "u = [Utterance('yes', v, 'en-us', 50, 170) for v in ('f2', 'Alicia', 'sandro', 'm1')]; "
        "print(hashlib.sha256(b''.join(s.tobytes() for s in espeak.speak(u, 1))).hexdigest())"
    )
    one, other = (subprocess.check_output([sys.executable, "-c", program], text=True).strip() for _ in range(2))
    assert one == other and len(one) == 64


def test_batches_do_not_depend_on_how_many_run_at_a_time() -> None:
    plan = [Utterance("go", voice, "en", 50, 170) for voice in list(espeak.voices("en"))[: espeak.BATCH + 5]]
    for one, other in zip(espeak.speak(plan, 1), espeak.speak(plan, 3), strict=True):
        assert np.array_equal(one, other)


def test_every_accent_and_voice_speaks_and_pitch_and_rate_are_heard() -> None:
    plan = [Utterance("stop", voice, "en", 50, 170) for voice in espeak.voices("en")]
    plan += [Utterance("stop", "m1", accent, 50, 170) for accent in ENGLISH]
    sounds = [sound.tobytes() for sound in espeak.speak(plan, 2)]
    assert all(sounds) and len(set(sounds)) > 0.95 * len(plan)
    slow, fast = espeak.speak([Utterance("stop", "m1", "en", 50, rate) for rate in (120, 220)], 1)
    assert len(slow) > 1.3 * len(fast)
    low, high = espeak.speak([Utterance("ah", "m1", "en", pitch, 170) for pitch in (20, 80)], 1)
    assert pitch_hz(high) > 1.2 * pitch_hz(low)


def test_a_seed_changes_the_clips_and_the_fingerprint() -> None:
    one, other = (open_dataset("synthetic", {**SMALL, "seed": seed}) for seed in (0, "1"))
    assert one.fingerprint != other.fingerprint
    assert not np.array_equal(next(one.split("test")).audio, next(other.split("test")).audio)


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("synthetic:/tmp", {}, "takes no path"),
        ("synthetic", {"keywords": "yes,,no"}, "not empty and differ"),
        ("synthetic", {"keywords": "yes,yes"}, "not empty and differ"),
        ("synthetic", {"keywords": "yes,!?"}, r"can be spoken, not '!\?'"),
        ("synthetic", {"keywords": "_unknown_"}, "can be spoken"),
        ("synthetic", {"keywords": 3}, "names separated by commas"),
        ("synthetic", {"clips_per_word": 2}, "at least 5, not 2"),
        ("synthetic", {"clips_per_word": "many"}, "not 'many'"),
        ("synthetic", {"closed": "maybe"}, "closed is yes or no, not 'maybe'"),
        ("synthetic?closed=yes", {"keywords": "yes"}, "at least two classes"),
        ("synthetic", {"more_voices": "festival"}, "more_voices takes flite, piper, silero, not 'festival'"),
        ("synthetic", {"voices": "m1"}, "has no option 'voices' .*keywords"),
    ],
)
def test_bad_options_get_one_line(spec: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        open_dataset(spec, options)
    assert "\n" not in str(caught.value)


def test_a_failing_synthesiser_is_named() -> None:
    with pytest.raises(UnavailableError, match="no voice 'xx"):
        list(espeak.speak([Utterance("yes", "m1", "xx-nowhere", 50, 170)], 1))
