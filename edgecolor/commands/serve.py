"""``edgecolor serve SOURCE``: a live picture with guessed colour, over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import TYPE_CHECKING, Any

from edgecolor.errors import ConfigError

if TYPE_CHECKING:
    from edgecolor.assets import Model
    from edgecolor.colorizer import Colorizer
    from edgecolor.sources import Source

DEFAULT_ADDRESS = "127.0.0.1:8080"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``serve`` to the command line."""
    from edgecolor.cli import add_model_options

    parser = subparsers.add_parser("serve", help="colorize a live source and serve it over HTTP")
    parser.add_argument("source", metavar="SOURCE", help="where frames come from; demo is the bundled clip, played like a camera")
    parser.add_argument("--http", default=DEFAULT_ADDRESS, metavar="HOST:PORT", help="loopback address to serve at (default %(default)s)")
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code 0, or raises what ended it."""
    from edgecolor.colorizer import Colorizer
    from edgecolor.sources import open_source

    host, port = parse_address(arguments.http)
    source = open_source(arguments.source)
    colorizer = Colorizer(arguments.model, arguments.runtime, arguments.threads, arguments.delegate)
    return asyncio.run(serve(source, colorizer, host, port))


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT ([::1]:8080 for IPv6) -> host, port. Raises ConfigError when it is malformed or not loopback."""
    from edgecolor.sinks.http import is_loopback

    host, _, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--http {address!r} is not HOST:PORT, as in {DEFAULT_ADDRESS}")
    if host == "localhost":
        host = "127.0.0.1"
    if not is_loopback(host):
        raise ConfigError(
            f"--http {address!r} is not a loopback address: serving a camera to the network needs credentials, which come in a later "
            "version. Until then bind 127.0.0.1 and reach it through ssh -L or a proxy that asks for a password"
        )
    return host, int(port)


async def serve(source: Source, colorizer: Colorizer, host: str, port: int) -> int:
    """Run a pipeline into an HTTP sink until a signal comes; prints the address once it listens. Raises EdgeColorError."""
    from edgecolor import provenance
    from edgecolor.pipeline import Pipeline
    from edgecolor.sinks.http import HttpSink

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    model: Model | None = getattr(colorizer.network, "model", None)
    name = model.name if model else type(colorizer.network).__name__

    def state() -> dict[str, Any]:
        return {"model": name, **pipeline.state()}

    sink = HttpSink(state, provenance.mark(None, provenance.creator_tool(model)))

    def end() -> None:
        loop.call_soon_threadsafe(ended.set)

    pipeline = Pipeline(source, colorizer, [sink], on_end=end)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    bound_host, bound_port = await sink.start(host, port)
    try:
        pipeline.start()
        print(f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}/", flush=True)
        await ended.wait()
    finally:
        try:
            await asyncio.to_thread(pipeline.stop)
        finally:
            await sink.stop()
    return 0
