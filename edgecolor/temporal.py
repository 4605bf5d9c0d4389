"""Motion-aware smoothing of guessed chroma over time: still places keep their colour steady, moving ones get theirs at once.

The network judges every frame afresh, so that its colours flicker where nothing moves. Here each cell of the small grid
is an exponential mean over time, for as long as the small luma under it stays what it was. What it was is remembered as a
mean with the very same weights: so also what creeps by, a little each time, is seen to have moved.
"""

from __future__ import annotations

from math import exp

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Guide = NDArray[np.uint8]

SMOOTHING_S = 1.0
# Of a cell's mean difference of luma, in codes: below the noise times _NOISE_SHARE plus _STILL it is still, above _MOVED
# times that it moved; between, it is blended in proportion.
_STILL, _NOISE_SHARE, _MOVED = 1.0, 1.5, 2.0
# Noise is what the quietest quarter of the picture shows. It falls with a time constant and rises by so many codes a second,
# so that a pan over the whole picture does not soon pass for noise.
_QUIET, _MOST_NOISE, _NOISE_FALL_S, _NOISE_RISE = 25, 8.0, 0.5, 1.0
# When more cells than this moved at once, it is asked whether the light changed (the old luma, through a tone curve, gives
# the new one) or the scene. A curve that leaves more of the variance than _CUT unexplained explains nothing: a cut.
_MANY, _CUT = 0.6, 0.5
_CURVE_BINS = 32


class Smoother:
    """Smooths the chroma grids of one feed. Not thread-safe.

    seconds: time constant of the mean on still cells, whatever the rate of guesses; 0 switches smoothing off.
    """

    def __init__(self, seconds: float = SMOOTHING_S) -> None:
        self.seconds = seconds
        self.cuts = 0
        self.forget()

    def forget(self) -> None:
        """Start anew: the next grid is taken as it is."""
        self._grid: Float | None = None
        self._luma: Float = np.empty((0, 0), np.float32)
        self._noise = 0.0
        self._time = 0.0

    def __call__(self, grid: Float, guide: Guide, time: float) -> Float:
        """Smoothed chroma, (h, w, 2) float32 like ``grid``.

        guide: (S, T) uint8, the small luma that the grid was guessed from; time: seconds at which it was captured. Guesses of
        another size, or of another scene, start anew.
        """
        if self.seconds <= 0:
            return grid
        luma = guide.astype(np.float32)
        keep = self._keep(grid.shape, luma, max(0.0, time - self._time))
        self._time = time
        if keep is None or self._grid is None:
            self._grid, self._luma = grid, luma
            return grid
        self._grid = grid + keep[..., None] * (self._grid - grid)
        self._luma = luma + _scaled(keep, luma.shape) * (self._luma - luma)
        return self._grid

    def _keep(self, shape: tuple[int, ...], luma: Float, passed: float) -> Float | None:
        """How much of each cell's past stays, (h, w) in [0, 1]; None when there is no past to keep."""
        if self._grid is None or self._grid.shape != shape or self._luma.shape != luma.shape:
            self._noise = 0.0
            return None
        difference = _cells(luma - self._luma, shape)
        still = self._stillness(difference, passed)
        if np.mean(still) < 1 - _MANY:
            curve, unexplained = _tone_curve(self._luma, luma)
            if unexplained > _CUT:
                self.cuts += 1
                return None
            relit = curve[np.clip(self._luma, 0, 255).astype(np.uint8)]
            still_in_new_light = self._stillness(_cells(luma - relit, shape), 0.0)
            if np.mean(still_in_new_light) > np.mean(still):
                still, self._luma = still_in_new_light, relit
        # The network sees around a cell: its neighbours change colour with what moved. Hence the erosion.
        still = cv2.blur(cv2.erode(still, np.ones((3, 3), np.uint8)), (3, 3))  # type: ignore[assignment]
        return still * np.float32(exp(-passed / self.seconds))

    def _stillness(self, difference: Float, passed: float) -> Float:
        """1 where a cell is still, 0 where it moved. difference: (h, w) codes; passed: seconds, by which the noise may change."""
        if passed > 0:
            quiet = min(float(np.percentile(difference, _QUIET)), _MOST_NOISE)
            fallen = quiet + (self._noise - quiet) * exp(-passed / _NOISE_FALL_S)
            self._noise = fallen if quiet < self._noise else min(quiet, self._noise + _NOISE_RISE * passed)
        limit = _STILL + _NOISE_SHARE * self._noise
        return np.clip((_MOVED * limit - difference) / ((_MOVED - 1) * limit), 0, 1).astype(np.float32)


def _cells(difference: Float, shape: tuple[int, ...]) -> Float:
    """Mean absolute difference in each cell, (h, w)."""
    return cv2.resize(np.abs(difference), (shape[1], shape[0]), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _scaled(keep: Float, shape: tuple[int, ...]) -> Float:
    return cv2.resize(keep, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _tone_curve(old: Float, new: Float) -> tuple[Float, float]:
    """The mean new luma of each old code, (256,), and the share of new's variance that it does not explain.

    This is the correlation ratio of the two pictures (Roche et al. 1998): high for one scene under any change of gain,
    exposure or gamma, low for two scenes.
    """
    bins = (old.ravel() * np.float32(_CURVE_BINS / 256)).astype(np.intp)
    counts = np.maximum(np.bincount(bins, minlength=_CURVE_BINS), 1e-9)
    old_means, new_means = (np.bincount(bins, x.ravel(), _CURVE_BINS) / counts for x in (old, new))
    used = counts >= 1
    curve = np.interp(np.arange(256), old_means[used], new_means[used]).astype(np.float32)
    left = new - curve[np.clip(old, 0, 255).astype(np.uint8)]
    # A picture without contrast has no structure to compare: its variance counts as one code at least.
    return curve, float(np.mean(left * left)) / max(float(np.var(new)), 1.0)
