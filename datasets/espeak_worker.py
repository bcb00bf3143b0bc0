"""Speaks a batch of utterances with eSpeak NG. A program of its own: JSON on stdin, sound on stdout.

A process of its own for two reasons: eSpeak NG is under the GPL-3, and its output depends on what the process has
spoken before, so only a fixed batch in a fresh process gives the same sound twice. It uses nothing but Python's
standard library and starts quickly (`python -I espeak_worker.py`).

    stdin   {"library": path, "data": path, "utterances": [[text, voice, pitch 0–100, words a minute], …]}
    stdout  one line of JSON, {"rate_hz": …, "samples": [count, …]}, then all samples as 16-bit little-endian integers

    stdin   {"library": path, "data": path, "voice": voice, "texts": [text, …]}
    stdout  one line of JSON, {"phonemes": [phonemes, …]}: words apart by a space, phonemes by an underscore

A text in double brackets is phonemes, apart by "|".

    stderr  the reason, one line, with exit status 1
"""

from __future__ import annotations

import array
import ctypes
import json
import sys
from typing import Any

# From espeak-ng/speak_lib.h.
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when the callback has had all the sound
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: an error is a return value
_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_UTF8, _PHONEMES = 1, 0x100  # espeakCHARS_UTF8, espeakPHONEMES: [[…]] is not text
_APART = ord("_") << 8  # phonememode of espeak_TextToPhonemes: eSpeak's own names, this between two

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main() -> None:
    job = json.load(sys.stdin)
    espeak = ctypes.CDLL(job["library"])
    rate_hz = espeak.espeak_Initialize(_SYNCHRONOUS, 0, job["data"].encode(), _DONT_EXIT)
    if rate_hz <= 0:
        sys.exit(f"eSpeak NG does not start with its data in {job['data']}")
    if "texts" in job:
        _set_voice(espeak, job["voice"])
        print(json.dumps({"phonemes": [_phonemes(espeak, text) for text in job["texts"]]}))
        return
    if hasattr(espeak, "espeak_ng_SetRandSeed"):  # Breath noise is otherwise seeded with the time of day.
        espeak.espeak_ng_SetRandSeed(ctypes.c_long(1))
    sounds = [_speak(espeak, *utterance) for utterance in job["utterances"]]
    out = sys.stdout.buffer
    out.write(json.dumps({"rate_hz": rate_hz, "samples": [len(sound) for sound in sounds]}).encode() + b"\n")
    for sound in sounds:
        if sys.byteorder == "big":
            sound.byteswap()
        out.write(sound.tobytes())


def _set_voice(espeak: Any, voice: str) -> None:
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        sys.exit(f"eSpeak NG has no voice {voice!r}")


def _phonemes(espeak: Any, text: str) -> str:
    """Clause by clause: a call moves the pointer on, and to null after the last."""
    espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
    rest, clauses = ctypes.c_char_p(text.encode()), []
    while rest.value:
        clauses.append(espeak.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _APART).decode())
    return " ".join(clauses)


def _speak(espeak: Any, text: str, voice: str, pitch: int, words_a_minute: int) -> array.array[int]:
    sound: array.array[int] = array.array("h")

    def receive(samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            sound.frombytes(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _CALLBACK(receive)  # Kept in a variable for as long as eSpeak may call it.
    espeak.espeak_SetSynthCallback(callback)
    _set_voice(espeak, voice)
    espeak.espeak_SetParameter(_PITCH, pitch, 0)
    espeak.espeak_SetParameter(_RATE, words_a_minute, 0)
    data = text.encode() + b"\0"
    status = espeak.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, _UTF8 | _PHONEMES, None, None)
    if status != 0 or espeak.espeak_Synchronize() != 0:
        sys.exit(f"eSpeak NG cannot speak {text!r}")
    return sound


if __name__ == "__main__":
    main()
