"""Small video files of known content, written by PyAV, and a network whose guesses are known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edgecolor.colorizer import Colorizer
from edgecolor.videos import VideoOptions, VideoReport, colorize_video
from edgecolor.videos.forms import form_of, plain, plane_of

SIZE = (48, 64)
RANDOM = np.random.default_rng(5)
PATTERN = np.asarray(np.kron(RANDOM.integers(30, 220, (12, 16)), np.ones((4, 4))), np.uint8)


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
    path: Path, frames: Sequence[av.VideoFrame], *, codec: str = "ffv1", rate: int | Fraction = 25, pts: Sequence[int] | None = None,
    color_range: int = 0, colorspace: int = 2, rotation: int = 0,
    options: dict[str, str] | None = None, time_base: Fraction = Fraction(1, 1000),
) -> Path:
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
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


class Green:
    """A network that guesses the same green everywhere."""

    size = (32, 32)

    def __call__(self, luma: NDArray[np.uint8], color_range: str) -> NDArray[np.float32]:
        return np.broadcast_to(np.float32([-30, 20]), (8, 8, 2)).copy()


GREEN = Colorizer(network=Green())  # type: ignore[arg-type]


def luma(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A pattern that moves to the right."""
    rows, columns = size
    tiled = np.tile(PATTERN, (rows // PATTERN.shape[0] + 1, columns // PATTERN.shape[1] + 1))
    return np.roll(tiled, number, axis=1)[:rows, :columns].copy()


def gray_frames(count: int = 8, size: tuple[int, int] = SIZE, pixel_format: str = "yuv420p", deep: int = 0) -> list[av.VideoFrame]:
    frames = []
    for number in range(count):
        frame = av.VideoFrame(size[1], size[0], pixel_format)
        for index, plane in enumerate(frame.planes):
            kind = np.uint16 if deep else np.uint8
            rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
            rows[:] = 128 << deep
            if index == 0:
                noise = RANDOM.integers(0, 1 << deep, size) if deep else 0
                rows[:, : size[1]] = (luma(number, size).astype(kind) << deep) + noise
        frames.append(frame)
    return frames


def color_frames(count: int = 8) -> list[av.VideoFrame]:
    cb = np.asarray(np.kron(RANDOM.integers(60, 200, (3, 4)), np.ones((8, 8))), np.uint8)
    return [filled_frame("yuv420p", luma(number), cb, cb[::-1].copy()) for number in range(count)]


def colorize(source: Path, target: Path, **options: object) -> VideoReport:
    return colorize_video(source, target, GREEN, VideoOptions(**options))  # type: ignore[arg-type]


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "SLICE"
        return [plain(frame) for frame in container.decode(container.streams.video[0])]


def times(path: Path) -> list[Fraction]:
    untimed = path.suffix in (".avi", ".wmv")  # FFmpeg then goes by the order of decoding
    return [(frame.dts if untimed else frame.pts) * frame.time_base for frame in decoded(path)]


def is_green(frame: av.VideoFrame) -> bool:
    form = form_of(frame.format.name)
    assert form is not None
    middle = 1 << (form.depth - 1)
    return bool(plane_of(frame, 1).mean() < middle * 0.97 and plane_of(frame, 2).mean() < middle * 0.97)


def nothing_left(folder: Path, *names: str) -> bool:
    return sorted(path.name for path in folder.iterdir()) == sorted(names)
