"""The chroma worker: guesses for the newest frame, as often as the board can and may, and keeps the newest guess."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from time import monotonic

from edgecolor.colorizer import Colorizer, Guess
from edgecolor.frame import Frame
from edgecolor.meters import Meter
from edgecolor.temporal import Smoother

_SLICE_S = 0.1  # how long a wait for a guess lasts before it is asked whether it is still worth waiting


@dataclass(frozen=True)
class Chroma:
    """A guess, the frame it was made for, and how long it took in seconds."""

    guess: Guess
    sequence: int
    shape: tuple[int, ...]
    seconds: float


class Pace:
    """When the next guess is due. Not thread-safe.

    rate: guesses a second, 0 for as many as can be. A guess that is awaited because there is none may come one interval early,
    at the expense of the one after it: a viewer should not wait, but many who come and go should not lift the rate either.
    """

    def __init__(self, rate: float = 0.0) -> None:
        self.rate = rate
        self._due = 0.0

    def change(self, rate: float, now: float) -> None:
        """Another rate, which counts from now on."""
        if rate != self.rate:
            self.rate = rate
            self._due = min(self._due, now + 1 / rate) if rate > 0 else 0.0

    def wait(self, now: float, awaited: bool) -> float:
        """Seconds to wait from ``now``."""
        if self.rate <= 0:
            return 0.0
        return max(0.0, self._due - (1 / self.rate if awaited else 0.0) - now)

    def begin(self, now: float) -> None:
        """A guess begins."""
        if self.rate > 0:
            # Frames do not come when a guess is due but up to a frame later: half an interval of lateness is made up for.
            self._due = max(self._due, now - 0.5 / self.rate) + 1 / self.rate


class ChromaWorker:
    """Owns the colorizer, the smoother and the newest guess. ``run`` is its thread's work; the rest is called from others.

    smoothing: seconds, see Smoother. clock: what ``Frame.captured`` is measured with.
    """

    def __init__(self, colorizer: Colorizer, smoothing: float, rate: float = 0.0, clock: Callable[[], float] = monotonic) -> None:
        self.guesses, self.dropped = Meter(), 0
        self.seconds: float | None = None  # of the newest guess
        self._colorizer, self._smoother, self._clock = colorizer, Smoother(smoothing), clock
        self._pace = Pace(rate)
        self._changed = Condition()
        self._frame: Frame | None = None
        self._newest: Chroma | None = None
        self._begun = -math.inf  # when the newest guess was, made or being made
        self._era = 0  # counts what was forgotten: a guess begun before that is worth nothing
        self._closed = False

    def put(self, frame: Frame) -> None:
        """Leave the newest frame; one that was not taken counts as dropped."""
        with self._changed:
            self.dropped += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def forget(self) -> None:
        """Forget frame, guess and the smoother's past: the next colour is to be guessed afresh."""
        with self._changed:
            self._era += 1
            self._frame = self._newest = None

    def rest(self) -> None:
        """Nobody wants colours now: drop the frame, and forget the guess once it is older than an interval of the pace.

        Until then another one may have to be waited for, and one output serves all: who asks for a picture in colour now and then
        would hold up those who look at gray ones.
        """
        with self._changed:
            self._frame = None
            if self._pace.rate <= 0 or self._clock() - self._begun >= 1 / self._pace.rate:
                self.forget()

    def limit(self, rate: float) -> None:
        """From now on no more than ``rate`` guesses a second; 0 for as many as can be."""
        with self._changed:
            self._pace.change(rate, self._clock())
            self._changed.notify_all()

    def close(self) -> None:
        """End ``run`` and all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Guess until closed. Raises what the network raises."""
        era = -1
        while (taken := self._take()) is not None:
            frame, newest_era = taken
            if newest_era != era:
                self._smoother.forget()
                era = newest_era
            begin = self._clock()
            # BT.601 whatever the source's matrix: it is what a JPEG means, and gray is the same under both.
            raw = self._colorizer.guess(frame.y, frame.color_range, "bt601")
            guess = Guess(self._smoother(raw.grid, raw.guide, frame.captured), raw.guide)
            _ = guess.lines  # fitted here once, not by the output thread
            self.seconds = self._clock() - begin
            self.guesses.tick()
            with self._changed:
                if era == self._era:
                    self._newest = Chroma(guess, frame.sequence, frame.y.shape, self.seconds)
                    self._changed.notify_all()

    def newest_for(self, frame: Frame, patience: float, give_up: Callable[[], bool]) -> Chroma | None:
        """The newest guess for frames of this size; None once closed, or when ``give_up`` says so.

        Where guessing is quicker than ``patience`` seconds, the frame's own guess is worth that short wait: an older one puts
        moving colours where they were. Where it is slow, waiting would only add latency. Without any guess it is waited for:
        never silent gray.
        """
        with self._changed:
            while not self._changed.wait_for(lambda: self._closed or self._fits(frame), _SLICE_S):
                if give_up():
                    return None
            if self._newest is not None and self._newest.seconds < patience and self._pace.rate <= 0:
                self._changed.wait_for(lambda: self._closed or not self._fits(frame) or self._newest_is(frame.sequence), patience)
            return self._newest if self._fits(frame) and not self._closed else None

    def _fits(self, frame: Frame) -> bool:
        return self._newest is not None and self._newest.shape == frame.y.shape

    def _newest_is(self, sequence: int) -> bool:
        return self._newest is not None and self._newest.sequence >= sequence

    def _take(self) -> tuple[Frame, int] | None:
        """The newest frame and its era, once there is one and its guess is due; None once closed."""
        with self._changed:
            while not self._closed:
                wait = None
                if self._frame is not None:
                    wait = self._pace.wait(self._clock(), awaited=not self._fits(self._frame))
                    if wait == 0:
                        frame, self._frame = self._frame, None
                        self._begun = self._clock()
                        self._pace.begin(self._begun)
                        return frame, self._era
                self._changed.wait(wait)
            return None
