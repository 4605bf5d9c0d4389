"""The burnt-in label: small words in a corner that say whose colours these are, wherever the picture goes."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecolor.color import luma_code
from edgecolor.frame import ColorRange, Frame, Plane

Position = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
TEXT = "colour is guessed"

_LINES = 45  # heights of a label in the height of a picture: 16 pixels of 720
_SMALLEST = 9  # pixels; lower letters can not be read
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _BRIGHT = 0.08, 0.92  # luma of backdrop and letters; not black and white, so that JPEG's ringing is not clipped


def burn(frame: Frame, position: Position, text: str = TEXT) -> Frame:
    """The frame with ``text`` on a dark backdrop in a corner, on copies of its planes: chroma below it is neutral.

    The text's size follows the picture's height, and its width where that is too narrow. ``frame`` stays as it is. Letters
    beyond ASCII become question marks.
    """
    height, width = frame.y.shape
    stamp = _stamp(text, max(_SMALLEST, height // _LINES), width, frame.y.dtype.str, frame.color_range)
    stamp = stamp[: height - height % 2 or 1, : width - width % 2 or 1]
    h, w = stamp.shape
    # Even places, so that whole chroma pixels lie below the label.
    top = 0 if position.startswith("top") else (height - h) // 2 * 2
    left = 0 if position.endswith("left") else (width - w) // 2 * 2
    y = frame.y.copy()
    y[top : top + h, left : left + w] = stamp
    if frame.cb is None or frame.cr is None:
        return replace(frame, y=y)
    cb, cr = frame.cb.copy(), frame.cr.copy()
    for plane in (cb, cr):
        plane[top // 2 : (top + h + 1) // 2, left // 2 : (left + w + 1) // 2] = np.iinfo(plane.dtype).max // 2 + 1
    return replace(frame, y=y, cb=cb, cr=cr)


def letters(text: str, height: int, width: int) -> NDArray[np.float32]:
    """One line of text as coverage (h, w) float32 in [0, 1]: ``height`` pixels high, or lower where it would be wider than ``width``."""
    printable = text.encode("ascii", "replace").decode()
    thickness = max(1, round(height / 14))

    def measure(scale: float) -> tuple[int, int, int]:
        (w, h), below = cv2.getTextSize(printable, _FONT, scale, thickness)
        return w, h, below

    w, h, below = measure(1.0)
    scale = min(height / (h + below), max(1, width - 4) / max(w, 1))  # four for rounding and the pen
    w, h, below = measure(scale)
    canvas = np.zeros((h + below + 2, w + 2), np.uint8)
    cv2.putText(canvas, printable, (1, h), _FONT, scale, (255,), thickness, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)


@functools.lru_cache(maxsize=16)
def _stamp(text: str, height: int, width: int, dtype: str, color_range: ColorRange) -> Plane:
    """Luma codes of the label with its backdrop, even in both sizes."""
    margin = max(2, height // 3)
    coverage = letters(text, height, max(1, width - 2 * margin))
    h, w = coverage.shape
    backdrop = np.zeros(((h + 2 * margin + 1) // 2 * 2, (w + 2 * margin + 1) // 2 * 2), np.float32)
    backdrop[margin : margin + h, margin : margin + w] = coverage
    stamp: Plane = luma_code(_DARK + (_BRIGHT - _DARK) * backdrop, np.dtype(dtype), color_range)
    stamp.flags.writeable = False  # it is shared by all frames
    return stamp


def paint(canvas: NDArray[Any], coverage: NDArray[np.float32], top: int, left: int) -> None:
    """Lay coverage (h, w) over canvas (H, W) float32 at a place, cut off at the canvas's borders."""
    target = canvas[max(top, 0) : top + coverage.shape[0], max(left, 0) : left + coverage.shape[1]]
    part = coverage[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    np.maximum(target, part, out=target)
