"""rena-kws bench: our firmware beside other engines on the same networks; the cycle models on known kernels."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rena_kws.cli.arguments import words
from rena_kws.devices import catalogue
from rena_kws.errors import ModelError, UnavailableError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rena_kws.artifacts import ConvertedModel, Measurement
    from rena_kws.convert.agreement import Difference

COMPARED_INPUTS = 10
CORES = "cortex-m4,cortex-m33,cortex-m7,cortex-m0plus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rena_kws.cli.output import add_optimize

    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL", help=".tflite files, or runs")
    parser.add_argument(
        "--device",
        type=words,
        default=CORES,
        metavar="A,B,…",
        help="devices, see `rena-kws devices` (default: %(default)s)",
    )
    add_optimize(parser)
    parser.add_argument("--layers", action="store_true", help="cost by layer too")
    parser.add_argument(
        "--kernels", action="store_true", help="the cycle models against programs whose cycles the literature tells"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(arguments: argparse.Namespace) -> None:
    from rena_kws import model_file
    from rena_kws.api import profile
    from rena_kws.cli.output import print_json
    from rena_kws.cli.progress import status
    from rena_kws.convert.agreement import with_litert

    if bool(arguments.models) == arguments.kernels:
        raise ModelError("bench needs .tflite files or runs, or --kernels without any")
    if arguments.kernels:
        _run_kernels(arguments.json)
        return
    runs_firmware = {device: catalogue.get(device).kind == "cortex_m" for device in arguments.device}
    results: list[tuple[Path, str, Measurement]] = []
    agreement: dict[Path, Mapping[str, Difference]] = {}
    macs: dict[Path, int] = {}
    for path in arguments.models:
        model = model_file.load(path)
        macs[path] = _macs(model)
        inputs = random_inputs(model)
        for device in arguments.device:
            status(f"profiling {path.name} on {device}")
            measurement = profile(model, device, inputs, arguments.optimize if runs_firmware[device] else None)
            results.append((path, device, measurement))
            twin = _onnx_beside(path) if device == "cpu" else None
            if twin:
                results.append((path, device, _profile_onnx(twin, model, inputs)))
        first = next(measurement for model_path, _, measurement in results if model_path == path)
        if first.outputs.size:
            agreement[path] = with_litert(model, inputs, first.outputs)
    status("")
    if arguments.json:
        print_json([_as_json(path, macs[path], found, agreement.get(path, {})) for path, _, found in results])
        return
    for path in arguments.models:
        ours = [(device, measurement) for model_path, device, measurement in results if model_path == path]
        print(_describe(path, macs[path], ours, arguments.layers))
        if path in agreement:
            print(_agreement(agreement[path]))
        print()


def _run_kernels(as_json: bool) -> None:
    from rena_kws.cli.output import print_json, table
    from rena_kws.profilers.base import profiler_for
    from rena_kws.profilers.cortex_m.unit_kernels import KERNELS
    from rena_kws.profilers.cortex_m.unit_kernels import run as cycles_of
    from rena_kws.profilers.cortex_m.worker import EmulatorProcess

    if reason := profiler_for(catalogue.get("cortex-m4")).unavailable():
        raise UnavailableError(reason)
    process = EmulatorProcess()
    rows = [(kernel, cycles_of(kernel, process)) for kernel in KERNELS]
    process.close()
    if as_json:
        print_json([vars(kernel) | {"emulated_cycles": cycles} for kernel, cycles in rows])
        return
    header = ("core", "kernel", "cycles, literature", "cycles, emulated", "apart", "source")
    print(table(header, [(k.core, k.name, k.cycles, c, f"{c / k.cycles - 1:+.1%}", k.source) for k, c in rows]))


def random_inputs(model: ConvertedModel) -> NDArray[np.int8]:
    """A batch of values from -128 to 127 for the model's input."""
    import numpy as np

    from rena_kws.firmware.graph import read_graph

    graph = read_graph(model)
    shape = graph.tensors[graph.inputs[0]].shape
    return np.random.default_rng(0).integers(-128, 128, (COMPARED_INPUTS, *shape[1:]), np.int8)


def _onnx_beside(path: Path) -> Path | None:
    """The same network as ONNX, as a run keeps it beside the .tflite file."""
    from rena_kws import model_file

    twin = model_file.find(path).with_suffix(".onnx")
    return twin if twin.is_file() and twin != path else None


