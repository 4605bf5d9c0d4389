"""Chroma grids averaged along motion, over the past and a bounded piece of the future, within one scene.

Each grid cell is the weighted mean of the guesses at the places where it was and will be. Weights fall with time on both sides,
and where motion is not sure. What lies in the past is kept as one running sum; the future is what is held back anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from edgecolor.videos.motion import Float, Guide, Link, warp

# Of a cell that was not found again, so much of its past still counts: nothing better is known where nothing was guessed.
_FAINT = 1e-3


@dataclass(eq=False)
class Step:
    """A picture's part in the smoothing. seconds: its time. guide: the small luma. link: from the picture before it; None at the
    first one of a scene. grid: (h, w, 2) float32, the guess for it, None where none was made.
    """

    seconds: float
    guide: Guide
    link: Link | None
    grid: Float | None = None


def _entry(grid: Float) -> Float:
    return np.concatenate([grid, np.ones((*grid.shape[:2], 1), np.float32)], axis=-1)


class Smoothing:
    """Grids of steps, in order. seconds: time constant to either side; 0 leaves each guess as it is.

    block: one look at the future serves so many steps, each of which then sees a little less far than the one before it.
    """

    def __init__(self, seconds: float, block: int = 1) -> None:
        self.seconds, self._block = seconds, block
        self._futures: dict[float, Float | None] = {}  # by the time of the step that sees it
        self._past: Float | None = None
        self._time = 0.0

    def __call__(self, steps: Sequence[Step]) -> Float:
        """The grid (h, w, 2) of ``steps[0]``, which follows the one asked for last. steps: it and all that is known after it.

        At least one of them that the first is linked to, or one before it, must have a guess.
        """
        first = steps[0]
        own = None if first.grid is None else _entry(first.grid)
        total = self._carried(first)
        if own is not None:
            total = own if total is None or self.seconds <= 0 else total + own
        self._past, self._time = total, first.seconds
        if own is None or self.seconds > 0:
            if first.seconds not in self._futures:
                self._futures = self._look_ahead(steps)
            future = self._futures[first.seconds]
            total = future if total is None else total if future is None else total + future
        assert total is not None
        return total[..., :2] / total[..., 2:]

    def _carried(self, step: Step) -> Float | None:
        if step.link is None or self._past is None:
            return None
        return self._faded(warp(self._past, step.link.back), step.link.sure_back, step.seconds - self._time)

    def _look_ahead(self, steps: Sequence[Step]) -> dict[float, Float | None]:
        """For each of the first steps of a scene the sum of what the steps after it say of it."""
        end = 1
        while end < len(steps) and steps[end].link is not None:
            end += 1
        total: Float | None = None
        seen = {steps[end - 1].seconds: total} if end <= self._block else {}
        for number in range(end - 1, 0, -1):
            step = steps[number]
            if step.grid is not None:
                own = _entry(step.grid)
                total = own if total is None else total + own
            link = step.link
            assert link is not None
            if total is not None:
                total = self._faded(warp(total, link.ahead), link.sure_ahead, step.seconds - steps[number - 1].seconds)
            if number <= self._block:
                seen[steps[number - 1].seconds] = total
        return seen

    def _faded(self, total: Float, sure: Float, passed: float) -> Float:
        kept = exp(-max(passed, 0.0) / self.seconds) if self.seconds > 0 else 1.0
        weights: Float = np.maximum(sure * np.float32(kept), np.float32(_FAINT))
        return total * weights[..., None]
