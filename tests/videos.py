"""Small video files of known content, written losslessly by PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def plain_frame(pixel_format: str, luma: np.ndarray, deep: int = 0) -> av.VideoFrame:
    """A frame whose first plane is ``luma`` and whose chroma is neutral."""
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], pixel_format)
    for number, plane in enumerate(frame.planes):
        kind = np.uint16 if deep else np.uint8
        rows = np.full((plane.height, plane.line_size // np.dtype(kind).itemsize), 128 << deep, kind)
        if number == 0:
            rows[:, : luma.shape[1]] = luma.astype(kind) << deep
        plane.update(rows.tobytes()[: plane.buffer_size])
    return frame


def filled_frame(pixel_format: str, *planes: np.ndarray) -> av.VideoFrame:
    """A frame with these planes, (rows, bytes a row) uint8 each; the first one has the picture's size, for packed formats too."""
    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], pixel_format)
    for plane, rows in zip(frame.planes, planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : rows.shape[1]] = rows
        plane.update(padded.tobytes())
    return frame


def write(
    path: Path, frames: Sequence[av.VideoFrame], *, codec: str = "ffv1", rate: int = 25, pts: Sequence[int] | None = None,
    color_range: int = 0, colorspace: int = 2, rotation: int = 0,
    options: dict[str, str] | None = None, time_base: Fraction = Fraction(1, 1000),
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.codec_context.time_base = time_base
        stream.codec_context.color_range, stream.codec_context.colorspace = color_range, colorspace
        if rotation:
            stream.set_display_rotation(rotation)
        for number, frame in enumerate(frames):
            frame.pts = pts[number] if pts else round(number / (rate * time_base))
            frame.time_base = time_base
            frame.color_range, frame.colorspace = color_range, colorspace
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbered(count: int, size: tuple[int, int] = (16, 32)) -> list[av.VideoFrame]:
    return [plain_frame("yuv420p", np.full(size, 20 + number, np.uint8)) for number in range(count)]
