"""What the live threads count with, and the slot that they hand frames through. All of it is safe between threads."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from threading import Condition, Lock
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_RATE_WINDOW_S = 5.0
_MISSING = 3  # events that should have come since the last one: then they have stopped
# Upper bounds in seconds: from a quick guess on a fast board to a stall.
LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)


class Latest(Generic[T]):
    """A slot for one item between two threads: a newer one replaces what was not taken, and counts it as dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._item: T | None = None
        self._closed = False
        self._changed = Condition()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def put(self, item: T) -> None:
        """Leave the newest item."""
        with self._changed:
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and take it; None once the slot is closed, or when none came within ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return None if self._closed else item

    def clear(self) -> None:
        """Throw away what was not taken, without counting it."""
        with self._changed:
            self._item = None

    def close(self) -> None:
        """Wake whoever waits; from now on ``take`` gives None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Meter:
    """Counts events; their rate is that of the last few seconds, or of the last two events where they come more seldom."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.count = 0
        self._clock = clock
        self._times: deque[float] = deque()
        self._lock = Lock()

    def tick(self) -> None:
        """Count one event now."""
        with self._lock:
            self.count += 1
            self._times.append(self._clock())
            self._forget()

    def rate(self) -> float:
        """Events a second. When no more come it falls with the time that they fail to come, and soon to 0."""
        with self._lock:
            self._forget()
            intervals = len(self._times) - 1
            if intervals < 1:
                return 0.0
            span, silent = self._times[-1] - self._times[0], self._clock() - self._times[-1]
            if silent > max(_RATE_WINDOW_S, _MISSING * span / intervals):
                return 0.0
            return intervals / max(span, silent) if span or silent else 0.0

    def restart(self) -> None:
        """Forget when events came, not how many: what comes now has a pace of its own."""
        with self._lock:
            self._times.clear()

    def _forget(self) -> None:
        while len(self._times) > 2 and self._times[0] < self._clock() - _RATE_WINDOW_S:
            self._times.popleft()


class Histogram:
    """Counts values by size, as Prometheus does: each bucket holds all values up to its bound.

    buckets: rising upper bounds; a last one without bound comes with it. keep: how many newest values ``median`` is taken of.
    """

    def __init__(self, buckets: tuple[float, ...] = LATENCY_BUCKETS, keep: int = 64) -> None:
        self._bounds = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        self._newest: deque[float] = deque(maxlen=keep)
        self._lock = Lock()

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value
            self._newest.append(value)

    def median(self) -> float | None:
        """Upper median of the newest values; None before the first."""
        with self._lock:
            newest = sorted(self._newest)
        return newest[len(newest) // 2] if newest else None

    def snapshot(self) -> dict[str, Any]:
        """{"buckets": [[upper bound, values up to it], ...], "sum", "count"}: count includes what lies above the last bound."""
        with self._lock:
            counts, total = list(accumulate(self._counts)), self._sum
        buckets = [[bound, count] for bound, count in zip(self._bounds, counts[:-1], strict=True)]
        return {"buckets": buckets, "sum": total, "count": counts[-1]}
