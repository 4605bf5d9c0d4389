"""Command line: parse, wire, run. Exit codes: 0 all done, 1 something failed, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence

from edgecolor import __version__
from edgecolor.errors import ConfigError, EdgeColorError

COMMANDS = ("colorize", "compare", "serve", "config", "service", "models", "benchmark", "doctor")


def build_parser() -> argparse.ArgumentParser:
    """The whole parser; each command's options live with the command."""
    parser = argparse.ArgumentParser(prog="edgecolor", description="Colour for gray pictures and cameras; luma is never touched.")
    parser.add_argument("--version", action="version", version=f"edgecolor {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"edgecolor.commands.{name}").add_parser(subparsers)
    return parser


def add_model_options(parser: argparse.ArgumentParser, threads: str = "one a core; tflite: one a free core") -> None:
    """Options of every command that runs a network. threads: how many it gets without --threads, for the help."""
    group = parser.add_argument_group("network")
    group.add_argument("--model", default="edgecolor",
                       help="name of a shipped model, path of a .tflite file with its card, or auto: the best that is fast enough here")
    group.add_argument("--runtime", choices=("litert", "tflite"), help="TFLite runtime (default: the first that is installed)")
    group.add_argument("--threads", type=int, metavar="N", help=f"threads of the network (default: {threads})")
    group.add_argument("--delegate", metavar="NAME", help="edgetpu[:usb|:pci|:N] runs on a Coral; an absent one is an error")


def _terminate(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a terminal that closes says so twice: the second time must not cut the tidying short
    sys.exit(128 + number)  # unwinds the stack, so that temporary files are removed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name that the locale can not show must not end the run
    signal.signal(signal.SIGTERM, _terminate)
    parsed = build_parser().parse_args(arguments)
    # nohup has it ignored, and so it stays; to serve it means other settings.
    if parsed.command != "serve" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _terminate)
    try:
        return int(importlib.import_module(f"edgecolor.commands.{parsed.command}").run(parsed))
    except EdgeColorError as error:
        from edgecolor.logs import masked

        print(f"edgecolor {parsed.command}: {masked(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more can be said, and the interpreter must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
