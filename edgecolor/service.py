"""What systemd is told of the live server: that it is ready, how it goes, and that frames still move.

Sources: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5). Without $NOTIFY_SOCKET nothing is sent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from edgecolor.logs import masked

_LOG = logging.getLogger(__name__)
_LOOK_S = 5.0  # between two looks at the pipeline, and so between two STATUS lines
_STALL_S = 10.0  # work that waits for so long is not being done; a guess takes a slow board a second or two
_TRY_S, _TRY_TIMEOUTS = 60.0, 4.0  # a try to open a source: so many seconds, or its timeout so many times, whichever is longer
_FIRST_SOCKET = 3  # sd_listen_fds(3), SD_LISTEN_FDS_START
_LONGEST_STATUS = 500  # letters


class Notifier:
    """systemd's notification socket. Takes its variables out of ``environment``, so that no program started later has them.

    watchdog: seconds within which systemd wants to hear of us, None when it does not watch.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        period, process = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        ours = bool(self._address) and process in ("", str(os.getpid()))
        self.watchdog = int(period) / 1e6 if ours and period.isdigit() and int(period) > 0 else None
        if self._address and self._address[0] not in "/@":
            _LOG.warning("$NOTIFY_SOCKET is %r: neither a path nor an abstract socket; systemd is told nothing", self._address)
            self._address = ""

    def send(self, *assignments: str) -> None:
        """Send NAME=value lines as one message. Whatever goes wrong with it is logged and nothing more: the picture goes on."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.settimeout(1.0)
                notify.sendto("\n".join(assignments).encode(), address)
        except OSError as error:
            _LOG.warning("systemd could not be told %s: %s", assignments[0], error.strerror or error)


def inherited_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Listening TCP sockets that systemd opened for this process (sd_listen_fds(3)); what else it passed on is closed and told."""
    process, count, _ = (environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if process != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for descriptor in range(_FIRST_SOCKET, _FIRST_SOCKET + int(count)):
        os.set_inheritable(descriptor, False)
        try:
            given = socket.socket(fileno=descriptor)
        except OSError:
            _LOG.warning("descriptor %d from systemd is no socket", descriptor)
            os.close(descriptor)
            continue
        if given.family in (socket.AF_INET, socket.AF_INET6) and given.type == socket.SOCK_STREAM:
            found.append(given)
        else:
            _LOG.warning("descriptor %d from systemd is no TCP socket; ListenStream=IP:PORT is what can be used", descriptor)
            given.close()
    return found


class _Waiting:
    """For how long work has been waiting while none of it was done."""

    def __init__(self) -> None:
        self._done: object = None
        self._since = 0.0

    def seconds(self, done: object, owed: bool, now: float) -> float:
        """done: whatever changes whenever work is done. owed: whether there is work to do."""
        if done != self._done or not owed:
            self._done, self._since = done, now
        return now - self._since


class Pulse:
    """Tells by what ``Pipeline.state()`` says whether each of its threads still does its work.

    A lost camera is no standstill: placeholders go out and tries go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._source, self._output, self._chroma = _Waiting(), _Waiting(), _Waiting()
        self._sent = self._guessed = (-1, 0)  # what was done, and frames that had come by then

    def standstill(self, state: dict[str, Any], timeout: float) -> str | None:
        """What no longer moves, in words; None when everything does. To be asked every few seconds.

        state: ``Pipeline.state()``. timeout: the source's own, in seconds.
        """
        now, frames, source, chroma = self._clock(), state["frames"], state["source"], state["chroma"]
        if state["state"] in ("ended", "failed"):
            return None  # the process is about to end
        sent, guesses, taken = frames["out"] + frames["placeholders"], chroma["guesses"], frames["in"]
        if sent != self._sent[0]:
            self._sent = (sent, taken)
        if guesses != self._guessed[0]:
            self._guessed = (guesses, taken)
        # Both may wait for a guess, as long as the limit of their rate says.
        patience = max(_STALL_S, 3 / chroma["limit"]) if chroma["active"] and chroma["limit"] else _STALL_S
        # One frame may be on its way for any time where they come seldom; the second one shows that the first was left.
        waiting = self._output.seconds(sent, state["state"] == "lost" or taken >= self._sent[1] + 2, now)
        if waiting > patience:
            return f"the output has sent nothing for {waiting:.0f} s, although there is something to send"
        waiting = self._chroma.seconds(guesses, chroma["active"] and taken >= self._guessed[1] + 2, now)
        if waiting > patience:
            return f"no colour has been guessed for {waiting:.0f} s, although frames wait for it"
        waiting = self._source.seconds((taken, source["tries"]), source["retry_in_s"] is None, now)
        if waiting > max(_TRY_S, _TRY_TIMEOUTS * timeout):
            return f"the source has neither given a frame nor given up for {waiting:.0f} s"
        return None


class Service:
    """The conversation with systemd over one life of the server. sockets: those that it opened for us, to be kept open."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._notifier = Notifier(environment)
        self.sockets = inherited_sockets(environment)
        self._remark = ""

    def ready(self, remark: str = "") -> None:
        """The server listens and the pipeline runs, or runs again after ``reloading``. remark: stands in STATUS from now on."""
        self._remark = remark
        self._notifier.send("READY=1", f"STATUS={_one_line(remark or 'ready')}")

    def reloading(self) -> None:
        """The configuration is being read anew."""
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", "STATUS=reloading")

    def stopping(self) -> None:
        """The end begins."""
        self._notifier.send("STOPPING=1", "STATUS=stopping")

    async def report(self, state: Callable[[], dict[str, Any]], timeout: Callable[[], float]) -> None:
        """Until cancelled, tell how it goes and, as long as frames move, that it does. To run in the server's own event loop.

        state: ``Pipeline.state()`` and "viewers". timeout: the source's. Both may become another pipeline's on the way.
        """
        watchdog = self._notifier.watchdog
        pause = min(_LOOK_S, watchdog / 2 if watchdog is not None else _LOOK_S)
        pulse, before = Pulse(), None
        while True:
            now = state()
            standstill = pulse.standstill(now, timeout())
            if (standstill is None) != (before is None):
                if standstill is None:
                    _LOG.warning("everything moves again")
                else:
                    _LOG.error("%s: systemd gets no heartbeat until it does%s", standstill, "" if watchdog else " (and asks for none)")
            before = standstill
            told = [f"STATUS={_one_line('; '.join(filter(None, (standstill, status(now), self._remark))))}"]
            if standstill is None and watchdog is not None:
                told.append("WATCHDOG=1")
            self._notifier.send(*told)
            await asyncio.sleep(pause)


def status(state: dict[str, Any]) -> str:
    """How it goes, for people. state: ``Pipeline.state()`` and "viewers".

    >>> live: 25.0 frames/s in, 25.0 out, 4.0 colour guesses/s, 2 viewers, 51 °C
    >>> lost: connection refused; next try in 4 s, 0 viewers
    """
    frames, source, chroma, viewers = state["frames"], state["source"], state["chroma"], state["viewers"]
    parts = []
    if state["state"] == "live":
        parts = [f"live: {frames['rate_in']:.1f} frames/s in", f"{frames['rate']:.1f} out", _colour(chroma)]
    else:
        retry = source["retry_in_s"]
        parts = [f"{state['state']}: {state['reason'] or 'no reason known'}" + ("" if retry is None else f"; next try in {retry:.0f} s")]
    parts.append(f"{viewers} viewer{'' if viewers == 1 else 's'}")
    if state["temperature_c"] is not None:
        parts.append(f"{state['temperature_c']:.0f} °C" + (" (throttled)" if chroma["throttled"] else ""))
    return ", ".join(parts)


def _colour(chroma: dict[str, Any]) -> str:
    if chroma["active"]:
        return f"{chroma['rate']:.1f} colour guesses/s" + (f" of at most {chroma['limit']:g}" if chroma["limit"] else "")
    if chroma["mode"] == "never":
        return "no colour is guessed"
    return "the picture has colours of its own" if chroma["feed"] == "color" and chroma["mode"] == "auto" else "no colour guessed now"


def _one_line(text: str) -> str:
    """As systemd takes a value: one line without control characters, and not endless; without passwords in any case."""
    line = "".join(c if c.isprintable() else " " for c in masked(text))
    return line if len(line) <= _LONGEST_STATUS else line[: _LONGEST_STATUS - 1] + "…"
