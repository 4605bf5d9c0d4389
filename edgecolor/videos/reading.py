"""Pictures of a file in order, each with its time; packets of the other streams go by unopened."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av

from edgecolor.errors import VideoError
from edgecolor.sources.planes import Deinterlacer
from edgecolor.videos.forms import plain
from edgecolor.videos.timeline import Gaps, Timeline

_MOST_PIXELS = 1 << 26  # more than 8K; a damaged header can promise anything
_MOST_THREADS = 4
_UNKNOWN_RATE = Fraction(25)
_STRANGERS = 3  # pictures in a row of another size or format that may be damage
# They keep the order of decoding only. A frame's time is then that of the packet with which it came out, as FFmpeg has it.
_UNTIMED = ("avi", "asf")
_CLOCK = re.compile(r"(\d+):(\d+):(\d+\.?\d*)")  # Matroska's tags
_HEADED = ("matroska,webm", "asf", "flv")  # for others FFmpeg reckons a duration from what is there
Aside = Callable[[Any], None]


def open_input(path: Path) -> Any:
    """An input container with at least one video stream that can be decoded. Raises VideoError."""
    try:
        # Absolute: FFmpeg would take what stands before a colon for a protocol (2023-01-01T10:30.mp4).
        # Tags of old files are often no UTF-8: this way they come out as they went in.
        container = av.open(str(path.absolute()), metadata_errors="surrogateescape")
    except av.FFmpegError as error:
        raise VideoError(f"{path}: can not be opened as video: {error.strerror}") from error
    except (OSError, ValueError) as error:
        raise VideoError(f"{path}: can not be opened as video: {error}") from error
    try:
        main_stream(container, path)
    except BaseException:
        container.close()
        raise
    return container


def main_stream(container: Any, path: Path) -> Any:
    """The first video stream that is no cover picture. Raises VideoError."""
    for stream in container.streams.video:
        if stream.disposition & stream.disposition.attached_pic or stream.disposition & stream.disposition.timed_thumbnails:
            continue
        if ("alpha_mode", "1") in ((key.lower(), value) for key, value in stream.metadata.items()):
            # Of WebM: transparency lies beside the pictures, which look whole without it.
            raise VideoError(f"{path}: its picture is transparent in places, and coloured video would lose that")
        context = stream.codec_context
        if context is None:
            raise VideoError(f"{path}: this FFmpeg has no decoder for its video")
        if context.width * context.height > _MOST_PIXELS:
            raise VideoError(f"{path}: says that it has {context.width}x{context.height} pixels; that is too large, or damage")
        return stream
    raise VideoError(f"{path}: has no video stream")


class Reader:
    """Decodes the main video stream of a file, from its beginning, once.

    aside: is given each packet of the other streams. damaged: packets, so far, that could not be decoded, or came out as pictures of
    another size or format. stopped: why reading ended before the file did, or "". repaired: pictures whose time did not rise, or
    that had none. timeline: says whether times start anew on the way; those of pictures and packets then go on. untimed: times are of
    decoding, since the file has no others. gaps: between pictures, where the file has times.
    """

    def __init__(self, path: Path, *, deinterlace: bool = False) -> None:
        self.path = path
        self.container = open_input(path)
        self.stream = main_stream(self.container, path)
        context = self.stream.codec_context
        # Not by frames: after damage near the end, the pictures that other threads still hold would be lost.
        context.thread_type, context.thread_count = "SLICE", min(_MOST_THREADS, os.cpu_count() or 1)
        self.time_base: Fraction = self.stream.time_base or Fraction(1, 90_000)
        self.rate: Fraction = self.stream.average_rate or self.stream.guessed_rate or _UNKNOWN_RATE
        self.damaged = self.repaired = 0
        self.stopped = ""
        self.untimed = self.container.format.name in _UNTIMED
        self.timeline = Timeline(self.stream.index)
        self.gaps = Gaps()
        self._deinterlacer = Deinterlacer() if deinterlace else None
        self._shape: tuple[int, int, str] | None = None
        self._last: int | None = None
        self._reason = ""

    @cached_property
    def seconds(self) -> float:
        """Duration as the file promises it; 0 where it does not."""
        if self.stream.duration:
            return float(self.stream.duration * self.time_base)
        return float(self.container.duration or 0) / 1_000_000

    @property
    def promised(self) -> float:
        """Where this stream ends as the file says, in seconds; 0 where it says nothing, or may mean other streams."""
        if self.stream.duration:
            return float(((self.stream.start_time or 0) + self.stream.duration) * self.time_base)
        if found := _CLOCK.match(self.stream.metadata.get("DURATION", "")):
            hours, minutes, seconds = map(float, found.groups())
            return 3600 * hours + 60 * minutes + seconds
        return self.seconds if len(self.container.streams) == 1 and self.container.format.name in _HEADED else 0.0

    def close(self) -> None:
        """Release the file."""
        self.container.close()

    def begin_at(self, time: int) -> None:
        """Start with the last keyframe up to ``time``, in ticks of ``time_base``; before the first picture."""
        self.container.seek(time, stream=self.stream)

    def pictures(self, aside: Aside | None = None) -> Iterator[Any]:
        """Yield each picture in plain form, ``pts`` in ``time_base`` rising. Raises VideoError: none, or they change in form."""
        strangers = 0
        for picture in self._decoded(aside):
            shape = (picture.width, picture.height, picture.format.name)
            self._shape = self._shape or shape
            if shape != self._shape:
                strangers += 1
                self.damaged += 1
                if strangers <= _STRANGERS:
                    continue
                was, now = (f"{width}x{height} {name}" for width, height, name in (self._shape, shape))
                raise VideoError(f"{self.path}: its pictures change from {was} to {now} on the way, which one stream can not; split it")
            strangers = 0
            self._time(picture)
            try:
                yield plain(picture)
            except VideoError as error:
                raise VideoError(f"{self.path}: {error}") from error
        if self._shape is None:
            raise VideoError(f"{self.path}: not one picture in it can be decoded{self._reason}")

    def _time(self, picture: Any) -> None:
        pts, lasting = picture.pts, picture.duration or 0
        if picture.time_base != self.time_base:  # the deinterlacer has a finer clock
            ratio = picture.time_base / self.time_base
            pts = None if pts is None else round(pts * ratio)
            lasting = picture.duration = round(lasting * ratio)
        if pts is None:
            pts = 0 if self._last is None else self._last + (lasting or max(1, round(1 / (self.rate * self.time_base))))
        if self._last is not None and pts <= self._last:
            pts, self.repaired = self._last + 1, self.repaired + 1
        picture.pts, picture.time_base = pts, self.time_base
        self._last = pts
        if not self.untimed:
            self.gaps.see(pts, lasting)

    def _decoded(self, aside: Aside | None) -> Iterator[Any]:
        for packet in self.timeline.straighten(self._packets()):
            if packet.stream.index == self.stream.index:
                yield from self._pictures_of(packet)
            elif aside is not None:
                aside(packet)
        yield from self._pictures_of(None)
        if self._deinterlacer is not None:
            yield from self._deinterlacer.flush()

    def _packets(self) -> Iterator[Any]:
        """Of all streams, for times start anew in all of them; until the file ends or can not be read on."""
        packets = self.container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, ValueError) as error:
                self.stopped = getattr(error, "strerror", None) or str(error)
                self._reason = f": {self.stopped}"
                return
            if packet.size:  # Theora has empty ones, for a picture that is shown on
                yield packet

    def _pictures_of(self, packet: Any) -> Iterator[Any]:
        try:
            pictures = self.stream.codec_context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            self.damaged += 1
            self._reason = f": {getattr(error, 'strerror', None) or error}"
            return
        for picture in pictures:
            if picture.time_base is None:  # of those that come out at the end
                picture.time_base = self.time_base
            if self.untimed:
                picture.pts = picture.dts
            if self._deinterlacer is None:
                yield picture
            else:
                yield from self._deinterlacer.push(picture)
