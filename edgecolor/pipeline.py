"""The only loop: source -> newest frame -> chroma worker and output -> sinks.

Three threads, joined by slots that hold the newest frame only, so that nothing can queue up:

- source: takes frames as they come, and opens a live source again, for ever, when it is lost;
- chroma: guesses for the newest frame, at whatever rate the board can hold (edgecolor.chroma);
- output: sends every frame with its own luma and the newest guess lifted onto that luma; placeholders while there is none.

A fourth one reads the board's temperature every few seconds and limits the rate of guesses by it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from edgecolor.board import BackOff, Board, Reading
from edgecolor.chroma import ChromaWorker
from edgecolor.colorizer import Colorizer
from edgecolor.errors import EdgeColorError, PipelineError
from edgecolor.frame import ColorRange, Frame
from edgecolor.live import LiveOptions
from edgecolor.meters import Histogram, Latest, Meter
from edgecolor.monochrome import FeedWatch
from edgecolor.outage import Health, Retries, frames_for_ever
from edgecolor.placeholder import placeholder
from edgecolor.sinks import Sink
from edgecolor.sources import Source

__all__ = ["LiveOptions", "Pipeline"]

_LOG = logging.getLogger(__name__)
_JOIN_S = 1.5
_LOOK_S = 0.25  # how often the output looks whether frames still come
_PLACEHOLDER_S = 1.0
_BOARD_S = 5.0
_UNKNOWN_SHAPE = (480, 640)  # of a placeholder before the first frame


def _rounded(rate: float) -> float:
    """To four digits that count: one picture in some minutes is a rate too."""
    return float(f"{rate:.4g}")


@dataclass(frozen=True)
class _Taken:
    """A frame of the source; whether its colours are to be guessed, and whether the chroma worker has it already."""

    frame: Frame
    gray: bool
    guessing: bool


class Pipeline:
    """Owns the threads between one source and its sinks.

    on_end is called once, from any thread, when the pipeline ends: stopped, the source at its end, or something failed.
    In the last case ``stop`` raises the error; one that is not an EdgeColorError is logged with its traceback first.
    """

    def __init__(
        self, source: Source, colorizer: Colorizer, sinks: Sequence[Sink], on_end: Callable[[], None] = lambda: None,
        *, options: LiveOptions | None = None, board: Board | None = None,
    ) -> None:
        self.source, self.sinks, self.options = source, sinks, options or LiveOptions()
        self.error: EdgeColorError | None = None
        self._on_end = on_end
        self._stop = Event()
        self._ended = False
        self._lock = Lock()
        self._to_output: Latest[_Taken] = Latest()
        self._chroma = ChromaWorker(colorizer, self.options.smoothing, self.options.chroma_rate)
        self._health = Health(source.name, source.live, source.timeout)
        self._watch = FeedWatch()
        self._board, self._back_off = board or Board(), BackOff(self.options.hottest)
        self._reading = Reading()
        self._limit = self.options.chroma_rate
        self._frames_in, self._frames_out, self._placeholders = Meter(), Meter(), Meter()
        self._latency = Histogram()
        self._newest: Frame | None = None
        self._active = False
        self._next_placeholder = 0.0
        steps = (
            ("source", self._take_frames), ("chroma", self._chroma.run), ("output", self._send_frames), ("board", self._read_board),
        )
        self._threads = [Thread(target=self._guard, args=(name, step), name=f"edgecolor-{name}", daemon=True) for name, step in steps]

    def start(self) -> None:
        """Start the threads."""
        self._health.begin()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads and wait for them, 1.5 s at most. Raises the error that ended the pipeline, if one did."""
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
        """What goes on, as plain values for JSON. "state" is starting, live, lost, ended or failed; "reason" says why."""
        frame, health, chroma = self._newest, self._health, self._chroma
        health.check_age()
        state, reason, since = health.view()
        age, last_good, retry_in, median_s = health.age(), health.last_good, health.time_to_retry(), self._latency.median()
        return {
            "state": state,
            "reason": reason,
            "since": health.wall_time(since).isoformat(timespec="seconds"),
            "source": {
                "name": self.source.name,
                "promised_rate": _rounded(self.source.rate),
                "width": frame.y.shape[1] if frame else None,
                "height": frame.y.shape[0] if frame else None,
                "sequence": frame.sequence if frame else None,
                "age_s": None if age is None else round(age, 3),
                "last_good": None if last_good is None else health.wall_time(last_good).isoformat(timespec="seconds"),
                "losses": dict(health.losses),
                "reconnects": health.reconnects,
                "tries": health.tries,
                "retry_in_s": None if retry_in is None else round(retry_in, 1),
            },
            "frames": {
                "in": self._frames_in.count,
                "out": self._frames_out.count,
                "dropped": self._to_output.dropped,
                "rate_in": _rounded(self._frames_in.rate()),
                "rate": _rounded(self._frames_out.rate()),
                "placeholders": self._placeholders.count,
            },
            "chroma": {
                "mode": self.options.colorize,
                "feed": self._watch.feed or "unknown",
                "active": self._active and state == "live",
                "guesses": chroma.guesses.count,
                "dropped": chroma.dropped,
                "rate": _rounded(chroma.guesses.rate()),
                "limit": _rounded(self._limit) or None,
                "guess_ms": None if chroma.seconds is None else round(chroma.seconds * 1000, 1),
                "throttled": bool(self._reading.throttled) or self._back_off.share < 1,
            },
            "latency": {**self._latency.snapshot(), "median_ms": None if median_s is None else round(median_s * 1000, 1)},
            "temperature_c": self._reading.temperature_c,
        }

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
                self._health.finish(*(("ended", "the source has ended") if error is None else ("failed", str(error))))
        self._stop.set()
        self._chroma.close()
        self._to_output.close()
        if first:
            self._on_end()

    def _take_frames(self) -> None:
        options = self.options
        retries = Retries(options.retry_first, options.retry_most, options.retry_steady)
        for frame in frames_for_ever(self.source, self._health, retries, self._stop):
            if self._stop.is_set():
                return
            if self._health.came():
                self._chroma.forget()  # after an outage the picture may show anything
                self._frames_in.restart()  # and the gap says nothing about how often pictures come
            self._newest = frame
            self._frames_in.tick()
            feed = self._watch.see(frame)
            gray = options.colorize == "always" or (options.colorize == "auto" and feed == "gray")
            guessing = gray and (self._is_color_wanted() or not options.on_demand)
            self._active = guessing
            if guessing:
                self._chroma.put(frame)
            elif gray:
                self._chroma.rest()
            else:
                self._chroma.forget()
            self._to_output.put(_Taken(frame, gray, guessing))

    def _is_color_wanted(self) -> bool:
        return any(sink.wants_color() for sink in self.sinks)

    def _send_frames(self) -> None:
        while not self._ended:
            taken = self._to_output.take(_LOOK_S)
            self._health.check_age()
            if taken is not None:
                self._send_frame(taken)
            elif self._health.lost and monotonic() >= self._next_placeholder:
                self._send_placeholder()

    def _send_frame(self, taken: _Taken) -> None:
        frame = self._finished(taken)
        if frame is None:
            return
        for sink in self.sinks:
            sink.put(frame)
        self._latency.observe(monotonic() - frame.captured)
        self._frames_out.tick()
        self._health.sent()

    def _finished(self, taken: _Taken) -> Frame | None:
        """The frame with the colours that it is to be sent with; None when they are no longer worth waiting for."""
        frame = taken.frame
        if not taken.gray:
            return frame
        if not self._is_color_wanted():
            # Without its chroma: sinks tell by that what was not colorized.
            return replace(frame, cb=None, cr=None)
        if not taken.guessing:
            self._chroma.put(frame)
        # A quarter of the interval may pass while the frame's own guess is being made.
        rate = self.source.rate or self._frames_in.rate()
        patience = 0.25 / rate if rate else 0.0
        chroma = self._chroma.newest_for(frame, patience, lambda: self._is_wait_vain(frame))
        if chroma is None:
            return None
        cb, cr = chroma.guess.planes(frame.y, frame.color_range)
        return replace(frame, cb=cb, cr=cr, matrix="bt601", origin="guess")

    def _is_wait_vain(self, frame: Frame) -> bool:
        self._health.check_age()
        # Guesses are made for the newest frame: one of another size may never get its own.
        outgrown = self._newest is not None and self._newest.y.shape != frame.y.shape
        return self._ended or self._health.lost or outgrown or not self._is_color_wanted()

    def _send_placeholder(self) -> None:
        self._next_placeholder = monotonic() + _PLACEHOLDER_S
        health, newest = self._health, self._newest
        _, reason, _ = health.view()
        when = health.last_good
        since = "No picture yet" if when is None else f"No picture since {health.wall_time(when).astimezone():%H:%M:%S}"
        color_range: ColorRange = newest.color_range if newest else "full"
        drawn = placeholder(
            newest.y.shape if newest else _UNKNOWN_SHAPE, [self.source.name, since, reason or "", "retrying"], color_range,
            dtype=newest.y.dtype if newest else "u1", sequence=newest.sequence if newest else 0,
        )
        if not health.lost:  # it came back meanwhile
            return
        for sink in self.sinks:
            sink.put(drawn)
        self._placeholders.tick()

    def _read_board(self) -> None:
        while not self._stop.is_set():
            self._reading = self._board.read()
            share = self._back_off.update(self._reading, monotonic())
            limit = self.options.chroma_rate
            if share < 1 and self._chroma.seconds:
                # Without a limit of choice, the share is of what the board and the source can do.
                can = 1 / self._chroma.seconds
                limit = share * min(limit or can, can, self._frames_in.rate() or can)
            self._limit = limit
            self._chroma.limit(limit)
            self._stop.wait(_BOARD_S)
