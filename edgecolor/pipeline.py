"""The only loop: source -> newest frame -> chroma worker and output -> sinks.

Three threads, joined by slots that hold the newest frame only, so that nothing can queue up:

- source: takes frames as they come;
- chroma: guesses for the newest frame, at whatever rate the board can hold;
- output: sends every frame with its own luma and the newest guess lifted onto that luma.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from threading import Condition, Event, Lock, Thread
from time import monotonic
from typing import Any, Generic, TypeVar

from edgecolor.colorizer import Colorizer, Guess
from edgecolor.errors import EdgeColorError, PipelineError
from edgecolor.frame import Frame
from edgecolor.sinks import Sink
from edgecolor.sources import Source

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_RATE_WINDOW_S = 5.0
_JOIN_S = 1.5
# A frame older than this many intervals, but at least so many seconds, means that the source has stalled.
_STALL_INTERVALS, _STALL_S = 5.0, 2.0


class Latest(Generic[T]):
    """A slot for one item between two threads: a newer one replaces what was not taken, and counts it as dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._item: T | None = None
        self._closed = False
        self._changed = Condition()

    def put(self, item: T) -> None:
        """Leave the newest item."""
        with self._changed:
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def take(self) -> T | None:
        """Wait for an item and take it; None once the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake whoever waits; from now on ``take`` gives None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Meter:
    """Counts events; their rate is that of the last few seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._times: deque[float] = deque()
        self._lock = Lock()

    def tick(self) -> None:
        """Count one event now."""
        with self._lock:
            self.count += 1
            self._times.append(monotonic())
            self._forget()

    def rate(self) -> float:
        """Events a second."""
        with self._lock:
            self._forget()
            return (len(self._times) - 1) / (self._times[-1] - self._times[0]) if len(self._times) > 1 else 0.0

    def _forget(self) -> None:
        while self._times and self._times[0] < monotonic() - _RATE_WINDOW_S:
            self._times.popleft()


@dataclass(frozen=True)
class _Chroma:
    """A guess, the frame it was made for, and how long it took in seconds."""

    guess: Guess
    sequence: int
    seconds: float


