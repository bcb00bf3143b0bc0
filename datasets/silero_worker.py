"""Speaks with one of Silero's models. A program of its own (see speech_process.py): PyTorch and TensorFlow do not share
a process well, and one thread a process is the quickest for words.

    stdin   {"model": path, "utterances": [[speaker, text, tempo in per cent of its own], …]}
    stdin   {"model": path}    answered by {"speakers": [name, …]}
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

RATE_HZ = 24000


def main() -> None:
    job = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    import numpy as np
    import torch
    from torch.package import PackageImporter  # type: ignore[attr-defined]

    torch.set_num_threads(1)
    try:
        model: Any = PackageImporter(job["model"]).load_pickle("tts_models", "model")
    except (RuntimeError, OSError, KeyError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{job['model']} is no model of Silero's: {str(error).splitlines()[0]}")
    if "utterances" not in job:
        print(json.dumps({"speakers": model.speakers}))
        return
    sounds = []
    for speaker, text, tempo in job["utterances"]:
        if strange := sorted(set(text.lower()) - set(model.symbols)):  # The model would leave them out and say the rest
            sys.exit(f"Silero has no sound for {''.join(strange)!r} in {text!r}")
        ssml = f'<speak><prosody rate="{tempo}%">{text}</prosody></speak>'
        try:
            sound = model.apply_tts(ssml_text=ssml, speaker=speaker, sample_rate=RATE_HZ)
        except Exception as error:  # Whatever a packaged model raises for what it cannot say
            sys.exit(f"Silero's {speaker} cannot say {text!r}: {type(error).__name__} {error}")
        sounds.append((sound.numpy() * 32767).clip(-32768, 32767).astype("<i2"))
    out = sys.stdout.buffer
    out.write(json.dumps({"rate_hz": RATE_HZ, "samples": [len(sound) for sound in sounds]}).encode() + b"\n")
    out.write(np.concatenate(sounds).tobytes())


if __name__ == "__main__":
    main()
