"""The picture in place of a picture that is lost: it says so, where a frozen one would lie."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgecolor.color import luma_code
from edgecolor.frame import ColorRange, Frame, chroma_shape
from edgecolor.label import letters, paint

_ROWS, _COLUMNS = 14, 40  # letters that a picture has room for
_LEAST = 8  # pixels a letter
_DARK, _BRIGHT = 0.12, 0.75  # luma of ground and letters


def placeholder(
    shape: tuple[int, ...], lines: Sequence[str], color_range: ColorRange = "full", *, dtype: Any = np.uint8, sequence: int = 0
) -> Frame:
    """A dark picture (H, W) with lines of text in its middle, neutral chroma, and origin "placeholder".

    The first line is larger. Lines too long are broken between words, and what does not fit is left out. sequence: that of
    the last frame of the source, which this one follows.
    """
    height, width = shape
    size = max(_LEAST, min(height // _ROWS, 2 * width // _COLUMNS))
    columns = max(1, width * _COLUMNS // max(width, _COLUMNS * size // 2))
    rows = [(row, round(size * 1.25) if place == 0 else size) for place, line in enumerate(lines) for row in textwrap.wrap(line, columns)]
    rows = rows[: max(1, height // (size * 3 // 2))]
    coverage = np.zeros(shape, np.float32)
    top = (height - sum(high * 3 // 2 for _, high in rows)) // 2
    for text, high in rows:
        drawn = letters(text, high, max(1, width - size))
        paint(coverage, drawn, top, (width - drawn.shape[1]) // 2)
        top += high * 3 // 2
    neutral = np.full(chroma_shape(shape), np.iinfo(dtype).max // 2 + 1, dtype)
    y = luma_code(_DARK + (_BRIGHT - _DARK) * coverage, dtype, color_range)
    return Frame(y, neutral, neutral.copy(), color_range, "bt601", sequence=sequence, origin="placeholder")
