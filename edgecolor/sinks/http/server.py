"""The HTTP server as a sink: routes, and who is let in.

Each viewer gets the newest frame whenever it is ready for one: a slow viewer misses frames and slows nobody.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from aiohttp import HttpVersion10, web, web_app

from edgecolor.frame import Frame
from edgecolor.sinks.http.access import Gate, Hosts, PasswordHash
from edgecolor.sinks.http.answers import Handler, answer_errors, error, set_headers
from edgecolor.sinks.http.metrics import CONTENT_TYPE, Metrics, Traffic
from edgecolor.sinks.http.options import HttpOptions, is_loopback
from edgecolor.sinks.http.page import read_page
from edgecolor.sinks.http.transport import Listener, bound_kernel_buffer, client_of
from edgecolor.sinks.http.views import BOUNDARY, VIEWS, Encoder, View, is_due, stream_begin

_LOG = logging.getLogger(__name__)
_CHROMIUM = "Chrome/"
_SNAPSHOT_S = 3.0  # beyond the time that the source takes for a frame
_LATE_S = 5.0  # a viewer whose part has been on its way for so long sees no live picture
_LONGEST_NAME = 64  # of a stream


@dataclass(eq=False)
class _Stream:
    """One viewer's stream. name: what its page calls it, or ""."""

    name: str
    busy_since: float | None = None  # time.monotonic() when the part began that is on its way
    took: float = 0.0  # seconds that the part before it was on its way

    def begin_part(self) -> None:
        self.busy_since = monotonic()

    def end_part(self) -> None:
        if self.busy_since is not None:
            self.took, self.busy_since = monotonic() - self.busy_since, None

    def is_late(self) -> bool:
        """Whether its viewer sees no live picture: not only while the one part waits, but until one has come quickly."""
        waited = 0.0 if self.busy_since is None else monotonic() - self.busy_since
        return max(waited, self.took) > _LATE_S


