"""``edgecolor serve SOURCE``: a live picture with guessed colour, over HTTP and to a media server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import faulthandler
import logging
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from edgecolor.allocator import share_arenas
from edgecolor.errors import ConfigError, EdgeColorError

_LOG = logging.getLogger(__name__)
# Flag, what it takes (a tuple: a constant in place of a value), the setting, and the help. Values are checked where all
# settings are, so that file, environment and flags obey the same rules.
_FLAGS: tuple[tuple[str, str | tuple[Any], tuple[str, str], str], ...] = (
    ("--http", "HOST:PORT", ("http", "address"), "where to serve (default 127.0.0.1:8080); other than loopback needs credentials"),
    ("--username", "NAME", ("http", "username"), "who may watch"),
    ("--password-hash-file", "FILE", ("http", "password_hash_file"), "what 'edgecolor config hash-password' printed"),
    ("--token-file", "FILE", ("http", "token_file"), "a token that may watch as well"),
    ("--tls-certificate", "FILE", ("http", "tls_certificate"), "PEM file with the certificate and its chain"),
    ("--tls-key", "FILE", ("http", "tls_key"), "PEM file with the key"),
    ("--viewers", "N", ("http", "viewers"), "most streams at once (default 64)"),
    ("--quality", "1..100", ("http", "quality"), "of the JPEGs (default 80)"),
    ("--label", "CORNER", ("http", "label"), "of the words that tell guessed colour: bottom-right, ..., or off"),
    ("--colorize", "auto|always|never", ("live", "colorize"), "auto guesses only while the picture is gray (default)"),
    ("--chroma-rate", "N", ("live", "chroma_rate"), "most guesses a second, against heat (default: as many as the board can)"),
    ("--no-on-demand", (False,), ("live", "on_demand"), "guess even while nobody watches"),
    ("--transport", "tcp|udp", ("source", "transport"), "of an RTSP camera (default tcp)"),
    ("--decoder", "NAME", ("source", "decoder"), "FFmpeg decoder, as h264_v4l2m2m; an absent one is an error"),
    ("--timeout", "SECONDS", ("source", "timeout"), "without a frame until a camera is lost (default 5)"),
    ("--credentials", "FILE", ("source", "credentials"), "the camera's user:password"),
    ("--loop", (True,), ("source", "loop"), "play a file for ever"),
    ("--publish", "rtsp://HOST/PATH", ("publish", "url"), "send H.264 to a server such as MediaMTX or go2rtc as well"),
    ("--publish-credentials", "FILE", ("publish", "credentials"), "that server's user:password"),
    ("--encoder", "NAME", ("publish", "encoder"), "FFmpeg encoder of H.264, as h264_v4l2m2m (default libx264)"),
    ("--model", "NAME", ("network", "model"), "a shipped model, the path of a .tflite file with its card, or auto (default edgecolor)"),
    ("--runtime", "litert|tflite", ("network", "runtime"), "TFLite runtime (default: the first that is installed)"),
    ("--threads", "N", ("network", "threads"), "threads of the network (default: one a core; tflite: one a free core)"),
    ("--delegate", "NAME", ("network", "delegate"), "edgetpu[:usb|:pci|:N] runs on a Coral; an absent one is an error"),
    ("--delegate-fallback", "cpu", ("network", "delegate_fallback"), "go on without the Coral when it is absent or lost"),
    ("--log-level", "LEVEL", ("log", "level"), "debug, info (default), warning or error"),
    ("--log-format", "text|json", ("log", "format"), "of the lines on stderr (default text)"),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``serve`` to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="colorize a live source and serve it",
        description="Settings come from the file, then EDGECOLOR_SECTION_KEY in the environment, then flags; the later win. "
        "'edgecolor config example' prints all of them. Passwords belong in files, never in flags.",
    )
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE",
        help="rtsp://, rtsps://, http:// or https:// camera, /dev/videoN, picamera[:N], a video file, or demo: the bundled clip, "
        "played like a camera",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    for flag, takes, _, says in _FLAGS:
        if isinstance(takes, tuple):
            parser.add_argument(flag, action="store_const", const=takes[0], help=says)
        else:
            parser.add_argument(flag, metavar=takes, help=says)


def run(arguments: argparse.Namespace) -> NoReturn:
    """Serve until SIGINT or SIGTERM, and end the process with 0, 1 when something failed (it is logged), or 2 for a setting that did.

    Raises EdgeColorError for settings that are wrong from the beginning.

    With --config, SIGHUP reads all settings anew (not at a terminal, where it means that the terminal has gone).
    """
    from edgecolor import serveconfig
    from edgecolor.logs import start_logging
    from edgecolor.service import Service
    from edgecolor.serving import LiveServer, Parts, parts_of

    flags: dict[tuple[str, str], tuple[Any, str]] = {}
    for flag, _, place, _ in _FLAGS:
        value = getattr(arguments, flag.removeprefix("--").replace("-", "_"))
        if value is not None:
            flags[place] = (value, flag)
    if "--label" in {name for _, name in flags.values()}:
        flags["publish", "label"] = flags["http", "label"]
    if arguments.source is not None:
        flags["source", "address"] = (arguments.source, "SOURCE")

    def load() -> serveconfig.Loaded:
        loaded = serveconfig.load(arguments.config, os.environ, flags)
        if not loaded.config.source.address:
            raise ConfigError("no source: name one, as in 'edgecolor serve demo', or set address in [source] of the configuration file")
        secrets.extend(secret for secret in loaded.config.secrets() if secret not in secrets)
        return loaded

    secrets: list[str] = []  # of all settings so far: what is refused is logged too, and what it was is still in use

    def log(loaded: serveconfig.Loaded) -> None:
        start_logging(loaded.config.log, secrets)
        for warning in loaded.warnings:
            _LOG.warning("%s", warning)

    def reread(before: Parts) -> Parts:
        loaded = load()
        return dataclasses.replace(parts_of(loaded.config, before), taken=lambda: log(loaded))

    async def serve(parts: Parts) -> None:
        at_a_terminal = sys.stdin is not None and sys.stdin.isatty()
        can_reload = arguments.config is not None and not at_a_terminal
        await LiveServer(parts, reread if can_reload else None, service).run()

    share_arenas()
    # A hang ends by the watchdog's SIGABRT: then the log shows where each thread stood.
    faulthandler.enable()
    service = Service()
    loaded = load()
    log(loaded)
    code = 0
    try:
        asyncio.run(serve(parts_of(loaded.config)))
    except EdgeColorError as error:
        # A log like the others: why it ended is what is looked for first.
        _LOG.error("%s", error)
        code = 2 if isinstance(error, ConfigError) else 1
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End this process, in which nothing is left to do.

    The interpreter's own end takes it apart piece by piece: longer than the server takes to stop, on a slow board more than a
    second, and not safe beside a thread that was left behind in FFmpeg.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)
