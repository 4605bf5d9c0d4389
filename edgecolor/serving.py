"""A source, a network and sinks put together into one live server, which can be given other settings while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgecolor import __version__, provenance
from edgecolor.assets import load_model
from edgecolor.catalog import AUTO
from edgecolor.colorizer import Colorizer, TfliteNetwork
from edgecolor.errors import ConfigError, EdgeColorError, ServeError
from edgecolor.live import LiveOptions
from edgecolor.pipeline import Pipeline
from edgecolor.service import Service
from edgecolor.sinks import Sink
from edgecolor.sinks.http import HttpOptions, HttpSink
from edgecolor.sinks.publish import PublishOptions, PublishSink
from edgecolor.sources import Source, open_source

if TYPE_CHECKING:
    from edgecolor.serveconfig import NetworkConfig, ServeConfig

_LOG = logging.getLogger(__name__)
_HANDED_OVER = "/run/credentials/"


@dataclass(frozen=True)
class Parts:
    """All that a server is made of.

    network: what the colorizer was made from, None where it came ready-made. taken: called when a server goes over to these parts.
    """

    source: Source
    colorizer: Colorizer
    http: HttpOptions = field(default_factory=HttpOptions)
    live: LiveOptions = field(default_factory=LiveOptions)
    publish: PublishOptions = field(default_factory=PublishOptions)
    network: NetworkConfig | None = None
    taken: Callable[[], None] = lambda: None

    def mark(self) -> bytes:
        """The packet that marks pictures with guessed colour."""
        return provenance.mark(None, provenance.creator_tool(self._model()))

    def model(self) -> dict[str, str | None]:
        """What TfliteNetwork.identity tells of the network, or the name of another kind of network."""
        network = self.colorizer.network
        if isinstance(network, TfliteNetwork):
            return network.identity()
        return {"name": type(network).__name__, "sha256": None, "delegate": None, "delegate_lost": None}

    def _model(self) -> Any:
        return getattr(self.colorizer.network, "model", None)


def parts_of(config: ServeConfig, before: Parts | None = None) -> Parts:
    """The parts that a configuration asks for; the colorizer is that of ``before`` where its settings are the same.

    Raises EdgeColorError: no such model, no delegate, a source that can not be one; or another [network] than that of ``before``
    while that one has a delegate: a Coral has one owner, and this process is it until it ends.
    """
    network = config.network
    source = open_source(config.source.address, config.source, config.picamera)
    if before is not None and before.network == network:
        colorizer = before.colorizer
    elif before is not None and before.network is not None and before.network.delegate:
        raise ConfigError(
            f"[network] has changed: with a delegate ({before.network.delegate}) that counts at a restart only, for a Coral has one owner"
        )
    else:
        colorizer = Colorizer(
            network.model, network.runtime or None, network.threads or None, network.delegate or None,
            delegate_fallback=network.delegate_fallback or None,
        )
    return Parts(source, colorizer, config.http, config.live, config.publish, network)


def check_parts(config: ServeConfig) -> None:
    """Raise the EdgeColorError that a server of this configuration would end with at its start, as far as files and names tell.

    No camera is asked, no address taken, no Coral opened; what systemd hands over to a service that runs is not looked for.
    """
    if config.source.address:
        open_source(config.source.address, config.source, config.picamera)
    if config.publish.url:
        PublishSink(config.publish)
    if config.network.model != AUTO:
        load_model(config.network.model)
    if not any(path.startswith(_HANDED_OVER) for path in (config.http.tls_certificate, config.http.tls_key)):
        config.http.tls()


class _Feed:
    """A pipeline into an HTTP sink and, where it is asked for, to a media server. on_end: as for Pipeline."""

    def __init__(self, parts: Parts, http: HttpSink, publisher: PublishSink | None, on_end: Callable[[], None]) -> None:
        self.publisher = publisher
        self.ended = False
        self._on_end = on_end
        sinks: list[Sink] = [http] if publisher is None else [http, publisher]
        self.pipeline = Pipeline(parts.source, parts.colorizer, sinks, on_end=self._end, options=parts.live)

    def _end(self) -> None:
        self.ended = True
        self._on_end()

    async def stop(self) -> None:
        """Stop the pipeline; the publisher goes on. Raises the error that ended the pipeline."""
        await asyncio.to_thread(self.pipeline.stop)


class LiveServer:
    """Parts that run. ``run`` returns at a signal or at the source's end; to be made and used in one event loop.

    reread: gives the parts that are wanted now, for SIGHUP; called in a thread, with the parts in use. What it raises is
    logged: then everything goes on as before. None leaves SIGHUP alone.
    """

    def __init__(self, parts: Parts, reread: Callable[[Parts], Parts] | None = None, service: Service | None = None) -> None:
        self._parts, self._reread = parts, reread
        self._service = service or Service({})
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._stopping = self._reloading = False
        self._http = self._new_http(parts)
        self._feed = _Feed(parts, self._http, _publisher(parts), self._wake)

    async def run(self) -> None:
        """Listen, print the addresses, a line each, and serve. Raises EdgeColorError."""
        self._catch_signals()
        await self._listen()
        if self._feed.publisher is not None:
            self._feed.publisher.start()
        self._feed.pipeline.start()
        reporting = asyncio.create_task(self._service.report(self._report, lambda: self._parts.source.timeout))
        self._service.ready()
        try:
            while not self._stopping and not self._feed.ended:
                await self._woken.wait()
                self._woken.clear()
                if self._reloading and not self._stopping:
                    self._reloading = False
                    await self._reload()
        finally:
            self._service.stopping()
            reporting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reporting
            try:
                await self._feed.stop()
            finally:
                if self._feed.publisher is not None:
                    await asyncio.to_thread(self._feed.publisher.stop)
                await self._http.stop()

    def _catch_signals(self) -> None:
        def stop() -> None:
            self._stopping = True
            self._woken.set()

        def reload() -> None:
            self._reloading = True
            self._woken.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, stop)
        if self._reread is not None:
            self._loop.add_signal_handler(signal.SIGHUP, reload)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    async def _listen(self) -> None:
        addresses = await self._http.start()
        for address in addresses:
            print(address, flush=True)
        _LOG.info("serving %s at %s", self._parts.source.name, ", ".join(addresses))

    def _new_http(self, parts: Parts) -> HttpSink:
        for given in self._service.sockets:
            address = given.getsockname()[:2]
            if address not in parts.http.addresses():  # whether credentials are asked for depends on the settings' addresses
                _LOG.warning("systemd listens at %s:%d, which address in [http] does not name: nobody will be served there", *address)
        return HttpSink(self._state, parts.mark(), parts.http, self._service.sockets)

    def _state(self) -> dict[str, Any]:
        feed = self._feed
        publish = feed.publisher.state() if feed.publisher is not None else None
        return {"version": __version__, "model": self._parts.model(), **feed.pipeline.state(), "publish": publish}

    def _report(self) -> dict[str, Any]:
        return {**self._feed.pipeline.state(), "viewers": self._http.viewers}

    # Other settings while it runs

    async def _reload(self) -> None:
        assert self._reread is not None
        self._service.reloading()
        before = self._parts
        try:
            parts = await asyncio.to_thread(self._reread, before)
            running = self._feed.publisher
            publisher = running if running is not None and running.does(parts.publish) else _publisher(parts)
            http = self._http if parts.http == before.http else self._new_http(parts)
        except Exception as error:  # noqa: BLE001 - whatever nobody foresaw must not end a server that runs
            foreseen = isinstance(error, EdgeColorError)
            _LOG.error("the new settings are not taken, the old ones stay: %s", error, exc_info=not foreseen)
            self._service.ready(f"reload refused: {error}")
            return
        parts.taken()
        remarks = [] if http is not self._http else self._renew_certificate()
        remark = "; ".join(filter(None, (*remarks, await self._replace(parts, publisher, http))))
        self._service.ready(remark)
        if not remark:
            _LOG.info("reloaded: %s", self._parts.source.name)

    def _renew_certificate(self) -> list[str]:
        """What did not work. All else of a reload is taken: a key that systemd hands over changes at a restart only."""
        try:
            self._http.renew_certificate()
        except ServeError as error:
            _LOG.error("the certificate is not read anew, the former one stays: %s", error)
            return [f"reload refused for the certificate: {error}"]
        return []

    async def _replace(self, parts: Parts, publisher: PublishSink | None, http: HttpSink) -> str:
        """Give the feed way to another one. Viewers stay where the HTTP server is the same. Returns what did not work."""
        remark, feed = "", self._feed
        await feed.stop()
        if feed.publisher is not None and feed.publisher is not publisher:
            await asyncio.to_thread(feed.publisher.stop)
        if publisher is not None and publisher is not feed.publisher:
            publisher.start()
        if http is self._http:
            http.mark_with(parts.mark())
        else:
            await self._http.stop()  # first: the new one may want the same port
            former, self._http = self._parts, http
            try:
                await self._listen()
            except ServeError as error:
                _LOG.error("the new [http] settings are not taken, the old ones stay: %s", error)
                remark = f"reload refused for [http]: {error}"
                parts = Parts(parts.source, parts.colorizer, former.http, parts.live, parts.publish, parts.network)
                self._http = self._new_http(parts)
                await self._listen()
        self._parts, self._feed = parts, _Feed(parts, self._http, publisher, self._wake)
        self._feed.pipeline.start()
        del feed
        gc.collect()  # feeds refer to themselves: the memory of a former network must not wait until the collector comes by
        return remark


def _publisher(parts: Parts) -> PublishSink | None:
    return PublishSink(parts.publish) if parts.publish.url else None
