"""Where each place of a picture was in the picture before, and how sure that is: optical flow on small luma.

Flow by dense inverse search (Kroeger et al. 2016) in OpenCV, both ways; a place counts as found when luma there is the same and the
way back leads home (the occlusion test of Sundaram et al. 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

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
# Where less than this was found again over several pictures, motion is followed from each to the next.
_PLAIN = 0.5


@dataclass(frozen=True)
class Link:
    """From a picture to a later one. Motion is (2, h, w) float32, columns and rows, in cells of the chroma grid.

    back: from each cell of the later one to where it was in the former; ahead: the other way round. sure_back, sure_ahead: (h, w)
    in [0, 1].
    """

    back: Float
    ahead: Float
    sure_back: Float
    sure_ahead: Float


class Place(NamedTuple):
    """Where a picture lies in time: ``share`` (0, 1] of the way along a link, from the last place whose share was 1.

    Between the ends of a link motion is taken for even. link: None for the first picture of a scene.
    """

    link: Link | None
    share: float = 1.0


class Motion:
    """Places of pictures as they come. grid: (h, w) of the chroma grid."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self._grid = grid
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(0)
        self._last: Guide | None = None  # the end of the last link
        self._waiting: list[Guide] = []  # pictures after it
        self._home = np.meshgrid(np.arange(_SIZE, dtype=np.float32), np.arange(_SIZE, dtype=np.float32))

    def push(self, guide: Guide, *, due: bool = True) -> list[Place]:
        """Places of pictures that had to wait for this one, and then its own, if it need not wait. guide: small luma.

        due: a link must end here. A picture much like the one before it may wait for the end of a longer link, which is cheaper.
        """
        new = np.asarray(cv2.resize(guide, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA), np.uint8)
        if self._last is None:
            self._last = new
            return [Place(None)]
        before = self._waiting[-1] if self._waiting else self._last
        if cv2.norm(before, new, cv2.NORM_L1) <= _LEAST_CUT * new.size:
            self._waiting.append(new)
            return self.rest() if due else []
        places = self.rest()
        link = self._link(self._last, new)
        self._last = new
        return [*places, Place(link)]

    def rest(self) -> list[Place]:
        """Places of pictures that still wait: no other one will come, or is of another scene."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        assert self._last is not None
        former, self._last = self._last, waiting[-1]
        link = self._follow(former, waiting[-1])
        if len(waiting) > 1 and min(float(link.sure_back.mean()), float(link.sure_ahead.mean())) < _PLAIN:
            return [Place(self._follow(old, new)) for old, new in pairwise((former, *waiting))]
        return [Place(link, (number + 1) / len(waiting)) for number in range(len(waiting))]

    def _link(self, old: Guide, new: Guide) -> Link | None:
        """None: the pictures are of two scenes."""
        back = self._motion(new, old)
        found = self._at(old.astype(np.float32), back)
        unexplained, _ = _relit(found, new)
        if unexplained > _CUT and float(np.abs(found - new).mean()) > _LEAST_CUT:
            return None
        return self._follow(old, new, back)

    def _follow(self, old: Guide, new: Guide, back: Float | None = None) -> Link:
        if np.array_equal(old, new):
            return self._still()
        back, ahead = self._motion(new, old) if back is None else back, self._motion(old, new)
        _, relit = _relit(self._at(old.astype(np.float32), back), new)
        seen = self._at(new.astype(np.float32), ahead)
        gain = float(new.mean() + 1) / float(old.mean() + 1)
        return Link(
            self._cells(back), self._cells(ahead),
            self._sure(np.abs(relit - new), back, ahead), self._sure(np.abs(seen - old.astype(np.float32) * np.float32(gain)), ahead, back),
        )  # fmt: skip

    def _motion(self, of: Guide, to: Guide) -> Float:
        # None: no flow to begin with, which OpenCV's stub does not know.
        return np.asarray(self._flow.calc(of, to, None), np.float32)  # type: ignore[call-overload]

    def _still(self) -> Link:
        home, sure = np.zeros((2, *self._grid), np.float32), np.ones(self._grid, np.float32)
        return Link(home, home, sure, sure)

    def _at(self, picture: Float, flow: Float) -> Float:
        return warp(picture, (self._home[0] + flow[..., 0], self._home[1] + flow[..., 1]))

    def _sure(self, difference: Float, there: Float, back: Float) -> Float:
        flat, middle = difference.ravel(), difference.size // 2
        limit = _STILL + _NOISE_SHARE * min(float(np.partition(flat, middle)[middle]), _MOST_NOISE)
        around = cv2.blur(difference, (3, 3))
        away = there + self._at(back, there)
        away *= away
        doubt = around * around * np.float32(1 / limit**2) + (away[..., 0] + away[..., 1]) * np.float32(1 / _HOME**2)
        sure = np.exp2(-doubt)
        height, width = self._grid
        smooth = cv2.blur(cv2.resize(sure, (width, height), interpolation=cv2.INTER_AREA), (3, 3))
        return np.asarray(np.maximum(smooth, 0), np.float32)  # OpenCV's running sums may end a little below 0

    def _cells(self, flow: Float) -> Float:
        height, width = self._grid
        small = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA)
        return np.stack([small[..., 0] * np.float32(width / _SIZE), small[..., 1] * np.float32(height / _SIZE)])


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
