"""``edgecolor serve SOURCE``: a live picture with guessed colour, over HTTP and to a media server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecolor.errors import ConfigError, EdgeColorError

if TYPE_CHECKING:
    from edgecolor.assets import Model
    from edgecolor.colorizer import Colorizer
    from edgecolor.live import LiveOptions
    from edgecolor.sinks import Sink
    from edgecolor.sinks.http import HttpOptions
    from edgecolor.sinks.publish import PublishOptions
    from edgecolor.sources import Source

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
    ("--model", "NAME", ("network", "model"), "a shipped model, or the path of a .tflite file with its card (default edgecolor)"),
    ("--runtime", "litert|tflite", ("network", "runtime"), "TFLite runtime (default: the first that is installed)"),
    ("--threads", "N", ("network", "threads"), "threads of the network (default: the cores that are free)"),
    ("--delegate", "NAME", ("network", "delegate"), "edgetpu[:usb|:pci|:N] runs on a Coral; an absent one is an error"),
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
        help="rtsp://, rtsps://, http:// or https:// camera, /dev/videoN, a video file, or demo: the bundled clip, played like a camera",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    for flag, takes, _, says in _FLAGS:
        if isinstance(takes, tuple):
            parser.add_argument(flag, action="store_const", const=takes[0], help=says)
        else:
            parser.add_argument(flag, metavar=takes, help=says)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code: 0, 1 when something failed (it is logged), 2 for a setting that does."""
    from edgecolor import serveconfig
    from edgecolor.colorizer import Colorizer
    from edgecolor.logs import start_logging
    from edgecolor.sources import open_source

    flags: dict[tuple[str, str], tuple[Any, str]] = {}
    for flag, _, place, _ in _FLAGS:
        value = getattr(arguments, flag.removeprefix("--").replace("-", "_"))
        if value is not None:
            flags[place] = (value, flag)
    if "--label" in {name for _, name in flags.values()}:
        flags["publish", "label"] = flags["http", "label"]
    if arguments.source is not None:
        flags["source", "address"] = (arguments.source, "SOURCE")
    loaded = serveconfig.load(arguments.config, os.environ, flags)
    config = loaded.config
    if not config.source.address:
        raise ConfigError("no source: name one, as in 'edgecolor serve demo', or set address in [source] of the configuration file")
    start_logging(config.log, config.secrets())
    for warning in loaded.warnings:
        _LOG.warning("%s", warning)
    try:
        source = open_source(config.source.address, config.source)
        network = config.network
        colorizer = Colorizer(network.model, network.runtime or None, network.threads or None, network.delegate or None)
        return asyncio.run(serve(source, colorizer, config.http, config.live, config.publish))
    except EdgeColorError as error:
        # A log like the others: why it ended is what is looked for first.
        _LOG.error("%s", error)
        return 2 if isinstance(error, ConfigError) else 1


async def serve(
    source: Source, colorizer: Colorizer, http: HttpOptions | None = None, live: LiveOptions | None = None,
    publish: PublishOptions | None = None,
) -> int:
    """Run a pipeline into its sinks until a signal comes or the source ends; prints the addresses, a line each, once it listens.

    Raises EdgeColorError.
    """
    from edgecolor import __version__, provenance
    from edgecolor.pipeline import Pipeline
    from edgecolor.sinks.http import HttpSink
    from edgecolor.sinks.publish import PublishSink

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    model: Model | None = getattr(colorizer.network, "model", None)
    told = {"name": model.name if model else type(colorizer.network).__name__, "sha256": str(model.card["sha256"]) if model else None}
    publisher = PublishSink(publish) if publish is not None and publish.url else None

    def state() -> dict[str, Any]:
        return {
            "version": __version__, "model": told, **pipeline.state(), "publish": publisher.state() if publisher is not None else None,
        }

    def end() -> None:
        loop.call_soon_threadsafe(ended.set)

    sink = HttpSink(state, provenance.mark(None, provenance.creator_tool(model)), http)
    sinks: list[Sink] = [sink] if publisher is None else [sink, publisher]
    pipeline = Pipeline(source, colorizer, sinks, on_end=end, options=live)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    addresses = await sink.start()
    try:
        if publisher is not None:
            publisher.start()
        pipeline.start()
        for address in addresses:
            print(address, flush=True)
        _LOG.info("serving %s at %s", source.name, ", ".join(addresses))
        await ended.wait()
    finally:
        try:
            await asyncio.to_thread(pipeline.stop)
        finally:
            if publisher is not None:
                await asyncio.to_thread(publisher.stop)
            await sink.stop()
    return 0
