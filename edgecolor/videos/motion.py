"""Where each place of a picture was in the picture before, and how sure that is: optical flow on small luma.

Flow by dense inverse search (Kroeger et al. 2016) in OpenCV, both ways; a place counts as found when luma there is the same and the
way back leads home (the occlusion test of Sundaram et al. 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Guide = NDArray[np.uint8]

_SIZE = 48  # pixels of the small luma in which motion is looked for
# Of luma's difference at a place that was found, in codes: so much is noise at least, and so many times the median.
_STILL, _NOISE_SHARE, _MOST_NOISE = 1.5, 2.0, 6.0
_HOME = 0.75  # pixels from home at which the way back has half failed
# Two pictures are of two scenes when the best tone curve after motion leaves more than this share of the variance unexplained.
_CUT = 0.5
_LEAST_CUT = 6.0  # and luma differs by so many codes on average
_CURVE_BINS = 32


@dataclass(frozen=True)
class Link:
    """From a picture to the next one. Maps are (h, w) float32 pairs of columns and rows of the chroma grid.

    back: where each cell of the next one was in the former; ahead: the other way round. sure_back, sure_ahead: (h, w) in [0, 1].
    """

    back: tuple[Float, Float]
    ahead: tuple[Float, Float]
    sure_back: Float
    sure_ahead: Float


class Motion:
    """Links of pictures as they come. grid: (h, w) of the chroma grid."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self._grid = grid
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(0)
        self._last: Guide | None = None
        self._cells = np.meshgrid(np.arange(grid[1], dtype=np.float32), np.arange(grid[0], dtype=np.float32))
        self._home = np.meshgrid(np.arange(_SIZE, dtype=np.float32), np.arange(_SIZE, dtype=np.float32))

    def forget(self) -> None:
        """The next picture is the first of a scene."""
        self._last = None

    def push(self, guide: Guide) -> Link | None:
        """The link from the last picture to this one; None: there is none, or they are of two scenes. guide: small luma."""
        new = cv2.resize(guide, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        old, self._last = self._last, np.asarray(new, np.uint8)
        if old is None:
            return None
        return self._link(old, self._last)

    def _link(self, old: Guide, new: Guide) -> Link | None:
        if np.array_equal(old, new):
            return self._still()
        back, ahead = (np.asarray(self._flow.calc(a, b, None), np.float32) for a, b in ((new, old), (old, new)))  # type: ignore[call-overload]
        found = self._at(old.astype(np.float32), back)
        unexplained, relit = _relit(found, new)
        if unexplained > _CUT and float(np.abs(found - new).mean()) > _LEAST_CUT:
            return None
        seen = self._at(new.astype(np.float32), ahead)
        gain = float(new.mean() + 1) / float(old.mean() + 1)
        return Link(
            self._map(back), self._map(ahead),
            self._sure(np.abs(relit - new), back, ahead), self._sure(np.abs(seen - old.astype(np.float32) * np.float32(gain)), ahead, back),
        )  # fmt: skip

    def _still(self) -> Link:
        home = self._map(np.zeros((_SIZE, _SIZE, 2), np.float32))
        sure = np.ones(self._grid, np.float32)
        return Link(home, home, sure, sure)

    def _at(self, picture: Float, flow: Float) -> Float:
        return warp(picture, (self._home[0] + flow[..., 0], self._home[1] + flow[..., 1]))

    def _sure(self, difference: Float, there: Float, back: Float) -> Float:
        flat, middle = difference.ravel(), difference.size // 2
        limit = _STILL + _NOISE_SHARE * min(float(np.partition(flat, middle)[middle]), _MOST_NOISE)
        smooth = cv2.blur(difference, (3, 3))
        away = there + self._at(back, there)
        away *= away
        doubt = smooth * smooth * np.float32(1 / limit**2) + (away[..., 0] + away[..., 1]) * np.float32(1 / _HOME**2)
        sure = np.exp2(-doubt)
        height, width = self._grid
        return np.asarray(cv2.blur(cv2.resize(sure, (width, height), interpolation=cv2.INTER_AREA), (3, 3)), np.float32)

    def _map(self, flow: Float) -> tuple[Float, Float]:
        height, width = self._grid
        small = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA)
        columns, rows = self._cells
        return columns + small[..., 0] * np.float32(width / _SIZE), rows + small[..., 1] * np.float32(height / _SIZE)


def warp(values: Float, places: tuple[Float, Float]) -> Float:
    """(h, w) or (h, w, C) float32 as seen at other places."""
    return np.asarray(cv2.remap(values, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _relit(old: Float, new: Guide) -> tuple[float, Float]:
    """The share of new's variance that old through the best tone curve leaves unexplained (correlation ratio), and old so relit."""
    bins = np.clip(old * np.float32(_CURVE_BINS / 256), 0, _CURVE_BINS - 1).astype(np.intp).ravel()
    counts = np.bincount(bins, minlength=_CURVE_BINS)
    used = counts > 0
    means = [np.bincount(bins, x.ravel(), _CURVE_BINS)[used] / counts[used] for x in (old, new)]
    relit = np.interp(old, means[0], means[1]).astype(np.float32)
    left = new - relit
    return float(np.mean(left * left)) / max(float(np.var(new)), 1.0), relit
