"""What ESPHome's micro_wake_word loads: a streaming .tflite and the JSON that describes it, for one wake word.

Facts of the format: ESPHome, components/micro_wake_word (`MANIFEST_SCHEMA_V2` in __init__.py, streaming_model.cpp). It
takes no other keys than its own, so what else is known of the model stands in `manifest.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rena_kws.artifacts import ConvertedModel
from rena_kws.decisions import DecisionSettings, keyword_indices
from rena_kws.errors import ModelError, RenaError, UnknownNameError
from rena_kws.export.base import FirmwareOptions, refuse_options, require_format, write_bundle
from rena_kws.export.esphome.streaming_model import StreamingModel, streaming_model
from rena_kws.export.esphome.tensor_arena import TensorArena, tensor_arena
from rena_kws.export.manifest import FILE_NAME, Manifest
from rena_kws.frontend.settings import MICRO_FRONTEND

LEAST_ESPHOME = "2024.7.0"  # The first that reads manifests of version 2 and takes several frames a call.
_WEBSITE = "https://esphome.io/components/micro_wake_word"


def export_esphome(
    model: ConvertedModel, manifest: Manifest, folder: Path, name: str, options: FirmwareOptions
) -> None:
    """`NAME.tflite`, `NAME.json`, what is known of them in `manifest.json`, and how they are used in `README.md`.

    `options.word` is the keyword; it may be left out where there is only one. Optimised for size the model keeps less
    from call to call, and is no longer bit by bit the network. Raises `ModelError` for a model whose front end is not
    the micro frontend, or that a stream cannot run.
    """
    refuse_options(replace(options, optimize=None))
    require_format(model, "tflite")
    if f"{name}.json" == FILE_NAME:
        raise RenaError(f"the name {name} is that of the bundle's own manifest; give another with --name")
    _check_front_end(model, manifest)
    word = _word(manifest, options.word)
    lean = options.optimize == "size"
    streaming = streaming_model(model, manifest.labels.index(word), lean)
    arena = tensor_arena(streaming.model)
    facts = {**_facts(word, manifest, streaming, arena), "bit_exact": not lean}
    ours = Manifest.of(streaming.model, (word,), manifest.front_end, facts)
    described = _esphome_manifest(name, word, manifest, streaming, arena)
    files: dict[str, str | bytes] = {
        f"{name}.tflite": streaming.model.data,
        f"{name}.json": json.dumps(described, indent=2, ensure_ascii=False) + "\n",
        "README.md": _readme(name, word, manifest, arena),
        FILE_NAME: replace(ours.named(f"{name}.tflite"), decisions=manifest.decisions).as_text(),
    }
    write_bundle(folder, files)


def _esphome_manifest(
    name: str, word: str, manifest: Manifest, streaming: StreamingModel, arena: TensorArena
) -> Mapping[str, Any]:
    """ESPHome's manifest. Its cutoff is our threshold, its window as long as ours, counted in results of the model."""
    decisions = DecisionSettings.from_json(manifest.decisions)
    frames = decisions.smoothed_results * decisions.hops_a_result
    return {
        "type": "micro",
        "wake_word": word,
        "author": manifest.created_by,
        "website": _WEBSITE,
        "model": f"{name}.tflite",
        "trained_languages": [],
        "version": 2,
        "micro": {
            "probability_cutoff": decisions.threshold,
            "sliding_window_size": max(1, round(frames / streaming.stride)),
            "feature_step_size": MICRO_FRONTEND.hop_ms,
            "tensor_arena_size": arena.size_bytes,
            "minimum_esphome_version": LEAST_ESPHOME,
        },
    }


def _check_front_end(model: ConvertedModel, manifest: Manifest) -> None:
    kind = manifest.front_end.get("kind", "unknown, for want of a manifest beside it")
    if kind != MICRO_FRONTEND.kind:
        raise ModelError(
            f"ESPHome hears through the micro_frontend, so a model for it is trained with that; the front end of "
            f"{model.name} is {kind}"
        )


def _word(manifest: Manifest, asked: str | None) -> str:
    words = [manifest.labels[index] for index in keyword_indices(manifest.labels)]
    if asked is None and len(words) != 1:
        raise RenaError(f"a model for ESPHome wakes at one word; pick one with --word: {', '.join(words)}")
    if asked is not None and asked not in words:
        raise UnknownNameError("keyword", asked, words)
    return asked or words[0]


def _facts(word: str, manifest: Manifest, streaming: StreamingModel, arena: TensorArena) -> Mapping[str, Any]:
    """For `manifest.json`: what of the network is exported, and where the figures come from."""
    return {
        "wake_word": word,
        "classes": manifest.labels,
        "probability": "exact softmax" if len(manifest.labels) == 2 else "lower bound of the softmax",
        "network_sha256": manifest.sha256,
        "frames_a_call": streaming.stride,
        "frames_heard": streaming.frames,
        "tensor_arena": {
            "interpreter_bytes": arena.interpreter_bytes,
            "how": arena.how,
            "esp_nn_scratch_bytes": arena.scratch_bytes,
            "esp_nn_scratch_how": "estimated",
        },
        "decisions_chosen": bool(manifest.decisions),
    }


def _readme(name: str, word: str, manifest: Manifest, arena: TensorArena) -> str:
    others = ", ".join(label for label in manifest.labels if label != word)
    kind = "probability" if len(manifest.labels) == 2 else "probability, or at times a little less,"
    chosen = "were chosen for this model." if manifest.decisions else "are defaults, not chosen for it: try them out."
    return f"""# {word}

A wake word for ESPHome's `micro_wake_word`, made by {manifest.created_by}. Put `{name}.json` and `{name}.tflite`
beside your device's YAML:

```yaml
micro_wake_word:
  models:
    - model: {name}.json
```

The model was trained to tell `{word}` from {others}. Its output is the {kind} of `{word}`.
`probability_cutoff` and `sliding_window_size` {chosen}
Fill in `author`, `website` and `trained_languages` before you pass it on.

`tensor_arena_size` is {arena.interpreter_bytes} bytes for the interpreter ({arena.how}, on a computer) and
{arena.scratch_bytes} for the kernels of an ESP32-S3 (estimated). ESPHome 2026.4 and later find out how much is needed;
for earlier versions lower it as far as your device starts, and raise it if it logs "Failed to allocate tensors".
"""
