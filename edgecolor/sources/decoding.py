"""Packets of a live source to frames: the decoder, the clock, and the judgement whether what comes is a picture at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Any

import av

from edgecolor.errors import ConfigError, SourceLostError, VideoError
from edgecolor.frame import Frame
from edgecolor.sources.planes import Deinterlacer, frame_of

_GARBAGE_S = 4.0  # packets that can not be decoded for so long, and at least so many, without one good picture: garbage
_GARBAGE_PACKETS = 10
_NO_KEY_FRAME_S = 30.0  # packets that say nothing wrong, but never make a picture
_BARREN_S = 10.0  # packets that made pictures before: a new connection begins with a key frame, which may be far off on this one
_TICK_S = 0.001
# What decoders make of damage. A damaged header may also ask for what no decoder has, or for what makes no sense (EINVAL).
_DAMAGE = (av.error.InvalidDataError, av.error.PatchWelcomeError)


class Decoding:
    """Packets of ``stream`` to frames. failure: the typed error, once what comes can not be used.

    source: its name, for messages. decoder: by name, or "" for FFmpeg's own choice. numbers: gives the frames' sequence.
    timed: whether the packets' times are the camera's, rather than made up by FFmpeg from an assumed rate. proven: the decoder has
    made pictures before, so that its failure is the camera's or its device's, which may pass, and not that of the settings.
    """

    def __init__(self, source: str, stream: Any, decoder: str, numbers: Iterator[int], *, timed: bool, proven: bool = False) -> None:
        self.source, self.stream, self.decoder = source, stream, decoder
        self._numbers = numbers
        self.failure: Exception | None = None
        self.good = self.damaged = 0
        self._wrong = ""  # what the decoder said of the newest damaged packet
        self.since = monotonic()
        self._good_at, self._barren = self.since, 0  # when the newest good picture came, and packets since then
        self._proven = proven
        self._deinterlacer = Deinterlacer()
        self._clock = StreamClock(self.since)
        self._timed = timed
        self._context = stream.codec_context
        if decoder:
            try:
                self._context = explicit_decoder(decoder, stream, source)
            except ConfigError as error:
                self._fail_decoder(str(error))
        elif self._context is None:
            self.failure = SourceLostError(f"{source}: no decoder here for what it sends", "unsupported")
        else:
            self._context.thread_type = "SLICE"  # threads by frame would hold back one frame each

    def frames(self, packet: Any) -> Iterator[Frame]:
        """The frames of one packet; a damaged packet gives none."""
        if self.failure is not None:
            return
        pictures = []
        failed = ""
        if packet.size == 0 and packet.dts is not None:
            # A buffer that the driver of a capture device marked as damaged, or left empty. To a decoder it would mean the end.
            self.damaged += 1
        else:
            try:
                pictures = self._context.decode(packet)
            except av.FFmpegError as error:
                if self._is_damage(error):
                    self.damaged, self._wrong = self.damaged + 1, error.strerror
                else:
                    failed = error.strerror
        captured = monotonic()
        self._barren += 1
        if failed and self.decoder:
            self._fail_decoder(f"decoder {self.decoder}: {failed}; is its device there? Without the option the CPU decodes")
        elif failed:
            self.failure = SourceLostError(f"{self.source}: its {self._context.name} can not be decoded: {failed}", "unsupported")
        for picture in pictures:
            if picture.is_corrupt:
                self.damaged += 1
                continue
            for whole in self._deinterlacer.push(picture):
                self.good += 1
                self._good_at, self._barren = captured, 0
                try:
                    pts = self._clock.at(whole.time if self._timed else None, captured)
                    frame = frame_of(whole, pts=pts, captured=captured, sequence=next(self._numbers))
                    # An uncompressed picture lies in the packet, and that in the driver's own memory, which goes with the device.
                    yield _owned(frame) if self._context.codec.name == "rawvideo" else frame
                except VideoError as error:
                    self.failure = SourceLostError(f"{self.source}: {error}", "unsupported")
                    return
        if self.good == 0 and self.failure is None:
            self.failure = self.garbage(_GARBAGE_S, _GARBAGE_PACKETS) or self.garbage(_NO_KEY_FRAME_S, 0)
        elif self.failure is None and self._barren >= _GARBAGE_PACKETS and captured - self._good_at >= _BARREN_S:
            self.failure = SourceLostError(f"{self.source}: for {captured - self._good_at:.0f} s nothing it sent was a picture", "garbage")

    def _is_damage(self, error: av.FFmpegError) -> bool:
        """Whether an error costs one picture. Of a decoder asked for by name EINVAL may also mean that its device can not do it at all."""
        return isinstance(error, _DAMAGE) or (isinstance(error, av.error.ArgumentError) and (not self.decoder or self.good > 0))

    def _fail_decoder(self, reason: str) -> None:
        self.failure = SourceLostError(f"{self.source}: {reason}", "unsupported") if self._proven or self.good else ConfigError(reason)

    def garbage(self, seconds: float = 0.0, packets: int = 1) -> SourceLostError | None:
        """The error for a stream without one good picture after so many seconds and damaged packets; None while it may come."""
        if self.good or self.damaged < packets or monotonic() - self.since < seconds:
            return None
        wrong = f" ({self._wrong})" if self._wrong else ""
        return SourceLostError(f"{self.source}: what it sends can not be decoded: not one picture of it{wrong}", "garbage")


def _owned(frame: Frame) -> Frame:
    """The frame with planes of its own."""
    cb, cr = (None if plane is None else plane.copy() for plane in (frame.cb, frame.cr))
    return replace(frame, y=frame.y.copy(), cb=cb, cr=cr)


class StreamClock:
    """Times of pictures in seconds that only ever rise, whatever the camera's clock does.

    Without a time of its own a picture has the seconds from ``begin`` to its arrival. Where the camera's clock goes back, all
    later times are shifted by as much.
    """

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self._last: float | None = None
        self._shift = 0.0

    def at(self, time: float | None, captured: float) -> float:
        """The time of the next picture: ``time`` in the stream, or by ``captured`` on the monotonic clock."""
        now = (captured - self._begin if time is None else time) + self._shift
        if self._last is not None and now <= self._last:
            self._shift += self._last + _TICK_S - now
            now = self._last + _TICK_S
        self._last = now
        return now


def known_decoder(name: str) -> str:
    """The name again. Raises ConfigError unless this FFmpeg has a video decoder of that name."""
    try:
        codec = av.Codec(name, "r")
    except (av.codec.codec.UnknownCodecError, ValueError):
        raise ConfigError(f"decoder {name!r}: this FFmpeg ({av.ffmpeg_version_info}) has no such decoder") from None
    if codec.type != "video":
        raise ConfigError(f"decoder {name!r} decodes {codec.type}, not video")
    return name


def explicit_decoder(name: str, stream: Any, source: str) -> Any:
    """An open decoder of that name for a stream. Raises ConfigError: another codec, or its device is absent. Never another one."""
    coded = stream.codec_context
    context = av.CodecContext.create(name, "r")
    if coded is not None and context.codec.id != coded.codec.id:
        raise ConfigError(f"decoder {name} does not decode what {source} sends ({coded.codec.name})")
    if coded is not None:
        context.extradata = coded.extradata
        context.width, context.height = coded.width, coded.height
    try:
        context.open()
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(f"decoder {name} can not be opened ({reason}); is its device there, and this user in group video?") from None
    return context
