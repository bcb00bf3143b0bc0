"""What is in a dataset, and whether its splits are really apart."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import combinations
from typing import Any

import numpy as np

from rena_kws.datasets.base import SPLITS, Dataset, Progress


def describe(dataset: Dataset, progress: Progress | None = None) -> dict[str, Any]:
    """Plain JSON types: `labels`, `splits` (clips, by_label, speakers, duration_s), `skipped` (file → why), `warnings`.

    Reads every clip. `duration_s` is [least, median, most] of the recordings before they became one-second clips.
    """
    total = sum(dataset.count(split) for split in SPLITS)
    splits: dict[str, dict[str, Any]] = {}
    speakers: dict[str, set[str]] = {}
    sounds: dict[str, dict[bytes, str]] = {}
    done = 0
    for split in SPLITS:
        by_label: Counter[str] = Counter()
        durations: list[float] = []
        speakers[split], sounds[split] = set(), {}
        for clip in dataset.split(split) if dataset.count(split) else ():
            by_label[clip.label] += 1
            durations.append(clip.duration_s)
            if clip.speaker:
                speakers[split].add(clip.speaker)
            if clip.audio.any():  # Perfect silence is the same everywhere and gives nothing away.
                sounds[split][hashlib.sha1(clip.audio.tobytes()).digest()] = clip.source
            done += 1
            if progress and done % 100 == 0:
                progress(done, total)
        splits[split] = {
            "clips": len(durations),
            "by_label": {label: by_label[label] for label in dataset.labels},
            "speakers": sorted(speakers[split]),
            "duration_s": [round(float(v), 3) for v in np.percentile(durations, (0, 50, 100))] if durations else [],
        }
    return {
        "labels": list(dataset.labels),
        "splits": splits,
        "skipped": dict(dataset.skipped),
        "warnings": [*dataset.notes, *_leaks(speakers, sounds), *_gaps(splits)],
    }


def _leaks(speakers: dict[str, set[str]], sounds: dict[str, dict[bytes, str]]) -> list[str]:
    found = []
    for one, other in combinations(SPLITS, 2):
        if same := sorted(speakers[one] & speakers[other]):
            found.append(f"leakage: {_listing(same, 'speaker')} both in {one} and {other}")
        if twice := sorted(
            f"{sounds[one][key]} = {sounds[other][key]}" for key in sounds[one].keys() & sounds[other].keys()
        ):
            found.append(f"leakage: {_listing(twice, 'identical clip')} both in {one} and {other}")
    return found


def _gaps(splits: dict[str, dict[str, Any]]) -> list[str]:
    missing: dict[str, list[str]] = defaultdict(list)
    for split, about in splits.items():
        missing[split] = [label for label, count in about["by_label"].items() if not count]
    return [f"the {split} split has no clip of {', '.join(labels)}" for split, labels in missing.items() if labels]


def render(description: dict[str, Any]) -> str:
    """What `describe` found as a table for people."""
    splits = description["splits"]
    width = max(len(label) for label in (*description["labels"], "recordings"))
    lines = [" " * width + "".join(f"{split:>12}" for split in splits)]
    for label in description["labels"]:
        lines.append(f"{label:<{width}}" + "".join(f"{about['by_label'][label]:>12}" for about in splits.values()))
    lines.append(f"{'clips':<{width}}" + "".join(f"{about['clips']:>12}" for about in splits.values()))
    lines.append(f"{'speakers':<{width}}" + "".join(f"{len(about['speakers']):>12}" for about in splits.values()))
    for split, about in splits.items():
        if about["duration_s"]:
            least, median, most = about["duration_s"]
            lines.append(f"{split}: recordings of {least:g} to {most:g} s, median {median:g} s")
        if about["speakers"]:
            lines.append(f"{split}: {_listing(about['speakers'], 'speaker', 8)}")
    if description["skipped"]:
        reasons = [f"{name}: {reason}" for name, reason in description["skipped"].items()]
        lines.append(f"skipped: {_listing(reasons, 'file')}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in description["warnings"])])


def _listing(names: list[str], what: str, most: int = 3) -> str:
    shown = ", ".join(names[:most]) + (", …" if len(names) > most else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({shown})"
