"""Frames to JPEG, plane by plane: no RGB is made. JPEG is full range (ITU-T T.871), video mostly is not."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from edgecolor.bt601 import to_bt601
from edgecolor.errors import FrameError
from edgecolor.frame import Frame, Plane

QUALITY = 80
# Gain and offset from limited to full range (BT.601-7, section 2.5.3): the line that color.range_table tabulates. OpenCV
# computes it several times faster than it looks codes up, and a test holds it against the table, code by code.
_LUMA_LINE = 255 / 219, -16 * 255 / 219
_CHROMA_LINE = 255 / 224, 128 - 128 * 255 / 224


def encode_jpeg(frame: Frame, quality: int = QUALITY) -> bytes:
    """A JFIF picture of an 8-bit frame: 4:2:0 when it has chroma, one gray component when it has none.

    Limited-range planes are rescaled and BT.709 is brought to BT.601, because a JPEG can say neither. Raises FrameError for
    16-bit planes.
    """
    if frame.y.dtype != np.uint8:
        raise FrameError(f"JPEG takes 8-bit planes, not {frame.y.dtype}")
    frame = to_bt601(frame)
    y, cb, cr = frame.y, frame.cb, frame.cr
    if frame.color_range == "limited":
        y = _stretch(y, *_LUMA_LINE)
        if cb is not None and cr is not None:
            cb, cr = _stretch(cb, *_CHROMA_LINE), _stretch(cr, *_CHROMA_LINE)
    if cb is not None:
        y = _even(y)
    encoded: bytes = simplejpeg.encode_jpeg_yuv_planes(y, cb, cr, quality)
    return encoded


def _stretch(plane: Plane, gain: float, offset: float) -> Plane:
    """plane * gain + offset, rounded and clipped, as uint8."""
    stretched: Plane = cv2.addWeighted(plane, gain, plane, 0.0, offset)
    return stretched


def _even(y: Plane) -> Plane:
    """The same luma, with memory of its own for the row and column that make an odd size even.

    4:2:0 is encoded by blocks of 2 x 2, and TurboJPEG reads them whole: past the end of an odd plane, into whatever is there.
    """
    h, w = y.shape
    return np.pad(y, ((0, h % 2), (0, w % 2)), "edge")[:h, :w] if h % 2 or w % 2 else y
