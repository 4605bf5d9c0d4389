"""A decoded picture to planes: luma straight from the decoder, chroma as 4:2:0, never through RGB."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from edgecolor.errors import VideoError
from edgecolor.frame import ColorRange, Frame, Matrix

Bytes = NDArray[np.uint8]
Layout = Literal["gray", "planar", "semiplanar", "swapped", "packed", "deep gray", "rgb"]
_PLANAR = frozenset(f"{kind}{layout}" for kind in ("yuv", "yuvj") for layout in ("410p", "411p", "420p", "422p", "440p", "444p"))
# Numbers of FFmpeg's AVColorRange and AVColorSpace (ITU-T H.273 for the latter); 0 and 2 mean "not said".
_RANGES: dict[int, ColorRange] = {1: "limited", 2: "full"}
_MATRICES: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601", 7: "bt709"}
_MPEG, _JPEG = 1, 2
_BT601 = 5
_SD_HEIGHT = 576  # a stream that does not name its matrix: BT.601 up to here, BT.709 above, as players assume


def frame_of(picture: Any, *, color: bool = True, pts: float | None = None, captured: float, sequence: int) -> Frame:
    """A decoded av.VideoFrame -> Frame, 8 bits, as displayed (rotation applied).

    Without rotation, luma of the common formats is a view of the decoder's own plane: its rows may lie further apart than
    W bytes. Read it only. Chroma of formats other than 4:2:0 is reduced; None for gray formats, or when color is false.
    Raises VideoError for a pixel format that can not be brought to planes of 8 bits.
    """
    layout = layout_of(picture.format.name)
    color_range, matrix = range_of(picture), matrix_of(picture)
    if layout in ("packed", "deep gray", "rgb"):
        picture, layout = _converted(picture, layout, color_range), "gray" if layout == "deep gray" else "planar"
    planes = [_rows(picture, 0)]
    if color and layout != "gray":
        planes += _chroma(picture, layout)
    quarters = round(picture.rotation / 90) % 4  # degrees counterclockwise
    if quarters:
        planes = [np.ascontiguousarray(np.rot90(plane, quarters)) for plane in planes]
    y, cb, cr = planes if len(planes) == 3 else (planes[0], None, None)
    return Frame(y, cb, cr, color_range=color_range, matrix=matrix, pts=pts, captured=captured, sequence=sequence)


@cache
def layout_of(name: str) -> Layout:
    """How a pixel format keeps its samples. gray, planar, semiplanar and swapped (Cr first) are read without conversion."""
    if name == "gray":
        return "gray"
    if name in _PLANAR:
        return "planar"
    if name in ("nv12", "nv16", "nv24"):
        return "semiplanar"
    if name in ("nv21", "nv42"):
        return "swapped"
    form = av.VideoFormat(name)
    if form.is_rgb or form.has_palette:
        return "rgb"
    return "packed" if len(form.components) >= 3 else "deep gray"


def range_of(picture: Any) -> ColorRange:
    """Colour range of a picture's luma: as marked; unmarked YCbCr is limited, gray, RGB and JPEG's formats are full."""
    layout = layout_of(picture.format.name)
    if layout == "rgb":
        return "full"
    implied: ColorRange = "full" if "gray" in layout or picture.format.name.startswith("yuvj") else "limited"
    return _RANGES.get(int(picture.color_range), implied)


def matrix_of(picture: Any) -> Matrix:
    """Luma coefficients of a picture: as marked, else by its height as players assume. RGB is converted by BT.601."""
    if layout_of(picture.format.name) == "rgb":
        return "bt601"
    return _MATRICES.get(int(picture.colorspace), "bt601" if picture.height <= _SD_HEIGHT else "bt709")


class Deinterlacer:
    """Makes whole pictures of interlaced ones (libavfilter's bwdif); passes the others on as they are.

    Once an interlaced picture has come, every later one takes the way through the filter, one picture late, until the
    size or the format changes.
    """

    def __init__(self) -> None:
        self._graph: Any = None
        self._shape: tuple[int, int, str] | None = None

    def push(self, picture: Any) -> Iterator[Any]:
        """Yield the pictures that are ready now."""
        shape = (picture.width, picture.height, picture.format.name)
        if shape != self._shape:
            yield from self.flush()
            self._shape = shape
        if self._graph is None:
            if not picture.interlaced_frame:
                yield picture
                return
            self._graph = _bwdif(picture)
        self._graph.push(picture)
        yield from self._ready()

    def flush(self) -> Iterator[Any]:
        """Yield what the filter still holds; afterwards it starts anew."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
        self._graph = None

    def _ready(self) -> Iterator[Any]:
        while True:
            try:
                yield self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return


def _bwdif(picture: Any) -> Any:
    graph = Graph()
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base)
    bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


# On aarch64 libswscale makes 4:2:0 of these two lines at a time, and past the last one when their number is odd.
_PACKED_422 = ("yuyv422", "uyvy422")


def _converted(picture: Any, layout: Layout, color_range: ColorRange) -> Any:
    """By libswscale, to 8 bits in the same range; RGB to full range BT.601."""
    name, number = picture.format.name, _JPEG if color_range == "full" else _MPEG
    reason: Exception | str = "libswscale aborts the whole process on it"
    if not name.startswith("yaf32"):
        try:
            if layout == "rgb":
                return picture.reformat(format="yuv420p", dst_colorspace=_BT601, dst_color_range=_JPEG)
            form = "gray" if layout == "deep gray" else "yuv420p"
            if name in _PACKED_422 and picture.height % 2:
                picture = picture.reformat(format="yuv422p", src_color_range=number, dst_color_range=number)
            return picture.reformat(format=form, src_color_range=number, dst_color_range=number)
        except (av.FFmpegError, ValueError) as error:
            reason = error
    raise VideoError(f"pixel format {name} can not be converted to planes of 8 bits: {reason}")


def _rows(picture: Any, number: int, samples: int = 1) -> Bytes:
    """A plane as an array (rows, width) or, with two samples a pixel, (rows, width, 2); a view."""
    plane = picture.planes[number]
    length = plane.width * samples
    if plane.line_size < length:
        raise VideoError(f"pixel format {picture.format.name}: lines of {plane.line_size} bytes are too short for {picture.width} pixels")
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * plane.height].reshape(plane.height, plane.line_size)[:, :length]
    return rows if samples == 1 else rows.reshape(plane.height, plane.width, samples)


def _chroma(picture: Any, layout: Layout) -> list[Bytes]:
    size = ((picture.width + 1) // 2, (picture.height + 1) // 2)
    if layout == "planar":
        return [_resized(_rows(picture, number), size) for number in (1, 2)]
    first, second = cv2.split(_resized(_rows(picture, 1, 2), size))
    both = [np.asarray(first, np.uint8), np.asarray(second, np.uint8)]
    return both[::-1] if layout == "swapped" else both


def _resized(plane: Bytes, size: tuple[int, int]) -> Bytes:
    width, height = size
    if plane.shape[:2] == (height, width):
        return plane
    shrinks = plane.shape[0] >= height and plane.shape[1] >= width
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)
