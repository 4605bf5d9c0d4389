"""Chroma grids averaged along motion, over the past and a bounded piece of the future, within one scene.

Each grid cell is the weighted mean of the guesses at the places where it was and will be. Weights fall with time on both sides,
and where motion is not sure. What lies in the past is kept as one running sum; the future is what is held back anyway. Sums are
moved from end to end of links; a picture between two ends sees those of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from edgecolor.videos.motion import Float, Guide, Place, warp

# Of a cell that was not found again, so much of its past still counts: nothing better is known where nothing was guessed.
_FAINT = 1e-3


@dataclass(eq=False)
class Step:
    """A picture's part in the smoothing. seconds: its time. guide: the small luma. place: None while it waits for it.
    grid: (h, w, 2) float32, the guess for it, None where none was made.
    """

    seconds: float
    guide: Guide
    place: Place | None = None
    grid: Float | None = None


def _entry(grid: Float) -> Float:
    return np.concatenate([grid, np.ones((*grid.shape[:2], 1), np.float32)], axis=-1)


class Smoothing:
    """Grids of steps, in order. seconds: time constant to either side; 0 leaves each guess as it is.

    block: one look at the future serves so many steps, each of which then sees a little less far than the one before it.
    """

    def __init__(self, seconds: float, block: int = 1) -> None:
        self.seconds, self._block = seconds, block
        self._futures: dict[float, Float | None] = {}  # by the time of the end of a link: what it, and what comes after it, says
        self._past: Float | None = None
        self._time = self._since = 0.0  # of the past: its time, and its share of the link that goes on
        self._cells: tuple[Float, Float] = (np.empty(0, np.float32), np.empty(0, np.float32))

    def __call__(self, steps: Sequence[Step]) -> Float:
        """The grid (h, w, 2) of ``steps[0]``, which follows the one asked for last. steps: it and all that is known after it.

        At least one of them that the first is linked to, or one before it, must have a guess.
        """
        first = steps[0]
        assert first.place is not None
        link, share = first.place
        total = None
        if link is not None and self._past is not None:
            total = self._moved(self._past, link.back, link.sure_back, share - self._since, first.seconds - self._time)
        own = None if first.grid is None else _entry(first.grid)
        if own is not None:
            total = own if total is None or self.seconds <= 0 else total + own
        if share == 1 or own is not None:
            self._past, self._time, self._since = total, first.seconds, share % 1
        if own is None or self.seconds > 0:
            future = self._future(steps)
            total = future if total is None else total if future is None else total + future
        assert total is not None
        return total[..., :2] / total[..., 2:]

    def _future(self, steps: Sequence[Step]) -> Float | None:
        """What the steps after the first say of it."""
        first, place = steps[0], steps[0].place
        end = 0 if place is not None and place.share < 1 else 1
        while end < len(steps) and (there := steps[end].place) is not None and there.share < 1:
            end += 1
        if end == len(steps) or there is None or there.link is None:
            return None
        if steps[end].seconds not in self._futures:
            self._futures = self._look_ahead(steps, end)
        total = self._futures[steps[end].seconds]
        if total is None:
            return None
        left = 1 - (place.share if place is not None and place.share < 1 else 0.0)
        return self._moved(total, there.link.ahead, there.link.sure_ahead, left, steps[end].seconds - first.seconds)

    def _look_ahead(self, steps: Sequence[Step], first: int) -> dict[float, Float | None]:
        """For each end of a link from ``first`` on, as far as the block goes, what it and the steps after it say of it."""
        ends = [first]
        for number in range(first + 1, len(steps)):
            place = steps[number].place
            if place is None or place.link is None:
                break
            if place.share == 1:
                ends.append(number)
        total: Float | None = None
        seen: dict[float, Float | None] = {}
        for number, end in reversed(list(enumerate(ends))):
            step = steps[end]
            if step.grid is not None:
                own = _entry(step.grid)
                total = own if total is None else total + own
            if end <= max(first, self._block):
                seen[step.seconds] = total
            place = step.place
            if total is not None and number and place is not None and place.link is not None:
                passed = step.seconds - steps[ends[number - 1]].seconds
                total = self._moved(total, place.link.ahead, place.link.sure_ahead, 1.0, passed)
        return seen

    def _moved(self, total: Float, motion: Float, sure: Float, share: float, passed: float) -> Float:
        """A sum ``share`` of the way along a link, seconds away."""
        kept = exp(-max(passed, 0.0) / self.seconds) if self.seconds > 0 else 1.0
        if self._cells[0].shape != sure.shape:
            columns, rows = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in sure.shape[::-1]))
            self._cells = columns, rows
        if share != 1:
            motion, sure = motion * np.float32(share), np.power(sure, np.float32(share))
        moved = warp(total, (self._cells[0] + motion[0], self._cells[1] + motion[1]))
        weights: Float = np.maximum(sure * np.float32(kept), np.float32(_FAINT))
        return np.asarray(moved * weights[..., None], np.float32)
