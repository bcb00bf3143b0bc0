"""The boards that are plugged in, as devices: every serial port on USB behind a probe or converter that is known."""

from __future__ import annotations

from dataclasses import replace

from rena_kws.devices import catalogue, probes
from rena_kws.devices.bench import PREFIX
from rena_kws.devices.description import Device
from rena_kws.profilers.serial_board.link import usb_ports


def boards_on_usb() -> list[Device]:
    """In the order of their ports. What is behind a port shows only when it is profiled."""
    return [
        replace(catalogue.get(PREFIX + port.device), title=f"{title} ({port.vid:04x}:{port.pid:04x}), plugged in")
        for port in usb_ports()
        if port.vid is not None and port.pid is not None and (title := probes.title(port.vid, port.pid))
    ]
