"""rena-kws board: an emulated board on a pseudo-terminal or a TCP port, for whatever talks to boards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rena_kws.cli.arguments import port
from rena_kws.errors import UnavailableError

if TYPE_CHECKING:
    from rena_kws.testing.host_board import BoardFirmware


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rena_kws.cli.output import add_optimize

    parser.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file, or a run")
    parser.add_argument("--device", default="cortex-m", help="see `rena-kws devices` (default: %(default)s)")
    parser.add_argument(
        "--tcp", type=port, metavar="PORT", help="listen there instead of on a terminal; 0: any free port"
    )
    add_optimize(parser)


def run(arguments: argparse.Namespace) -> None:
    from rena_kws import model_file
    from rena_kws.devices import catalogue
    from rena_kws.firmware.toolchain import DEFAULT_OPTIMIZE
    from rena_kws.profilers.base import profiler_for
    from rena_kws.profilers.cortex_m.emulated_board import EmulatedBoard

    device = catalogue.get(arguments.device)
    if reason := profiler_for(device).unavailable():
        raise UnavailableError(reason)
    model = model_file.load(arguments.model)
    board = EmulatedBoard(model, device, optimize=arguments.optimize or DEFAULT_OPTIMIZE)
    try:
        if arguments.tcp is None:
            _serve_terminal(board)
        else:
            serve_tcp(board, arguments.tcp)
    except KeyboardInterrupt:
        pass
    finally:
        board.close()


def _serve_terminal(board: BoardFirmware) -> None:
    import signal
    import sys

    from rena_kws.testing.board_faults import Wire
    from rena_kws.testing.board_on_pty import BoardOnPty

    if sys.platform == "win32":
        raise UnavailableError("there are no pseudo-terminals on Windows: use --tcp PORT")
    with BoardOnPty(Wire(board)) as port:
        print(f"{port}", flush=True)
        _say(f"the board answers there, e.g. to rena-kws profile MODEL --device serial:{port}; Ctrl-C ends it")
        signal.pause()


def serve_tcp(board: BoardFirmware, port: int) -> None:
    """Answer whoever connects, one after the other. Raises `UnavailableError` for a port that cannot be had."""
    import socket

    try:
        server = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UnavailableError(f"the board cannot listen on --tcp {port}: {error.strerror}") from None
    with server:
        address = f"socket://127.0.0.1:{server.getsockname()[1]}"
        print(address, flush=True)
        _say(f"the board answers there, e.g. to rena-kws profile MODEL --device serial:{address}; Ctrl-C ends it")
        while True:
            connection, _ = server.accept()
            with connection:
                _talk(board, connection)


def _talk(board: BoardFirmware, connection: object) -> None:
    """Until the other side hangs up."""
    import socket

    assert isinstance(connection, socket.socket)
    try:
        connection.sendall(board.start())
        while data := connection.recv(4096):
            connection.sendall(board.receive(data))
    except ConnectionError:
        pass


def _say(text: str) -> None:
    import sys

    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
