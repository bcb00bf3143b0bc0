"""What listening with a network costs a chip, as resources that limits speak of: the whole program, not the network.

Front end, stream and decisions are in it beside the network, so that a flash or a processor that is filled to a limit
is filled by the firmware that ships.
"""

from __future__ import annotations

from collections.abc import Sequence

from rena_kws.artifacts import ConvertedModel
from rena_kws.decisions import DecisionSettings
from rena_kws.devices.description import Device
from rena_kws.errors import LimitError
from rena_kws.frontend.settings import FrontEnd
from rena_kws.streaming.bundle import StreamBundle


def stream_resources(
    model: ConvertedModel, front_end: FrontEnd, labels: Sequence[str], device: Device
) -> dict[str, float]:
    """`stream_load_percent` of the processor, `stream_ram_bytes`, `stream_flash_bytes`: emulated, default decisions.

    Raises `LimitError` for a device that is no emulated Cortex-M, and as `profile_stream` does.
    """
    from rena_kws.profilers.cortex_m.stream_profile import profile_stream

    if device.profiler != "cortex_m":
        raise LimitError(f"limits on streams need an emulated Cortex-M, which {device.name} is not")
    bundle = StreamBundle(model, front_end, tuple(labels), DecisionSettings())
    spent = profile_stream(bundle.sources, bundle.firmware, bundle.front_end, bundle.decisions, device)
    return {
        "stream_load_percent": 100 * spent.load,
        "stream_ram_bytes": float(spent.ram_bytes),
        "stream_flash_bytes": float(spent.flash_bytes),
    }
