"""Measurements kept by content: the same firmware, device, inputs and emulator give the same figures.

A key covers everything that shapes a result, the emulator's own source files and unicorn's version among it. Files lie
in the cache.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import zipfile
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rena_kws import cache
from rena_kws.artifacts import Firmware, LayerCost, Measurement
from rena_kws.devices.description import Device
from rena_kws.files import replacing


def key_of(firmware: Firmware, device: Device, batch: NDArray[Any], toolchain: str, optimize: str) -> str:
    layout = [firmware.name, sorted(firmware.sources.items()), firmware.arena_bytes]
    layers = [[layer.symbol, layer.name, layer.op, layer.macs] for layer in firmware.layers]
    ports = [vars(port) for port in (*firmware.inputs, *firmware.outputs)]
    recipe = [layout, layers, ports, device.as_json(), str(batch.dtype), batch.shape, toolchain, optimize, _emulator()]
    text = json.dumps(recipe, sort_keys=True).encode()
    return hashlib.sha256(text + batch.tobytes()).hexdigest()[:32]


def load(key: str) -> Measurement | None:
    """The measurement of that key; None where there is none, or its file is damaged."""
    try:
        with zipfile.ZipFile(_file(key)) as file:
            table = json.loads(file.read("measurement.json"))
            outputs = np.load(io.BytesIO(file.read("outputs.npy")), allow_pickle=False)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    cache.touch(_file(key))
    table["layers"] = tuple(LayerCost(**layer) for layer in table["layers"])
    table["samples_ms"] = tuple(table["samples_ms"])
    return Measurement(**table, outputs=outputs)


def store(key: str, measurement: Measurement) -> None:
    outputs = io.BytesIO()
    np.save(outputs, measurement.outputs)
    path = _file(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside, zipfile.ZipFile(aside, "w") as file:
            file.writestr("measurement.json", json.dumps(measurement.as_json()))
            file.writestr("outputs.npy", outputs.getvalue())
    except OSError:
        return  # a cache that cannot be written is none
    cache.make_room()


def _file(key: str) -> Path:
    return cache.root() / "profiles" / f"{key}.zip"


@functools.cache
def _emulator() -> str:
    """What emulates and counts, by content."""
    digest = hashlib.sha256(version("unicorn").encode() + version("capstone").encode())
    for file in sorted(resources.files("rena_kws.profilers.cortex_m").iterdir(), key=lambda file: file.name):
        if file.name.endswith((".py", ".c")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
