"""A video file played at its own rate, as a camera would send it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import av

from edgecolor.errors import VideoError
from edgecolor.frame import Frame
from edgecolor.sources.planes import Deinterlacer, frame_of

# A decoder that falls this far behind the clock (the machine slept, was stopped) goes on from now: a camera does not
# send again what nobody took.
_LATE_S = 1.0
_UNKNOWN_RATE = 25.0


class VideoSource:
    """The frames of a file's first video stream, paced by pts on the monotonic clock.

    loop: start again at the end, for ever; pts goes on without a jump. color: False drops the file's chroma. name: shown in
    place of the file's. Interlaced pictures are deinterlaced. Raises VideoError when the file can not be read as video.
    """

    live = False
    timeout = 5.0  # a file is never silent; only a stalled disk could make it so

    def __init__(self, path: str | Path, *, name: str | None = None, loop: bool = False, color: bool = True) -> None:
        self.path = Path(path)
        self.name = name or self.path.name
        self.loop = loop
        self.color = color
        self._sequence = 0
        with self._open() as container:
            self.rate = float(container.streams.video[0].average_rate or 0.0)

    def frames(self, stop: Event) -> Iterator[Frame]:
        """Yield each frame when it is due, until ``stop`` is set or a file that is not looped ends. Raises VideoError."""
        start: float | None = None
        with closing(self._pictures()) as pictures:
            for picture, pts in pictures:
                now = monotonic()
                if start is None or now - (start + pts) > _LATE_S:
                    start = now - pts
                # The wait is towards start + pts, never "one interval from now": lateness does not add up.
                if stop.wait(max(0.0, start + pts - now)):
                    return
                sequence, self._sequence = self._sequence, self._sequence + 1
                yield self._frame(picture, pts, sequence)

    def _frame(self, picture: Any, pts: float, sequence: int) -> Frame:
        try:
            return frame_of(picture, color=self.color, pts=pts, captured=monotonic(), sequence=sequence)
        except VideoError as error:
            raise VideoError(f"{self.path}: {error}") from error

    def _open(self) -> Any:
        try:
            container = av.open(str(self.path.absolute()))  # FFmpeg would take what stands before a colon for a protocol
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
        deinterlacer = Deinterlacer()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                yield from deinterlacer.flush()
                return
            except av.FFmpegError as error:
                raise VideoError(f"{self.path}: reading stopped: {error.strerror}") from error
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                continue  # one damaged packet costs its own picture, not the rest of the file
            except av.FFmpegError as error:
                raise VideoError(f"{self.path}: can not be decoded: {error.strerror}") from error
            for picture in pictures:
                yield from deinterlacer.push(picture)
