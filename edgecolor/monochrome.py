"""Is a picture gray? Gray, or tinted: a sepia print, a purple infrared feed. Then chroma says nothing but luma.

The test: draw chroma as a curve over luma, through the medians of narrow bins of luma. The pixels of a tinted picture
lie on the curve, those of a coloured one beside it; so the ones that lie beside it are counted.

A live feed needs hysteresis over frames on top of this; it belongs here too, comparing ``outlier_share`` with two
thresholds around THRESHOLD.
"""

from __future__ import annotations

from itertools import pairwise

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

Planes = tuple[Plane, Plane, Plane]


def outlier_share(y: Plane, cb: Plane, cr: Plane) -> float:
    """Share (0..1) of pixels whose chroma is farther than DISTANCE from the curve of chroma over luma.

    y, cb, cr: uint8 arrays of one shape. Some 65,000 evenly spaced pixels are looked at.
    """
    step = max(1, -(-y.size // _MOST_PIXELS))
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