class HttpSink:
    """Serves frames over HTTP. ``put`` is for the pipeline's thread; all else runs in one asyncio loop.

    state: what /state shows and /healthz judges by ("state" is "live" while all is well, "reason" tells why it is not).
    xmp: the packet that marks every JPEG with guessed colour (see provenance.py). Raises ServeError for TLS files that can not
    be used. inherited: sockets that listen already at some of the options' addresses; they stay open.
    """

    def __init__(
        self, state: Callable[[], dict[str, Any]], xmp: bytes, options: HttpOptions | None = None, inherited: Sequence[socket.socket] = ()
    ) -> None:
        self._options = options = options or HttpOptions()
        self._state = state
        self._encoder = Encoder(xmp, options.label, options.quality)
        self._views = {name: View(name) for name in VIEWS}
        self._viewers: Counter[str] = Counter()  # streams by client
        self._streams: set[_Stream] = set()
        self._bytes_sent = 0
        self._metrics = Metrics(state, self._traffic)
        self._page, self._policy = read_page()
        self._tls = options.tls()
        password = PasswordHash.parse(options.password_hash) if options.password_hash else None
        self._gate = Gate(options.username, password, options.token) if options.is_guarded() else None
        local = all(is_loopback(host) for host, _ in options.addresses())
        own = () if local else (socket.gethostname(), f"{socket.gethostname()}.local")
        self._hosts = Hosts((*options.hosts, *own), literals=not local)
        if self._gate is not None and self._tls is None and not local:
            _LOG.warning("credentials will travel readable by anybody on the network: give tls_certificate and tls_key, or bind 127.0.0.1 "
                "and let a proxy do TLS")  # fmt: skip
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._listener = Listener(self._application(), options.viewers, inherited)

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[answer_errors, self._refuse_foreign_hosts, self._refuse_strangers])
        app.router.add_get("/", self._serve_root)
        app.router.add_get("/stream.mjpg", self._serve_stream, allow_head=False)
        app.router.add_get("/snapshot.jpg", self._serve_snapshot, allow_head=False)
        app.router.add_get("/healthz", self._serve_health)
        app.router.add_get("/state", self._serve_state)
        app.router.add_get("/metrics", self._serve_metrics)
        app.on_response_prepare.append(set_headers)
        return app

    @property
    def viewers(self) -> int:
        """Streams at this moment."""
        return self._viewers.total()

    def mark_with(self, xmp: bytes) -> None:
        """From now on mark JPEGs with guessed colour with this packet."""
        self._encoder = Encoder(xmp, self._options.label, self._options.quality)

    def renew_certificate(self) -> None:
        """Read the TLS files again, for connections from now on. Raises ServeError; then the former certificate stays."""
        fresh = self._options.tls()
        if self._tls is None or fresh is None:
            return

        def show_fresh(connection: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
            # Not loaded into the context in use: with a key of another kind the former certificate would stay beside it.
            connection.context = fresh

        self._tls.sni_callback = show_fresh

    # The pipeline's side

    def wants_color(self) -> bool:
        """Whether anybody watches a view with chroma."""
        return self._views["color"].watchers > 0 or self._views["split"].watchers > 0

    def put(self, frame: Frame) -> None:
        """Encode the frame for each view that is watched, and hand it to the viewers."""
        if self._loop is None:
            return
        for view in self._views.values():
            if is_due(view, frame):
                self._loop.call_soon_threadsafe(view.publish, self._encoder.encode(frame, view.name))

    # The viewers' side

    async def start(self) -> list[str]:
        """Listen; returns the addresses in use as URLs. Raises ServeError when one can not be had."""
        self._loop = asyncio.get_running_loop()
        scheme = "https" if self._tls is not None else "http"
        bound = [self._listener.bind(host, port) for host, port in self._options.addresses()]
        await self._listener.listen(self._tls)
        return [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/" for host, port in bound]

    async def stop(self) -> None:
        """Let every viewer go and stop listening. The pipeline must have stopped before."""
        self._closing = True
        for view in self._views.values():
            view.wake()
        await self._listener.stop()
        # aiohttp keeps the handlers of applications that are gone in a cache, and so this object, with all that it holds.
        if (kept := getattr(web_app, "_cached_build_middleware", None)) is not None:
            kept.cache_clear()
        self._state = dict
        self._views = {name: View(name) for name in VIEWS}
        self._loop, self._page = None, ""
        del self._listener, self._metrics

    async def _serve_root(self, request: web.Request) -> web.StreamResponse:
        """The page; or what mjpg-streamer serves at this place, since many programs know its addresses."""
        match request.query.get("action"):
            case None:
                return web.Response(text=self._page, content_type="text/html", headers={"Content-Security-Policy": self._policy})
            case "stream":
                return await self._serve_stream(request)
            case "snapshot":
                return await self._serve_snapshot(request)
        raise error(web.HTTPBadRequest, "action must be stream or snapshot")

    async def _serve_state(self, request: web.Request) -> web.Response:
        """?stream=NAME asks after the stream that was opened with t=NAME as well: browsers do not tell a page that its picture ended."""
        views = {name: {"watchers": view.watchers, "encoded": view.encoded} for name, view in self._views.items()}
        asked = {"stream": self._look_after(request.query["stream"])} if "stream" in request.query else {}
        return web.json_response({**self._state(), "viewers": self._viewers.total(), "views": views, **asked})

    def _look_after(self, name: str) -> Literal["running", "late", "gone"]:
        streams = [stream for stream in self._streams if stream.name and stream.name == name[:_LONGEST_NAME]]
        if not streams:
            return "gone"
        return "late" if all(stream.is_late() for stream in streams) else "running"

    async def _serve_health(self, request: web.Request) -> web.Response:
        state = self._state()
        # Without credentials no more than the word: the reason may name hosts.
        told = {"state": state["state"]} if request.get("stranger") else {"state": state["state"], "reason": state["reason"]}
        return web.json_response(told, status=200 if state["state"] == "live" else 503)

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _serve_snapshot(self, request: web.Request) -> web.Response:
        """The newest frame. While the source is lost that is the placeholder, with status 200.

        Programs that poll stills (Home Assistant's generic camera among them) keep showing the last good picture when they get
        an error: a frozen picture that looks live. The placeholder says what is wrong. Who must know in code reads
        X-EdgeColor-State and X-EdgeColor-Origin here, or asks /healthz. 503 when there is not even a placeholder.
        """
        view = self._view(request)
        with view.watched():
            newest = view.newest
            # While others watch, the newest frame is there already; else, or when it is from before a loss, it is waited for.
            if newest is None or (newest.frame.origin != "placeholder" and self._state()["state"] != "live"):
                try:
                    await asyncio.wait_for(view.changed.wait(), self._patience())
                except TimeoutError:
                    raise error(web.HTTPServiceUnavailable, self._state()["reason"] or "no frame came in time") from None
                newest = view.newest
            if self._closing or newest is None:
                raise error(web.HTTPServiceUnavailable, "the server is stopping")
        frame = newest.frame
        headers = {"X-Sequence": str(frame.sequence), "X-EdgeColor-Origin": frame.origin, "X-EdgeColor-State": self._state()["state"]}
        self._bytes_sent += len(newest.jpeg)
        return web.Response(body=newest.jpeg, content_type="image/jpeg", headers=headers)

    def _patience(self) -> float:
        """Seconds within which a frame comes: at the pace of the source, one with long exposures is slow, and of the allowed guesses."""
        state = self._state()
        paces = (state["source"]["promised_rate"], state["frames"]["rate_in"], state["chroma"]["limit"])
        rates = [rate for rate in paces if rate]
        interval = 1 / min(rates) if rates else 0.0
        return _SNAPSHOT_S + max(0.0, 1.5 * interval - (state["source"]["age_s"] or 0.0))

    async def _serve_stream(self, request: web.Request) -> web.StreamResponse:
        if request.method != "GET":  # the root answers HEAD as well
            raise web.HTTPMethodNotAllowed(request.method, ["GET"])
        view = self._view(request)
        response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"})
        response.force_close()
        stream = _Stream(request.query.get("t", "")[:_LONGEST_NAME])
        try:
            with self._place(view, client_of(request.transport), stream), view.watched():
                bound_kernel_buffer(request)
                await response.prepare(request)
                await self._send_parts(view, stream, response, _CHROMIUM in request.headers.get("User-Agent", ""))
        except ConnectionResetError:  # aiohttp's ClientConnectionResetError is one
            pass  # the viewer went, or was cut because it took nothing: nobody is left to tell
        return response

    @contextmanager
    def _place(self, view: View, who: str, stream: _Stream) -> Iterator[None]:
        """One viewer's place, or 503."""
        most, each = self._options.viewers, self._options.viewers_each
        if self._viewers.total() >= most:
            raise error(web.HTTPServiceUnavailable, f"all {most} places for viewers are taken")
        if each and self._viewers[who] >= each and not is_loopback(who):
            raise error(web.HTTPServiceUnavailable, f"all {each} places for viewers from one address are taken")
        self._viewers[who] += 1
        view.streams += 1
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)
            view.streams -= 1
            self._viewers[who] -= 1
            if not self._viewers[who]:
                del self._viewers[who]

    async def _send_parts(self, view: View, stream: _Stream, response: web.StreamResponse, chromium: bool) -> None:
        await response.write(stream_begin(chromium))
        sent = None
        while not self._closing:
            newest = view.newest
            if newest is None or newest is sent:
                await view.changed.wait()
                continue
            sent = newest
            stream.begin_part()
            part = newest.part_chromium if chromium else newest.part
            self._bytes_sent += len(part)
            # Returns only when the part has left this process: then the frame that is newest by that time is next.
            await response.write(part)
            await response.drain()
            stream.end_part()

    def _view(self, request: web.Request) -> View:
        name = request.query.get("view", "color")
        if name not in self._views:
            raise error(web.HTTPBadRequest, f"view must be one of {', '.join(VIEWS)}")
        return self._views[name]

    def _traffic(self) -> Traffic:
        streams = {name: view.streams for name, view in self._views.items()}
        encoded = {name: view.encoded for name, view in self._views.items()}
        return Traffic(streams, encoded, self._bytes_sent, self._gate.failures if self._gate is not None else 0)

    # Who is let in

    @web.middleware
    async def _refuse_foreign_hosts(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host")
        if request.version < HttpVersion10 or (host is None and request.version > HttpVersion10):
            raise error(web.HTTPBadRequest, "a request names its host, in HTTP/1.0 or later")
        asked = [name for name in (host, request.rel_url.authority) if name]  # the latter when a whole address is asked for
        if not all(self._hosts.allows(name) for name in asked):
            raise error(web.HTTPMisdirectedRequest, "this server does not answer to that host name; the option hosts can allow it")
        return await handler(request)

    @web.middleware
    async def _refuse_strangers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._gate is None:
            return await handler(request)
        authorization, token = request.headers.get("Authorization"), request.query.get("token")
        verdict = await self._gate.judge(authorization, token, client_of(request.transport))
        if verdict == "absent" and request.path == "/healthz" and self._options.probe == "word":
            request["stranger"] = True
        elif verdict == "throttled":
            raise error(web.HTTPTooManyRequests, "too many wrong passwords or tokens; wait", {"Retry-After": "10"})
        elif verdict != "granted":
            what = "no credentials" if verdict == "absent" else "wrong credentials"
            raise error(web.HTTPUnauthorized, what, {"WWW-Authenticate": self._gate.challenge})
        return await handler(request)