class Pipeline:
    """Owns the threads between one source and its sinks.

    on_end is called once, from any thread, when the pipeline ends: stopped, the source at its end, or something failed.
    In the last case ``stop`` raises the error; one that is not an EdgeColorError is logged with its traceback first.
    """

    def __init__(self, source: Source, colorizer: Colorizer, sinks: Sequence[Sink], on_end: Callable[[], None] = lambda: None) -> None:
        self.source, self.colorizer, self.sinks = source, colorizer, sinks
        self.error: EdgeColorError | None = None
        self._on_end = on_end
        self._stop = Event()
        self._ended = False
        self._lock = Lock()
        self._to_chroma: Latest[Frame] = Latest()
        self._to_output: Latest[Frame] = Latest()
        self._chroma: _Chroma | None = None
        self._guessed = Condition()
        self._frames_in, self._frames_out, self._guesses = Meter(), Meter(), Meter()
        self._latencies: deque[float] = deque(maxlen=64)
        self._newest: Frame | None = None
        # A quarter of the interval may pass while the frame's own guess is being made (see _chroma_for).
        self._patience = 0.25 / source.rate if source.rate else 0.0
        steps = (("source", self._take_frames), ("chroma", self._guess_chroma), ("output", self._send_frames))
        self._threads = [Thread(target=self._guard, args=(name, step), name=f"edgecolor-{name}", daemon=True) for name, step in steps]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads and wait for them. Raises the error that ended the pipeline, if one did."""
        self._end(None)
        deadline = monotonic() + _JOIN_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - monotonic()))
                if thread.is_alive():
                    _LOG.warning("thread %s did not stop within %.1f s", thread.name, _JOIN_S)
        if self.error is not None:
            raise self.error

    def state(self) -> dict[str, Any]:
        """What goes on, as plain values for JSON. "state" is starting, live, stalled, ended or failed; "reason" says why."""
        frame, chroma = self._newest, self._chroma
        state, reason = self._health(frame)
        return {
            "state": state,
            "reason": reason,
            "source": {
                "name": self.source.name,
                "promised_rate": round(self.source.rate, 3),
                "width": frame.y.shape[1] if frame else None,
                "height": frame.y.shape[0] if frame else None,
                "sequence": frame.sequence if frame else None,
                "age_s": round(monotonic() - frame.captured, 3) if frame else None,
            },
            "frames": {
                "in": self._frames_in.count,
                "out": self._frames_out.count,
                "dropped": self._to_output.dropped,
                "rate": round(self._frames_out.rate(), 2),
            },
            "chroma": {
                "guesses": self._guesses.count,
                "rate": round(self._guesses.rate(), 2),
                "guess_ms": round(chroma.seconds * 1000, 1) if chroma else None,
            },
            "latency_ms": round(median(self._latencies.copy()) * 1000, 1) if self._latencies else None,
        }

    def _health(self, frame: Frame | None) -> tuple[str, str | None]:
        if self.error is not None:
            return "failed", str(self.error)
        if self._ended:
            return "ended", "the source has ended"
        if frame is None or self._frames_out.count == 0:
            return "starting", "no frame has come through yet"
        age = monotonic() - frame.captured
        limit = max(_STALL_S, _STALL_INTERVALS / self.source.rate if self.source.rate else 0.0)
        return ("stalled", f"the newest frame is {age:.1f} s old") if age > limit else ("live", None)

    def _guard(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except EdgeColorError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - a thread's last stop: nothing may end one silently
            _LOG.error("the %s thread failed", name, exc_info=True)
            wrapped = PipelineError(f"the {name} thread failed: {type(error).__name__}: {error}")
            wrapped.__cause__ = error
            self._end(wrapped)
        else:
            self._end(None)

    def _end(self, error: EdgeColorError | None) -> None:
        with self._lock:
            first = not self._ended
            self._ended = True
            if first:
                self.error = error
        self._stop.set()
        self._to_chroma.close()
        self._to_output.close()
        with self._guessed:
            self._guessed.notify_all()
        if first:
            self._on_end()

    def _take_frames(self) -> None:
        for frame in self.source.frames(self._stop):
            self._newest = frame
            self._frames_in.tick()
            self._to_chroma.put(frame)
            self._to_output.put(frame)
            if self._stop.is_set():
                return

    def _guess_chroma(self) -> None:
        while (frame := self._to_chroma.take()) is not None:
            begin = monotonic()
            # BT.601 whatever the source's matrix: it is what a JPEG means, and gray is the same under both.
            guess = self.colorizer.guess(frame.y, frame.color_range, "bt601")
            _ = guess.lines  # fitted here once, not by the output thread
            with self._guessed:
                self._chroma = _Chroma(guess, frame.sequence, monotonic() - begin)
                self._guessed.notify_all()
            self._guesses.tick()

    def _send_frames(self) -> None:
        while (frame := self._to_output.take()) is not None:
            chroma = self._chroma_for(frame)
            if chroma is None:
                return
            cb, cr = (None, None)
            if any(sink.wants_color() for sink in self.sinks):
                cb, cr = chroma.guess.planes(frame.y, frame.color_range)
            colored = replace(frame, cb=cb, cr=cr, matrix="bt601")
            for sink in self.sinks:
                sink.put(colored)
            self._latencies.append(monotonic() - frame.captured)
            self._frames_out.tick()

    def _chroma_for(self, frame: Frame) -> _Chroma | None:
        """The newest guess; None when stopped.

        Where guessing is quick, the frame's own guess is worth a short wait: an older one puts moving colours where they
        were. Where it is slow, waiting would only add latency. Before the first guess nothing is sent: never silent gray.
        """
        with self._guessed:
            self._guessed.wait_for(lambda: self._chroma is not None or self._ended)
            if self._chroma is not None and self._chroma.seconds < self._patience:
                own = frame.sequence
                self._guessed.wait_for(lambda: self._ended or (self._chroma is not None and self._chroma.sequence >= own), self._patience)
            return None if self._ended else self._chroma
