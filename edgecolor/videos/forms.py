"""Pixel formats as numbers, and planes of pictures as arrays at their full depth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import cv2
import numpy as np

from edgecolor.errors import VideoError
from edgecolor.frame import Plane
from edgecolor.sources.planes import range_of

_PLAIN = re.compile(r"(?:gray|yuvj?(410|411|420|422|440|444)p)(9|10|12|14|16)?(?:le)?$")
# Chroma samples are fewer than luma's by so many powers of two, across and down.
_SUBSAMPLING = {"444": (0, 0), "440": (0, 1), "422": (1, 0), "420": (1, 1), "411": (2, 0), "410": (2, 2)}
_NAMES = {steps: name for name, steps in _SUBSAMPLING.items()}
_NUMBERS = {"limited": 1, "full": 2}  # FFmpeg's AVColorRange
_BT601 = 5
_DEPTHS = (8, 9, 10, 12, 14, 16)


@dataclass(frozen=True)
class Form:
    """How samples are kept: bits of depth, and chroma's subsampling in powers of two, None for gray."""

    depth: int
    steps: tuple[int, int] | None

    @property
    def name(self) -> str:
        """FFmpeg's name of the planar format that keeps them so."""
        layout = "gray" if self.steps is None else f"yuv{_NAMES[self.steps]}p"
        return layout if self.depth == 8 else f"{layout}{self.depth}le"

    @property
    def dtype(self) -> Any:
        """Of its planes."""
        return np.dtype(np.uint8 if self.depth == 8 else "<u2")


@cache
def form_of(name: str) -> Form | None:
    """The form of a pixel format whose planes are read as they are; None for all others."""
    found = _PLAIN.match(name)
    return Form(int(found[2] or 8), _SUBSAMPLING[found[1]] if found[1] else None) if found else None


@cache
def plain_form(name: str) -> Form:
    """The form to which a pixel format is brought without loss of depth. Raises VideoError: transparency, or unknown samples."""
    plain = form_of(name)
    if plain is not None:
        return plain
    form = av.VideoFormat(name, 64, 64)
    parts = form.components
    if any(part.is_alpha for part in parts) and not form.has_palette:
        raise VideoError(f"pixel format {name} is transparent in places, and coloured video would lose that")
    depth = 8 if form.has_palette else next((d for d in _DEPTHS if d >= max(part.bits for part in parts)), 0)
    if depth == 0 or form.is_bayer:
        raise VideoError(f"pixel format {name} can not be brought to planes of integers")
    if form.is_rgb or form.has_palette:
        return Form(depth if depth in (8, 10, 12, 16) else 16, (0, 0))
    if len(parts) < 3:
        return Form(depth, None)
    steps = (64 // form.chroma_width(64)).bit_length() - 1, (64 // form.chroma_height(64)).bit_length() - 1
    return Form(depth, steps)


def plain(picture: Any) -> Any:
    """The picture in its plain form; luma of YCbCr formats keeps every bit. Raises VideoError."""
    name = picture.format.name
    if form_of(name) is not None:
        return picture
    target = plain_form(name).name
    number = _NUMBERS[range_of(picture)]
    try:
        if picture.format.is_rgb or picture.format.has_palette:
            return picture.reformat(format=target, dst_colorspace=_BT601, dst_color_range=_NUMBERS["full"])
        return picture.reformat(format=target, src_color_range=number, dst_color_range=number)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"pixel format {name} can not be brought to {target}: {error}") from error


def plane_of(picture: Any, number: int) -> Plane:
    """A plane of a picture in plain form, (rows, columns) uint8 or little-endian uint16: a view, not to be written to."""
    plane = picture.planes[number]
    form = form_of(picture.format.name)
    assert form is not None
    width = plane.line_size // form.dtype.itemsize
    if width < plane.width:
        raise VideoError(f"pixel format {picture.format.name}: lines of {plane.line_size} bytes are too short for {plane.width} samples")
    return np.frombuffer(plane, form.dtype)[: width * plane.height].reshape(plane.height, width)[:, : plane.width]


def luma_of(picture: Any) -> Plane:
    """Luma of a picture in plain form at its full depth: (H, W), codes in the lower bits."""
    return plane_of(picture, 0)


def eight_bits(plane: Plane, depth: int) -> Plane:
    """Codes of ``depth`` bits -> uint8, rounded; the very array where they have 8."""
    return plane if depth == 8 else np.asarray(cv2.convertScaleAbs(plane, alpha=0.5 ** (depth - 8)), np.uint8)


def refill(picture: Any, form: Form, chroma: tuple[Plane, Plane] | None, luma: Plane | None = None) -> Any:
    """A picture of ``form`` with this one's luma, time, flags and side data, and with ``chroma`` or, if None, its own.

    chroma: two planes of the form's dtype and chroma size. luma: laid over the picture's, at its depth. Deeper forms get the same
    codes, shifted. Own chroma of another subsampling is resized.
    """
    source = form_of(picture.format.name)
    assert source is not None and form.steps is not None
    shift = form.depth - source.depth
    planes: list[Plane | None] = [luma if shift == 0 else _deeper(luma_of(picture) if luma is None else luma, shift, form.dtype)]
    if chroma is not None:
        planes += chroma
    elif source == form:
        planes += [None, None]
    elif source.steps is None:
        planes += [np.full((1, 1), 1 << (form.depth - 1), form.dtype)] * 2
    else:
        planes += [_deeper(plane_of(picture, number), shift, form.dtype) for number in (1, 2)]
    if source == form:
        # The decoder may still need its own picture: written over is a copy, of planes too that stay as they are.
        result = picture.reformat(format=form.name) if picture.format.name != form.name else picture
        result.make_writable()
    else:
        if planes[0] is None:
            planes[0] = luma_of(picture)
        number = _NUMBERS[range_of(picture)]
        result = picture.reformat(format=form.name, src_color_range=number, dst_color_range=number)
    for number, plane in enumerate(planes):
        if plane is not None:
            _write(result, number, plane)
    return result


def _deeper(plane: Plane, shift: int, dtype: Any) -> Plane:
    return plane.astype(dtype) << np.array(shift, dtype) if shift else plane


def _write(picture: Any, number: int, values: Plane) -> None:
    target = picture.planes[number]
    rows = np.frombuffer(target, values.dtype).reshape(target.height, -1)[:, : target.width]
    if values.shape != rows.shape:
        if values.size == 1:
            values = np.broadcast_to(values, rows.shape)
        else:
            shrinks = values.shape[0] >= rows.shape[0] and values.shape[1] >= rows.shape[1]
            size = rows.shape[1], rows.shape[0]
            values = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), values.dtype)
    np.copyto(rows, values)
