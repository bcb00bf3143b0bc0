"""The command line: finds the command's module, runs it, turns what went wrong into one line and an exit status.

Exit status: 0 done, 2 the user can mend it, 130 interrupted, 1 a bug (with its traceback).
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from rena_kws import __version__
from rena_kws.errors import DeviceError, RenaError, UnknownNameError

COMMANDS = {
    "search": "find a network for keywords, a device and limits, and export it",
    "profile": "measure a model on a device",
    "bench": "set the firmware of models beside other engines' figures",
    "compare": "controllers of a search, on networks that were trained once",
    "export": "write a run's winner or a model as C, for Arduino, Zephyr or ESPHome, as TFLite or ONNX",
    "evaluate": "accuracy of a model on a dataset's clips, or its errors on long streams",
    "listen": "detect the words in a sound file or from the microphone",
    "report": "show a run again",
    "devices": "what models can be measured on",
    "board": "an emulated board on a terminal or a TCP port",
    "doctor": "what works on this machine, and the command that mends the rest",
    "data": "describe a dataset",
}


class _Parser(argparse.ArgumentParser):
    """argparse prints its usage before an error; one line is what people read."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    parser = _Parser(prog="rena-kws", description="Keyword spotting for small chips: words in, firmware out.")
    parser.add_argument("--version", action="version", version=f"rena-kws {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        module = importlib.import_module(f"rena_kws.cli.{name}_cmd")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes, of every worker, are not for our users
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and not words[0].startswith("-") and words[0] not in COMMANDS:
            raise UnknownNameError("command", words[0], COMMANDS)
        arguments, strange = parser.parse_known_args(words)
        if strange:
            commands.choices[arguments.command].error(f"unrecognized arguments: {' '.join(strange)}")
    except RenaError as error:
        return _fail(str(error))
    return _run(arguments, words)


def _run(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    try:
        arguments.run(arguments)
        sys.stdout.flush()
        return 0
    except DeviceError as error:
        return _fail(f"{error}{_how_to_resume(arguments, words)}")
    except RenaError as error:
        return _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it exits
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
    except ImportError as error:
        if error.name and error.name.partition(".")[0] in (
            "tensorflow",
            "keras",
            "librosa",
            "espeakng_loader",
            "tf2onnx",
        ):
            return _fail(f"this command needs {error.name}; install it with: pip install 'rena-kws[search]'")
        raise
    except KeyboardInterrupt:
        print(f"rena-kws: interrupted{_how_to_resume(arguments, words)}", file=sys.stderr)
        return 130


def _how_to_resume(arguments: argparse.Namespace, words: Sequence[str]) -> str:
    """For a search that has begun: the command that continues it. A run is resumed with the settings it began with."""
    run = getattr(arguments, "run_folder", None)
    if arguments.command != "search" or run is None or not (run / "run.json").exists():
        return ""
    again = ["rena-kws", *words]
    again += [] if any(word.partition("=")[0] == "--run" for word in words) else ["--run", str(run)]
    again += [] if arguments.resume else ["--resume"]
    return f"; every finished trial is kept, continue with: {shlex.join(again)}"


def _fail(message: str) -> int:
    print("rena-kws: " + " ".join(message.split()), file=sys.stderr)
    return 2
