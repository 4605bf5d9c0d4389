"""Frames of BT.709 as frames of BT.601, which is what a JPEG is (ITU-T T.871). Sources: ITU-R BT.601-7, BT.709-6."""

from __future__ import annotations

import functools
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecolor.color import rgb_to_chroma, rgb_to_luma, ycbcr_to_rgb
from edgecolor.frame import Frame


@functools.cache
def _bt709_to_bt601() -> NDArray[np.float64]:
    """(3, 2): what Cb and Cr of BT.709 add to Y, and make of Cb and Cr, in BT.601. Gray is the same under both, so Y adds no chroma."""
    rgb = ycbcr_to_rgb(np.zeros(2), np.eye(2), "bt709")
    return np.concatenate([rgb_to_luma(rgb)[None], rgb_to_chroma(rgb).T], dtype=np.float64)


def to_bt601(frame: Frame) -> Frame:
    """The frame in BT.601: Y'CbCr of BT.709 is converted without leaving its colour range, what is outside of it saturates.

    A frame that is BT.601 already is given back. One without chroma keeps its very luma: gray is the same under both. Chroma
    is taken to lie in the middle of its four luma pixels, as in JPEG.
    """
    if frame.matrix == "bt601":
        return frame
    if frame.cb is None or frame.cr is None:
        return replace(frame, matrix="bt601")
    (y_cb, y_cr), *chroma = _bt709_to_bt601()
    luma_share = 1.0 if frame.color_range == "full" else 219 / 224
    depth = cv2.CV_8U if frame.y.dtype == np.uint8 else cv2.CV_16U
    middle = np.iinfo(frame.y.dtype).max // 2 + 1
    more = cv2.addWeighted(frame.cb, y_cb * luma_share, frame.cr, y_cr * luma_share, -middle * (y_cb + y_cr) * luma_share, dtype=cv2.CV_32F)
    height, width = frame.y.shape
    more = cv2.resize(more, (2 * more.shape[1], 2 * more.shape[0]), interpolation=cv2.INTER_LINEAR)[:height, :width]
    y = cv2.add(frame.y, more, dtype=depth)
    cb, cr = (cv2.addWeighted(frame.cb, b, frame.cr, r, middle * (1 - b - r), dtype=depth) for b, r in chroma)
    return replace(frame, y=y, cb=cb, cr=cr, matrix="bt601")
