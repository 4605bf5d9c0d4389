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
# A longer step from picture to picture is a hole in the file, or the seam of two that were joined: a feed does not stand still for it.
# In a file of few pictures a second (a time lapse) such steps are its rate.
_LONGEST_STEP_S = 5.0
_UNKNOWN_RATE = 25.0


class VideoSource:
    """The frames of a file's first video stream, paced by pts on the monotonic clock.

    loop: start again at the end, for ever. pts goes on without a jump there, and where the file's own times go back or make a
    long one. color: False drops the file's chroma. name: shown in place of the file's. Interlaced pictures are deinterlaced.
    Raises VideoError when the file can not be read as video.
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
        self._longest_step = max(_LONGEST_STEP_S, 2.0 / self.rate if self.rate else 0.0)

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
        """Decoded pictures with their time in seconds from the first one; it never goes back, over the file's seams and over loops."""
        position = duration = 0.0
        while True:
            found = False
            before: float | None = None
            with self._open() as container:
                for picture in self._decode(container):
                    # Raw streams have no times, and between two rounds of a loop they do not tell: count instead.
                    step = duration if before is None or picture.time is None else picture.time - before
                    position += step if 0.0 <= step <= self._longest_step else duration
                    yield picture, position
                    found, before = True, picture.time
                    duration = self._duration(picture, duration)
            if not found:
                raise VideoError(f"{self.path}: not one picture in it can be decoded")
            if not self.loop:
                return

    def _duration(self, picture: Any, usual: float) -> float:
        """Seconds that a picture is shown; ``usual`` where it does not say so, or tells of the hole that comes after it (MP4)."""
        said = float(picture.duration * picture.time_base) if picture.duration and picture.time_base else 0.0
        return said if 0.0 < said <= self._longest_step else usual or 1.0 / (self.rate or _UNKNOWN_RATE)

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
            except av.FFmpegError:
                continue  # one damaged packet costs its own picture, not the rest of the file, whatever the decoder makes of it
            for picture in pictures:
                yield from deinterlacer.push(picture)
