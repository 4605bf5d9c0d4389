"""Whether the picture is live, since when it is not and why; and how long to wait before the next try."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, RLock
from time import monotonic
from typing import Literal

from edgecolor.errors import Loss, SourceLostError
from edgecolor.frame import Frame
from edgecolor.sources import Source

_LOG = logging.getLogger(__name__)
State = Literal["starting", "live", "lost", "ended", "failed"]
# A source gets this much longer than its timeout to say itself that it is lost, since it knows better why.
_GRACE_S = 1.0
_JITTER = 0.25
_NOTHING_YET = "no frame has come through yet"


class Retries:
    """Waiting times between tries: doubled from ``first`` to ``most`` seconds, each up to a quarter shorter by chance.

    The chance keeps many cameras, lost by one power cut, from being asked all at once for ever. steady: seconds for which
    frames must have come before the next loss begins at ``first`` again.
    """

    def __init__(self, first: float, most: float, steady: float, chance: Callable[[], float] = random.random) -> None:
        self._first, self._most, self._steady, self._chance = first, most, steady, chance
        self._next = first

    def delay(self, good_for: float) -> float:
        """Seconds to wait now, after frames had come for ``good_for`` seconds."""
        if good_for >= self._steady:
            self._next = self._first
        delay, self._next = self._next, min(self._most, 2 * self._next)
        return delay * (1 - _JITTER * self._chance())


class Health:
    """What is known of one source and its picture; written by the pipeline's threads, read by any.

    Within one outage, each kind of loss is logged and counted once, however many tries fail in the same way.
    """

    def __init__(self, name: str, live: bool, timeout: float, clock: Callable[[], float] = monotonic) -> None:
        self.losses: Counter[Loss] = Counter()
        self.reconnects = self.tries = 0
        self.last_good: float | None = None  # on the clock
        self._name, self._live, self._timeout, self._clock = name, live, timeout, clock
        self._lock = RLock()
        self._state: State = "starting"
        self._reason: str | None = _NOTHING_YET
        self._since = self._waiting_since = clock()
        self._good_since: float | None = None
        self._kinds: set[Loss] = set()
        self._retry_at: float | None = None
        self._sent = False

    @property
    def lost(self) -> bool:
        """Whether the source is lost now."""
        return self._state == "lost"

    def view(self) -> tuple[State, str | None, float]:
        """State, reason, and since when on the clock: all three of one moment."""
        with self._lock:
            return self._state, self._reason, self._since

    def begin(self) -> None:
        """A try to open the source begins."""
        with self._lock:
            self._retry_at, self._good_since = None, None
            self._waiting_since = self._clock()

    def good_for(self) -> float:
        """Seconds from the first to the newest frame of this try."""
        with self._lock:
            return self.last_good - self._good_since if self._good_since is not None and self.last_good is not None else 0.0

    def came(self) -> bool:
        """A frame came; True when it ends an outage."""
        with self._lock:
            self.last_good = self._waiting_since = self._clock()
            self._good_since = self.last_good if self._good_since is None else self._good_since
            if self._state != "lost":
                return False
            gone_for = self.last_good - self._since
            self.reconnects += 1
            self._kinds.clear()
            if self._sent:
                self._change("live", None)
            else:
                self._change("starting", _NOTHING_YET)
        _LOG.info("source %s is back after %.1f s", self._name, gone_for)
        return True

    def sent(self) -> None:
        """A frame went to the sinks."""
        with self._lock:
            self._sent = True
            if self._state == "starting":
                self._change("live", None)

    def lose(self, kind: Loss, reason: str) -> None:
        """The source is lost; also called for each further try that fails."""
        reason = reason.removeprefix(f"{self._name}: ")  # wherever it is shown, the name stands beside it
        with self._lock:
            if self._state in ("ended", "failed"):
                return
            new = kind not in self._kinds
            self._kinds.add(kind)
            if self._state == "lost":
                self._reason = reason
            else:
                self._change("lost", reason)
            if new:
                self.losses[kind] += 1
        if new:
            _LOG.warning("source %s is lost (%s): %s; trying again", self._name, kind, reason, extra={"fields": {"loss": kind}})

    def check_age(self) -> None:
        """Declare a live source lost when its newest frame is too old, even where its own thread hangs and says nothing."""
        with self._lock:
            age = self._clock() - self._waiting_since
            if self._live and self._state in ("starting", "live") and age > self._timeout + _GRACE_S:
                self.lose("silent", f"no frame for {age:.0f} s")

    def finish(self, state: Literal["ended", "failed"], reason: str) -> None:
        """The pipeline is over."""
        with self._lock:
            self._retry_at = None
            self._change(state, reason)

    def retry_in(self, delay: float) -> None:
        """The next try begins in ``delay`` seconds."""
        self._retry_at = self._clock() + delay

    def time_to_retry(self) -> float | None:
        """Seconds until the next try; None while none is waited for."""
        retry_at = self._retry_at
        return None if retry_at is None else max(0.0, retry_at - self._clock())

    def age(self) -> float | None:
        """Seconds since the newest frame came."""
        last = self.last_good
        return None if last is None else self._clock() - last

    def wall_time(self, moment: float) -> datetime:
        """A moment of the clock as UTC. Reckoned back from now: a board without a battery learns the time late."""
        return datetime.now(UTC) - timedelta(seconds=self._clock() - moment)

    def _change(self, state: State, reason: str | None) -> None:
        self._state, self._reason, self._since = state, reason, self._clock()


def frames_for_ever(source: Source, health: Health, retries: Retries, stop: Event) -> Iterator[Frame]:
    """A live source's frames over all its losses, until ``stop`` is set; those of another source until its end.

    Losses are told to ``health``; that frames come is not. Raises what a source raises that is not live, and what is no loss.
    """
    while not stop.is_set():
        health.tries += 1
        health.begin()
        try:
            yield from source.frames(stop)
            if stop.is_set() or not source.live:
                return
            health.lose("ended", "the stream has ended")
        except SourceLostError as error:
            if not source.live:
                raise
            health.lose(error.kind, str(error))
        delay = retries.delay(health.good_for())
        health.retry_in(delay)
        stop.wait(delay)
