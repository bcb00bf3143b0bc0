"""Free Spoken Digits: files named `{digit}_{speaker}_{n}.wav`, split by speaker so that a test meets voices unheard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from rena_kws.datasets.base import as_names, check_labels, existing
from rena_kws.datasets.recordings import RecordedDataset, Recording
from rena_kws.datasets.splitting import by_speaker, check_known
from rena_kws.errors import DatasetError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_NAME = re.compile(r"(\d)_(.+)_\d+\.wav", re.IGNORECASE)


class SpokenDigits(RecordedDataset):
    """`spoken-digits:PATH`. Who is in neither list of speakers is trained on; `keywords` picks some of the digits.

    Left out, `test_speakers` is the last speaker alphabetically and `validation_speakers` the last but that.
    """

    def __init__(
        self,
        path: str | None,
        *,
        keywords: str | Sequence[str] = DIGITS,
        test_speakers: str | Sequence[str] | None = None,
        validation_speakers: str | Sequence[str] | None = None,
    ) -> None:
        root = existing(path, "spoken-digits", "a folder of recordings named DIGIT_SPEAKER_NUMBER.wav")
        super().__init__(root / "recordings" if (root / "recordings").is_dir() else root)
        self._keywords = as_names(keywords, "keywords")
        check_known(self._keywords, DIGITS, "keywords", "spoken-digits")
        check_labels(self._keywords, "option keywords")
        self._test = None if test_speakers is None else as_names(test_speakers, "test_speakers")
        self._validation = None if validation_speakers is None else as_names(validation_speakers, "validation_speakers")

    @property
    def labels(self) -> tuple[str, ...]:
        return self._keywords

    @cached_property
    def recordings(self) -> tuple[Recording, ...]:
        named = [(path, match) for path in sorted(self.root.glob("*")) if (match := _NAME.fullmatch(path.name))]
        if not named:
            raise DatasetError(f"files of spoken-digits are named DIGIT_SPEAKER_NUMBER.wav; {self.root} has none such")
        where = by_speaker((match[2] for _, match in named), self._test, self._validation, str(self.root))
        found = ((path, DIGITS[int(match[1])], match[2]) for path, match in named)
        return tuple(Recording(p, label, who, where[who]) for p, label, who in found if label in self._keywords)
