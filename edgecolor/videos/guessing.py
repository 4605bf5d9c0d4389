"""From luma to steps, and from a smoothed grid to the chroma planes of one picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecolor import upsample
from edgecolor.color import chroma_excursion
from edgecolor.colorizer import Colorizer, shrink
from edgecolor.frame import ColorRange, Plane
from edgecolor.sources.planes import matrix_of, range_of
from edgecolor.videos.forms import Form, eight_bits, form_of, luma_of
from edgecolor.videos.motion import Float, Guide


class Guesser:
    """Guesses for pictures as they are stored; the network sees them as they are displayed.

    quarters: turns of a quarter counterclockwise that display makes.
    """

    def __init__(self, colorizer: Colorizer, quarters: int) -> None:
        self._colorizer, self._quarters = colorizer, quarters
        height, width = colorizer.network.size
        self._size = (height, width) if quarters % 2 else (width, height)

    def guide(self, picture: Any) -> Guide:
        """Small luma, uint8, of a picture in plain form."""
        form = form_of(picture.format.name)
        assert form is not None
        return shrink(eight_bits(luma_of(picture), form.depth), self._size)

    def grid(self, guide: Guide, picture: Any) -> Float:
        """The guess (h, w, 2) for small luma. picture: says which range and matrix."""
        shown = np.ascontiguousarray(np.rot90(guide, self._quarters))
        grid = self._colorizer.guess(shown, range_of(picture), matrix_of(picture)).grid
        return np.ascontiguousarray(np.rot90(grid, -self._quarters))


def chroma_of(grid: Float, guide: Guide, picture: Any, form: Form, *, fields: bool) -> tuple[Plane, Plane]:
    """Chroma planes of ``form`` for a picture in plain form, guided by its luma. fields: each field by its own lines."""
    source = form_of(picture.format.name)
    assert source is not None and form.steps is not None
    lines = upsample.fit(grid, guide)
    luma = eight_bits(luma_of(picture), source.depth)
    color_range = range_of(picture)
    across, down = form.steps
    width, height = -(-luma.shape[1] // (1 << across)), -(-luma.shape[0] // (1 << down))
    if not fields or height < 2:
        return _planes(lines, shrink(luma, (width, height)), form, color_range)
    planes = np.empty((2, height, width), form.dtype)
    for field in (0, 1):
        rows = planes[:, field::2]
        rows[0], rows[1] = _planes(lines, shrink(np.ascontiguousarray(luma[field::2]), (width, rows.shape[1])), form, color_range)
    return planes[0], planes[1]


def _planes(lines: upsample.Lines, guide: Guide, form: Form, color_range: ColorRange) -> tuple[Plane, Plane]:
    if form.depth == 8:
        return upsample.apply_to_planes(lines, guide, chroma_excursion(np.uint8, color_range))
    top = (1 << form.depth) - 1
    excursion = top if color_range == "full" else 224 << (form.depth - 8)
    codes = upsample.apply(lines, guide) * np.float32(excursion) + np.float32(1 << (form.depth - 1))
    codes = np.clip(np.rint(codes), 0, top).astype(form.dtype)
    return np.ascontiguousarray(codes[..., 0]), np.ascontiguousarray(codes[..., 1])
