"""Connections: where they are accepted, how many, and when one that is too slow is cut."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

from aiohttp import ClientConnectionResetError, web
from aiohttp.http_exceptions import HttpProcessingError

from edgecolor.errors import ServeError
from edgecolor.sinks.http.access import network_of
from edgecolor.sinks.http.options import is_loopback

# Seconds. A request must be whole so long after the connection or the answer before it, however slowly it trickles in.
REQUEST_S = 8.0
STUCK_S = 30.0  # one who takes nothing for so long is let go
_BODY_S = 1.0  # nothing has a use for a body: it is thrown away for so long, then the connection ends
_HANDSHAKE_S = 5.0
_REST_S = 1.0  # after a connection could not be taken for want of descriptors or memory
_SPARE = 64  # connections beyond the streams: pages, probes, and those who have not asked yet
_LINE, _FIELD, _HEADERS = 4096, 4096, 64  # bytes of the request line and of one header; headers
# Bytes that may wait unsent in the kernel for one viewer: without a bound a slow viewer watches the past.
_NOTSENT_LOWAT = 16384
_LOG = logging.getLogger(__name__)


class Listener:
    """Accepts connections for one web application. streams: how many of them may be streams at once.

    They are counted from the moment they are accepted, before any TLS: asyncio's own servers hold a connection uncounted, and
    its protocol unasked, until its handshake is over.

    inherited: sockets that listen already. They are used for the addresses that they have, and left open.
    """

    def __init__(self, app: web.Application, streams: int, inherited: Sequence[socket.socket] = ()) -> None:
        self._inherited = {one.getsockname()[:2]: one for one in inherited}
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        self._tasks: set[asyncio.Task[None]] = set()  # one for each address, and one for each connection that is being opened
        self._sockets: list[socket.socket] = []
        self._limit = _affordable(streams + _SPARE)
        self._open: Counter[str] = Counter()

    def bind(self, host: str, port: int) -> tuple[str, int]:
        """Take an address; returns it with its real port. Raises ServeError when it can not be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        given = self._inherited.get((host, port))
        try:
            bound = given.dup() if given is not None else socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            self._close_sockets()
            why = (error.strerror or str(error)).partition(" (")[0]
            raise ServeError(f"can not listen on {host}:{port}: {why}; choose another address or port") from error
        self._sockets.append(bound)
        return host, int(bound.getsockname()[1])

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        """Begin to accept at all addresses that were taken."""
        await self._runner.setup()
        for bound in self._sockets:
            bound.setblocking(False)
            self._begin(self._accept(bound, tls))

    async def stop(self) -> None:
        """Accept no more and end all connections."""
        loop, tasks = asyncio.get_running_loop(), list(self._tasks)
        for bound in self._sockets:
            loop.remove_reader(bound)  # else who comes in this very moment is taken in by an accept that nobody awaits any more
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._runner.cleanup()
        self._close_sockets()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, bound: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop, failing = asyncio.get_running_loop(), False
        while True:
            await asyncio.sleep(0)  # where many knock at once, all else has its turn between them
            try:
                accepted, peer = await loop.sock_accept(bound)
            except ConnectionError:
                continue  # it went before it was taken
            except OSError as error:
                if not failing:
                    _LOG.warning("a connection can not be taken: %s", error.strerror)
                failing = True
                await asyncio.sleep(_REST_S)
                continue
            failing = False
            who = network_of(str(peer[0]))
            if self.admit(who):
                self._begin(self._open_connection(accepted, who, tls))
            else:
                accepted.close()

    async def _open_connection(self, accepted: socket.socket, who: str, tls: ssl.SSLContext | None) -> None:
        assert self._runner.server is not None
        loop, limit = asyncio.get_running_loop(), _HANDSHAKE_S if tls is not None else None
        connection = _Connection(
            self, who, self._runner.server, loop=loop, logger=_LOG, access_log=None, keepalive_timeout=REQUEST_S,
            lingering_time=_BODY_S, max_line_size=_LINE, max_field_size=_FIELD, max_headers=_HEADERS,
        )  # fmt: skip
        try:
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=limit, ssl_shutdown_timeout=limit
            )
        except OSError:
            pass  # no TLS, too slow, or gone: the client's fault, and not worth a log
        finally:
            if connection.transport is None:  # it was never made, or is lost already
                connection.leave()

    def _close_sockets(self) -> None:
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()

    def admit(self, who: str) -> bool:
        """Count a new connection, unless there are too many: half of all for one who is not on this machine."""
        if self._open.total() >= self._limit or (not is_loopback(who) and self._open[who] >= self._limit // 2):
            return False
        self._open[who] += 1
        return True

    def dismiss(self, who: str) -> None:
        """A connection that was admitted has ended."""
        self._open[who] -= 1
        if not self._open[who]:
            del self._open[who]


class _Connection(web.RequestHandler):
    """aiohttp's connection, which is cut when its client takes nothing. It has been admitted, and dismisses itself."""

    def __init__(self, listener: Listener, who: str, manager: web.Server, **limits: Any) -> None:
        super().__init__(manager, **limits)
        self._listener = listener
        self._who: str | None = who
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        # Writing pauses as soon as the kernel does not take all: so a client that takes nothing is seen, whatever it asked for.
        transport.set_write_buffer_limits(high=1, low=0)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.leave()
        self._end_patience()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Give the place among the connections back."""
        if self._who is not None:
            self._listener.dismiss(self._who)
            self._who = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = asyncio.get_running_loop().call_later(STUCK_S, self._cut)

    def resume_writing(self) -> None:
        self._end_patience()
        super().resume_writing()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is no HTTP: that is the client's fault and not worth a log. aiohttp's own would name itself."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if not isinstance(exc, HttpProcessingError):
            _LOG.error("a request failed", exc_info=exc)
        told = {"error": "not a request that this server understands" if status < 500 else "internal error"}
        answer = web.json_response(told, status=status, headers={"Server": "EdgeColor"})
        answer.force_close()
        return answer

    def _end_patience(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()  # an orderly end would wait for the client once more


def _affordable(connections: int) -> int:
    """That many connections, or fewer: half of the files that this process may have open are left for all else."""
    most = os.sysconf("SC_OPEN_MAX") // 2
    if 0 < most < connections:
        _LOG.warning("no more than %d connections at once are taken, streams and others, not %d: this process may have %d files "
            "open; in a unit of systemd LimitNOFILE= tells how many", most, connections, 2 * most)  # fmt: skip
        return most
    return connections


def client_of(transport: asyncio.BaseTransport | None) -> str:
    """What counts as one client, see ``network_of``; "" when it has gone. X-Forwarded-For is not believed: anybody can send it."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return network_of(str(peer[0])) if peer else ""


def bound_kernel_buffer(request: web.Request) -> None:
    """Let the kernel keep little that is unsent for this client. Raises ClientConnectionResetError when it has gone."""
    if request.transport is None:
        raise ClientConnectionResetError("the viewer has gone")
    connection = request.transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT)