def _profile_onnx(twin: Path, model: ConvertedModel, inputs: NDArray[np.int8]) -> Measurement:
    """The ONNX model on the values that the int8 inputs stand for; its outputs in the int8 model's steps."""
    import numpy as np

    from rena_kws import model_file
    from rena_kws.api import profile
    from rena_kws.convert.evaluate_int8 import dequantise, quantise
    from rena_kws.firmware.graph import read_graph

    graph = read_graph(model)
    source, sink = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    found = profile(model_file.load(twin), "cpu", dequantise(inputs, source.scale, source.zero_point))
    outputs = quantise(found.outputs.astype(np.float32), sink.scale, sink.zero_point, np.dtype(np.int8))
    runtime = f"{found.environment['runtime']}, {twin.name}"
    return replace(found, outputs=outputs, environment={**found.environment, "runtime": runtime})


def _agreement(found: Mapping[str, Difference]) -> str:
    texts = [
        f"{path} all equal"
        if not difference.largest
        else f"{path} {100 * difference.equal:.1f} % equal, at most {difference.largest} apart"
        for path, difference in found.items()
    ]
    return f"the first device's outputs for {COMPARED_INPUTS} random inputs against LiteRT's: {'; '.join(texts)}"


def _macs(model: ConvertedModel) -> int:
    from rena_kws.firmware.graph import read_graph

    graph = read_graph(model)
    return sum(graph.macs(op) for op in graph.ops)


def _engine(measurement: Measurement, device: str) -> str:
    """Whose code ran, or who made the estimate."""
    if catalogue.get(device).kind in ("cortex_m", "serial"):
        return "rena-kws"
    return measurement.environment.get("runtime") or measurement.environment.get("estimator", "")


def _as_json(model: Path, macs: int, measurement: Measurement, agreement: Mapping[str, Difference]) -> dict[str, Any]:
    from rena_kws.anchors import BENCHMARKS

    benchmark = BENCHMARKS.get(macs)
    anchors = [vars(anchor) for anchor in benchmark.anchors] if benchmark else []
    litert = {path: vars(difference) for path, difference in agreement.items()}
    return {
        "model": str(model),
        "macs": macs,
        **measurement.as_json(),
        "anchors": anchors,
        "litert": litert,
    }


def _describe(model: Path, macs: int, ours: list[tuple[str, Measurement]], layers: bool) -> str:
    """One table a model: for each device our row, and below it those of the engines on the same core."""
    from rena_kws.anchors import BENCHMARKS
    from rena_kws.cli.output import layer_table, table

    benchmark = BENCHMARKS.get(macs)
    lines = [f"{model.name}: {benchmark.title if benchmark else 'no published figures'}, {macs:,} MACs"]
    rows: list[tuple[object, ...]] = []
    for device, measurement in ours:
        cycles = measurement.cycles
        memory = measurement.ram_bytes, measurement.flash_bytes
        figures = measurement.latency_ms, _millions(cycles), _ratio(cycles, macs), None
        engine = _engine(measurement, device)
        rows.append((device, engine, *figures, *memory, _apart(ours[0][1], measurement), measurement.how))
        core = catalogue.get(device).core
        for anchor in benchmark.anchors if benchmark else ():
            if anchor.core == core and cycles:
                theirs = None, _millions(anchor.cycles), _ratio(anchor.cycles, macs), _ratio(anchor.cycles, cycles)
                how = f"{anchor.how}, published"
                rows.append(("", anchor.engine, *theirs, anchor.ram_bytes, anchor.flash_bytes, "", how))
    header = ("device", "engine", "ms", "Mcycles", "cycles/MAC", "× ours", "RAM", "flash", "outputs", "how")
    lines.append(table(header, rows))
    if layers:
        for device, measurement in ours:
            lines += ["", f"{device}, by layer:", layer_table(measurement)]
    return "\n".join(lines)


def _apart(first: Measurement, other: Measurement) -> str:
    """How the outputs of two devices compare."""
    if not other.outputs.size:
        return "none"
    if first is other or not first.outputs.size:
        return ""
    apart = abs(first.outputs.astype(int) - other.outputs.reshape(first.outputs.shape).astype(int)).max()
    return f"at most {apart} apart" if apart else "equal"


def _millions(cycles: int | None) -> float | None:
    return None if cycles is None else cycles / 1e6


def _ratio(a: int | None, b: int | None) -> float | None:
    return a / b if a and b else None
