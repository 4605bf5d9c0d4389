"""A video file played at its own rate: the Y plane straight from the decoder, never through RGB."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edgecolor.errors import VideoError
from edgecolor.frame import ColorRange, Frame, Matrix

# Pixel formats whose first plane is 8-bit luma and nothing else. All others are converted by libswscale.
_LUMA_FIRST = frozenset(
    ["gray", "nv12", "nv21", "nv16", "nv24"]
    + [f"{kind}{layout}" for kind in ("yuv", "yuvj") for layout in ("410p", "411p", "420p", "422p", "440p", "444p")]
)
# A decoder that falls this far behind the clock (the machine slept, was stopped) goes on from now: a camera does not
# send again what nobody took.
_LATE_S = 1.0
_UNKNOWN_RATE = 25.0
# Numbers of FFmpeg's AVColorRange and AVColorSpace (ITU-T H.273 for the latter); 0 and 2 mean "not said".
_RANGES: dict[int, ColorRange] = {1: "limited", 2: "full"}
_MATRICES: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601", 7: "bt709"}
_SD_HEIGHT = 576  # a stream that does not name its matrix: BT.601 up to here, BT.709 above, as players assume


class VideoSource:
    """The frames of a file's first video stream, paced by pts on the monotonic clock.

    Frames carry luma only (uint8). loop: start again at the end, for ever; pts and sequence go on without a jump. name:
    shown in place of the file's. Raises VideoError when the file can not be read as video.
    """

    def __init__(self, path: str | Path, *, name: str | None = None, loop: bool = False) -> None:
        self.path = Path(path)
        self.name = name or self.path.name
        self.loop = loop
        with self._open() as container:
            self.rate = float(container.streams.video[0].average_rate or 0.0)

    def frames(self, stop: Event) -> Iterator[Frame]:
        """Yield each frame when it is due, until ``stop`` is set or a file that is not looped ends. Raises VideoError."""
        start: float | None = None
        with closing(self._pictures()) as pictures:
            for sequence, (picture, pts) in enumerate(pictures):
                now = monotonic()
                if start is None or now - (start + pts) > _LATE_S:
                    start = now - pts
                # The wait is towards start + pts, never "one interval from now": lateness does not add up.
                if stop.wait(max(0.0, start + pts - now)):
                    return
                y, color_range = luma_plane(picture)
                yield Frame(y, color_range=color_range, matrix=matrix_of(picture), pts=pts, sequence=sequence)

    def _open(self) -> Any:
        try:
            container = av.open(str(self.path))
        except av.FFmpegError as error:
            raise VideoError(f"{self.path}: can not be opened as video: {error.strerror}") from error
        if not container.streams.video:
            container.close()
            raise VideoError(f"{self.path}: has no video stream")
        return container

    def _pictures(self) -> Generator[tuple[Any, float], None, None]:
        """Decoded pictures with their time in seconds from the first one, which goes on rising when the file is looped."""
        offset = 0.0
        while True:
            length = 0.0
            with self._open() as container:
                first: float | None = None
                for picture in self._decode(container):
                    time = picture.time
                    if time is None:  # raw streams have no timestamps: count instead
                        time = length
                    first = time if first is None else first
                    # Never backwards: broken timestamps must not stall the clock.
                    position = max(time - first, 0.0)
                    yield picture, offset + position
                    length = max(length, position + self._duration(picture))
            if length == 0.0:
                raise VideoError(f"{self.path}: not one picture in it can be decoded")
            if not self.loop:
                return
            offset += length

    def _duration(self, picture: Any) -> float:
        if picture.duration and picture.time_base:
            return float(picture.duration * picture.time_base)
        return 1.0 / (self.rate or _UNKNOWN_RATE)

    def _decode(self, container: Any) -> Iterator[Any]:
        stream = container.streams.video[0]
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                raise VideoError(f"{self.path}: reading stopped: {error.strerror}") from error
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                continue  # one damaged packet costs its own picture, not the rest of the file
            except av.FFmpegError as error:
                raise VideoError(f"{self.path}: can not be decoded: {error.strerror}") from error
            yield from pictures


def luma_plane(picture: Any) -> tuple[NDArray[np.uint8], ColorRange]:
    """Luma (H, W) uint8 of a decoded av.VideoFrame, as displayed (rotation applied), and its colour range.

    Without rotation it is a view of the decoder's own plane: rows may lie further apart than W bytes. Read it only.
    Raises VideoError for a pixel format that can not be brought to 8-bit luma.
    """
    color_range = range_of(picture)
    if picture.format.name not in _LUMA_FIRST:
        # Gray of an RGB picture is full range; deeper YCbCr keeps its range on the way to 8 bits.
        rgb = picture.format.is_rgb or picture.format.has_palette
        try:
            picture = picture.reformat(format="gray" if rgb else "yuv420p")
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"pixel format {picture.format.name} can not be converted to 8-bit luma: {error}") from error
    plane = picture.planes[0]
    if plane.line_size < picture.width:
        raise VideoError(f"pixel format {picture.format.name}: lines of {plane.line_size} bytes are too short for {picture.width} pixels")
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * picture.height].reshape(picture.height, plane.line_size)
    luma = rows[:, : picture.width]
    quarters = round(picture.rotation / 90) % 4  # degrees counterclockwise
    return (np.ascontiguousarray(np.rot90(luma, quarters)) if quarters else luma), color_range


def range_of(picture: Any) -> ColorRange:
    """Colour range of a picture's luma: as marked; unmarked YCbCr is limited, gray, RGB and JPEG's formats are full."""
    name = picture.format.name
    implied: ColorRange = "full" if name.startswith(("gray", "yuvj")) or picture.format.is_rgb or picture.format.has_palette else "limited"
    return implied if picture.format.is_rgb else _RANGES.get(int(picture.color_range), implied)


def matrix_of(picture: Any) -> Matrix:
    """Luma coefficients of a picture: as marked, else by its height as players assume."""
    return _MATRICES.get(int(picture.colorspace), "bt601" if picture.height <= _SD_HEIGHT else "bt709")
