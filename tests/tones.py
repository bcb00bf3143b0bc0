"""A dataset of tones, sweeps and hiss: three classes that a tiny network learns in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES = ("stop", "go", "_silence_")


def write_tones(path: Path) -> str:
    """Write it to an .npz file → the dataset's spec. 60 clips to train on, 24 each for validation and test."""
    rng = np.random.default_rng(0)
    time_s = np.arange(16_000) / 16_000
    split = np.repeat(["train", "validation", "test"], [60, 24, 24])
    labels = np.arange(len(split)) % len(CLASSES)
    pitch_hz = rng.uniform(300, 600, len(split))[:, None]
    tone = np.sin(2 * np.pi * pitch_hz * time_s)
    sweep = np.sin(2 * np.pi * pitch_hz * (1 + 3 * time_s) * time_s)
    hiss = 0.05 * rng.standard_normal(tone.shape)
    audio = 0.5 * np.stack([tone, sweep, hiss])[labels, np.arange(len(split))] + 0.01 * rng.standard_normal(tone.shape)
    np.savez(path, x=audio.astype(np.float32), y=labels, labels=np.array(CLASSES), split=split)
    return f"arrays:{path}"
