"""Is a picture gray? Gray, or tinted: a sepia print, a purple infrared feed. Then chroma says nothing but luma.

The test: draw chroma as a curve over luma, through the medians of narrow bins of luma. The pixels of a tinted picture
lie on the curve, those of a coloured one beside it; so the ones that lie beside it are counted.

A live feed is watched for its turns between day and night (FeedWatch): two thresholds around THRESHOLD, and agreement
over time.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, sqrt
from typing import Literal

import numpy as np

from edgecolor.frame import Frame, Plane

# Measured on 282 colour pictures of the validation sets, and on four tints of each (sepia, two more, and a different
# gamma a channel): one colour picture (2.9 %) is taken for gray, no tinted one of 1128 for coloured (the worst has 1.7 %).
# 16 bins without the curve took 145 of them for coloured, since a tint is steep over luma where a channel clips.
# Infrared: noise 0 %, with yellow on-screen text 1.4 %.
THRESHOLD = 0.03
DISTANCE = 6.0  # codes of 8-bit chroma
_MOST_PIXELS = 1 << 16
_BINS = 64
_FEW_PIXELS, _FEW_BINS = 1 << 12, 16  # a small picture does not fill 64
_FEWEST_IN_A_BIN = 8  # the median of fewer follows the pixels that it should judge

# A feed turns to colour above the upper share and to gray below the lower one, when tests of so many seconds say the same.
_TO_GRAY, _TO_COLOR = 0.02, 0.045
_AGREEMENT_S, _INTERVAL_S = 0.5, 0.15
_FEED_PIXELS = 1 << 13

Planes = tuple[Plane, Plane, Plane]
Feed = Literal["gray", "color"]


def outlier_share(y: Plane, cb: Plane, cr: Plane) -> float:
    """Share (0..1) of pixels whose chroma is farther than DISTANCE from the curve of chroma over luma.

    y, cb, cr: uint8 arrays of one shape. Some 65,000 evenly spaced pixels are looked at.
    """
    step = max(1, -(-y.size // _MOST_PIXELS))
    # The curve lies between the least chroma and the greatest: where these are near each other, nothing can be far from it.
    spans = (int(plane.max()) - int(plane.min()) for plane in (cb.ravel()[::step], cr.ravel()[::step]))
    if sum(span * span for span in spans) <= DISTANCE**2:
        return 0.0
    luma = y.ravel()[::step]
    order = np.argsort(luma, kind="stable")
    luma, chroma = luma[order], np.stack([cb.ravel()[::step][order], cr.ravel()[::step][order]])
    width = 256 // (_FEW_BINS if luma.size < _FEW_PIXELS else _BINS)
    borders = np.searchsorted(luma, np.arange(0, 257, width))
    fewest = min(_FEWEST_IN_A_BIN, int(np.diff(borders).max()))
    places, medians = [], []
    for start, stop in pairwise(borders):
        if stop - start >= fewest:
            places.append(luma[start:stop].mean())
            medians.append(np.median(chroma[:, start:stop], axis=1))
    away = [values - np.interp(luma, places, curve) for values, curve in zip(chroma, np.transpose(medians), strict=True)]
    return int(np.count_nonzero(away[0] ** 2 + away[1] ** 2 > DISTANCE**2)) / luma.size


def is_monochrome(picture: Frame | Planes | None) -> bool:
    """Whether a frame, or (y, cb, cr) uint8 planes of one shape, is gray or tinted. None and no chroma are gray.

    A frame's luma is taken at the places of its 4:2:0 chroma; 16-bit codes are judged by their upper 8 bits.
    """
    if picture is None:
        return True
    if isinstance(picture, Frame):
        if picture.cb is None or picture.cr is None:
            return True
        picture = (picture.y[::2, ::2], picture.cb, picture.cr)
    y, cb, cr = (plane if plane.dtype == np.uint8 else (plane >> 8).astype(np.uint8) for plane in picture)
    return outlier_share(y, cb, cr) < THRESHOLD


class FeedWatch:
    """Whether a live feed is gray now, as an infrared camera's is at night. Not thread-safe.

    It goes by the frames' own time (``Frame.captured``), not by their number: a turn is noticed within a second at any rate
    from 10 frames a second on, below that with the second frame that says so. ``feed`` is the verdict, None before the first.
    """

    def __init__(self) -> None:
        self.feed: Feed | None = None
        self._tested: float | None = None
        self._against: float | None = None  # since when every test has spoken against the verdict

    def see(self, frame: Frame) -> Feed:
        """Take the next frame into account; returns the verdict. Most frames are not even looked at."""
        if frame.cb is None or frame.cr is None:
            # No chroma at all is no matter of opinion.
            self.feed, self._against = "gray", None
        elif self.feed is None:
            self.feed = "gray" if feed_share(frame) < THRESHOLD else "color"
            self._tested = frame.captured
        elif self._tested is None or not 0 <= frame.captured - self._tested < _INTERVAL_S:
            self._tested = frame.captured
            share = feed_share(frame)
            if not (share < _TO_GRAY if self.feed == "color" else share > _TO_COLOR):
                self._against = None
            elif self._against is None:
                self._against = frame.captured
            elif frame.captured - self._against >= _AGREEMENT_S:
                self.feed, self._against = ("gray" if self.feed == "color" else "color"), None
        return self.feed


def feed_share(frame: Frame) -> float:
    """``outlier_share`` of a frame with chroma, from some 8,000 pixels: a fraction of a millisecond, whatever its size."""
    assert frame.cb is not None and frame.cr is not None
    step = max(1, ceil(sqrt(frame.cb.size / _FEED_PIXELS)))
    planes = (frame.y[:: 2 * step, :: 2 * step], frame.cb[::step, ::step], frame.cr[::step, ::step])
    y, cb, cr = (plane if plane.dtype == np.uint8 else (plane >> 8).astype(np.uint8) for plane in planes)
    return outlier_share(y, cb, cr)
