"""HTTP: a page, MJPEG streams, snapshots, health and state.

A frame is encoded once for all viewers of a view, and not at all for a view that nobody watches. Each viewer gets the
newest frame whenever it is ready for one: a slow viewer misses frames and slows nobody.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import json
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectionResetError, HttpVersion10, web
from aiohttp.http_exceptions import HttpProcessingError

from edgecolor.containers.header import Metadata
from edgecolor.containers.jpeg import embed
from edgecolor.errors import ServeError
from edgecolor.frame import Frame
from edgecolor.jpeg import encode_jpeg

VIEWS = ("color", "gray", "split")
VIEWERS = 64
_LOG = logging.getLogger(__name__)
_REQUEST_LOG = logging.getLogger(f"{__name__}.requests")
_BOUNDARY = "edgecolor-frame"
# The next part's boundary and headers are sent right behind each frame, so that a viewer knows at once that it is whole.
# Chromium wants these headers to be complete, else it shows every frame when the next one comes; but then they can not
# tell a length that is not known yet, without which others (go2rtc) refuse a part. So it depends on the browser.
_PART_BEGIN = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n".encode()
_CHROMIUM = "Chrome/"
# Bytes that may wait unsent in the kernel for one viewer: without a bound a slow viewer watches the past.
_NOTSENT_LOWAT = 16384
_SNAPSHOT_S = 3.0
_STUCK_S = 30.0  # a viewer that takes nothing for so long is let go
_CLOSE_S = 0.5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class _View:
    """One way to look at the frames; touched by the event loop's thread only, but for reading ``watchers``."""

    watchers: int = 0  # streams, and snapshots that wait
    encoded: int = 0
    sequence: int = -1
    jpeg: bytes = b""
    part: bytes = b""  # the frame as a part of a stream, from its length to the begin of the next part
    part_chromium: bytes = b""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class HttpSink:
    """Serves frames over HTTP. ``put`` is for the pipeline's thread; all else runs in one asyncio loop.

    state: what /state shows and /healthz judges by ("state" is "live" while all is well, "reason" tells why it is not).
    xmp: the packet that marks every JPEG with guessed colour (see provenance.py), live ones too: stills are cut from them.
    """

    def __init__(self, state: Callable[[], dict[str, Any]], xmp: bytes, viewers: int = VIEWERS) -> None:
        self._state = state
        self._marking = Metadata(xmp=xmp)
        self._limit = viewers
        self._streams = 0
        self._views = {name: _View() for name in VIEWS}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: web.AppRunner | None = None
        self._closing = False
        page = (Path(__file__).parent / "page.html").read_text("utf-8")
        self._page, self._policy = page, _content_security_policy(page)

    # The pipeline's side

    def wants_color(self) -> bool:
        """Whether anybody watches a view with chroma."""
        return self._views["color"].watchers > 0 or self._views["split"].watchers > 0

    def put(self, frame: Frame) -> None:
        """Encode the frame for each view that is watched, and hand it to the viewers."""
        if self._loop is None:
            return
        for name, view in self._views.items():
            # Chroma may be missing just after the first viewer came: that frame was made before it was wanted.
            if view.watchers and (name == "gray" or frame.cb is not None):
                jpeg = encode_jpeg(_look(frame, name))
                if name != "gray":
                    jpeg = embed(jpeg, self._marking)
                self._loop.call_soon_threadsafe(self._publish, view, jpeg, frame)

    def _publish(self, view: _View, jpeg: bytes, frame: Frame) -> None:
        view.encoded += 1
        view.sequence, view.jpeg = frame.sequence, jpeg
        headers = f"Content-Length: {len(jpeg)}\r\nX-Sequence: {frame.sequence}\r\nX-Pts: {frame.pts or 0.0:.6f}\r\n\r\n"
        view.part = b"".join((headers.encode(), jpeg, b"\r\n", _PART_BEGIN))
        view.part_chromium = b"".join((jpeg, b"\r\n", _PART_BEGIN, b"\r\n"))
        changed, view.changed = view.changed, asyncio.Event()
        changed.set()

    # The viewers' side

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the address in use (port 0 asks for a free one). Raises ServeError when it can not be had."""
        app = web.Application(middlewares=[_answer_errors, _refuse_foreign_hosts])
        app.router.add_get("/", self._serve_page)
        app.router.add_get("/stream.mjpg", self._serve_stream, allow_head=False)
        app.router.add_get("/snapshot.jpg", self._serve_snapshot, allow_head=False)
        app.router.add_get("/healthz", self._serve_health)
        app.router.add_get("/state", self._serve_state)
        app.on_response_prepare.append(_no_store)
        _REQUEST_LOG.addFilter(_worth_logging)
        self._runner = web.AppRunner(app, access_log=None, logger=_REQUEST_LOG, handler_cancellation=True, shutdown_timeout=_CLOSE_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ServeError(f"can not listen on {host}:{port}: {error.strerror or error}; choose another with --http HOST:PORT") from error
        self._loop = asyncio.get_running_loop()
        address = self._runner.addresses[0]
        return str(address[0]), int(address[1])

    async def stop(self) -> None:
        """Let every viewer go and stop listening. The pipeline must have stopped before."""
        self._closing = True
        for view in self._views.values():
            view.changed.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve_page(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html", headers={"Content-Security-Policy": self._policy})

    async def _serve_state(self, request: web.Request) -> web.Response:
        views = {name: {"watchers": view.watchers, "encoded": view.encoded} for name, view in self._views.items()}
        return web.json_response({**self._state(), "viewers": self._streams, "views": views})

    async def _serve_health(self, request: web.Request) -> web.Response:
        state = self._state()
        live = state["state"] == "live"
        return web.json_response({"state": state["state"], "reason": state["reason"]}, status=200 if live else 503)

    async def _serve_snapshot(self, request: web.Request) -> web.Response:
        view = self._view(request)
        with _watching(view):
            # While others watch a live source the newest frame is there already; else it must be waited for.
            if not view.jpeg or self._state()["state"] != "live":
                try:
                    await asyncio.wait_for(view.changed.wait(), _SNAPSHOT_S)
                except TimeoutError:
                    raise _error(web.HTTPServiceUnavailable, self._state()["reason"] or "no frame came in time") from None
            if self._closing:
                raise _error(web.HTTPServiceUnavailable, "the server is stopping")
            return web.Response(body=view.jpeg, content_type="image/jpeg", headers={"X-Sequence": str(view.sequence)})

    async def _serve_stream(self, request: web.Request) -> web.StreamResponse:
        view = self._view(request)
        if self._streams >= self._limit:
            raise _error(web.HTTPServiceUnavailable, f"all {self._limit} places for viewers are taken")
        response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}"})
        response.force_close()
        self._streams += 1
        try:
            with _watching(view):
                _bound_buffers(request)
                await response.prepare(request)
                await self._send_parts(view, response, _CHROMIUM in request.headers.get("User-Agent", ""))
        except ConnectionResetError:  # aiohttp's ClientConnectionResetError is one
            pass  # the viewer went: nobody is left to tell
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # an orderly end would wait for the viewer once more
        finally:
            self._streams -= 1
        return response

    async def _send_parts(self, view: _View, response: web.StreamResponse, chromium: bool) -> None:
        await response.write(_PART_BEGIN + (b"\r\n" if chromium else b""))
        sent = -1
        while not self._closing:
            if view.sequence == sent or not view.jpeg:
                await view.changed.wait()
                continue
            sent = view.sequence
            async with asyncio.timeout(_STUCK_S):
                # Returns only when the part has left this process: then the frame that is newest by that time is next.
                await response.write(view.part_chromium if chromium else view.part)
                await response.drain()

    def _view(self, request: web.Request) -> _View:
        name = request.query.get("view", "color")
        if name not in self._views:
            raise _error(web.HTTPBadRequest, f"view must be one of {', '.join(VIEWS)}")
        return self._views[name]


def _look(frame: Frame, view: str) -> Frame:
    """The frame as a view shows it: without chroma, with it, or with it in the right half only."""
    if view == "color" or frame.cb is None or frame.cr is None:
        return frame
    if view == "gray":
        return replace(frame, cb=None, cr=None)
    cb, cr = frame.cb.copy(), frame.cr.copy()
    middle = cb.shape[1] // 2
    cb[:, :middle] = cr[:, :middle] = 128
    return replace(frame, cb=cb, cr=cr)


@contextmanager
def _watching(view: _View) -> Iterator[None]:
    view.watchers += 1
    try:
        yield
    finally:
        view.watchers -= 1
        if not view.watchers:  # from now on it is not kept up to date: nobody may take it for new later
            view.jpeg = view.part = view.part_chromium = b""
            view.sequence = -1


def _bound_buffers(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        raise ClientConnectionResetError("the viewer has gone")
    transport.set_write_buffer_limits(high=0)
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT)


def _error(kind: type[web.HTTPException], message: str) -> web.HTTPException:
    return kind(text=json.dumps({"error": message}), content_type="application/json")


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is JSON; one that nobody foresaw is logged and tells the viewer nothing of the inside."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.content_type == "application/json":
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.json_response({"error": error.reason}, status=error.status, headers=headers)
    except ClientConnectionResetError:
        raise
    except Exception:  # noqa: BLE001 - the last stop before the network
        _LOG.error("%s %s failed", request.method, request.path, exc_info=True)
        return web.json_response({"error": "internal error"}, status=500)


@web.middleware
async def _refuse_foreign_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only loopback names may be asked for: else any web page could read the camera by DNS rebinding."""
    host = request.headers.get("Host")
    if request.version < HttpVersion10 or (host is None and request.version > HttpVersion10):
        raise _error(web.HTTPBadRequest, "a request names its host, in HTTP/1.0 or later")
    asked = [name for name in (host, request.rel_url.authority) if name]  # the latter when a whole address is asked for
    for name in asked:
        match = re.fullmatch(r"(?:\[([^]]*)\]|([^:]*))(?::[0-9]*)?", name)
        if match is None or not ((match[1] or match[2]) == "localhost" or is_loopback(match[1] or match[2])):
            raise _error(web.HTTPMisdirectedRequest, "this server answers to localhost only")
    return await handler(request)


def _worth_logging(record: logging.LogRecord) -> bool:
    """aiohttp logs each malformed request as an error with its traceback; it is the client's fault and has its 4xx."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine's loopback interface (names are not: they are resolved by others)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _no_store(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "EdgeColor"


def _content_security_policy(page: str) -> str:
    """Lets the page's own inline script and style run, by their hashes, and nothing from elsewhere."""

    def hashes(tag: str) -> str:
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies)

    return (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
