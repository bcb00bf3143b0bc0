"""Speaks with Piper's voices. A program of its own (see speech_process.py): Piper is under the GPL-3.

    stdin   {"utterances": [[file, number of the speaker, text, how many times as long as usual], …]}

The noise that a voice draws for its sound and its rhythm is switched off: it cannot be seeded, and the same text has to
sound the same each time.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    import numpy as np
    from piper import PiperVoice, SynthesisConfig

    voices: dict[str, Any] = {}
    sounds = []
    for file, speaker, text, stretch in json.load(sys.stdin)["utterances"]:
        try:
            voice = voices.get(file) or PiperVoice.load(file)
        except Exception as error:  # Whatever the runtime raises for what is no network
            sys.exit(f"{file} is no voice of Piper's: {str(error).splitlines()[0]}")
        voices[file] = voice
        how = SynthesisConfig(
            speaker_id=speaker if voice.config.num_speakers > 1 else None,
            length_scale=voice.config.length_scale * stretch,
            noise_scale=0.0,
            noise_w_scale=0.0,
        )
        parts = [chunk.audio_int16_array for chunk in voice.synthesize(text, how)]
        sounds.append(np.concatenate(parts) if parts else np.zeros(0, np.int16))
    out = sys.stdout.buffer
    out.write(json.dumps({"samples": [len(sound) for sound in sounds]}).encode() + b"\n")
    out.write(np.concatenate(sounds).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
