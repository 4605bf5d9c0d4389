"""Frames to H.264, plane by plane: no RGB is made. The stream says its colour range and matrix (ITU-T H.264, annex E)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

from edgecolor.bt601 import to_bt601
from edgecolor.errors import PublishError
from edgecolor.frame import ColorRange, Frame, Plane
from edgecolor.label import burn

SOFTWARE = "libx264"
_CLOCK = 90_000  # RTP's clock for video, RFC 6184
_KEY_FRAME_S = 2.0  # a viewer who comes in between waits so long at most
_USUAL_RATE = 25  # what the rate control plans with; the times are the frames' own
_OPTIONS = {
    # One slice a picture, and no picture held back.
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"},
}
_RANGES = {"limited": 1, "full": 2}  # FFmpeg's AVColorRange
_BT601 = 6  # SMPTE 170M, in ITU-T H.273


@dataclass(frozen=True)
class Form:
    """What a stream can not change on its way: even size in pixels, and colour range."""

    width: int
    height: int
    color_range: ColorRange

    @staticmethod
    def of(frame: Frame) -> Form:
        """The form of the stream that a frame fits in: odd sizes become even, by one more row or column."""
        height, width = frame.y.shape
        return Form(width + width % 2, height + height % 2, frame.color_range)


def check_encoder(name: str) -> None:
    """Raise PublishError unless this FFmpeg has an encoder of that name ("": libx264) that makes H.264 and can be opened here."""
    name = name or SOFTWARE
    try:
        codec = av.Codec(name, "w")
    except (av.codec.codec.UnknownCodecError, ValueError):
        raise PublishError(f"encoder {name!r}: this FFmpeg ({av.ffmpeg_version_info}) has no such encoder") from None
    if codec.type != "video" or codec.canonical_name != "h264":
        raise PublishError(f"encoder {name!r} makes {codec.canonical_name}, not H.264")
    context = av.CodecContext.create(name, "w")
    try:
        _set(context, Form(640, 480, "limited"), name, 1000, 1)
        context.open()
    except (av.FFmpegError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise PublishError(f"encoder {name!r} can not be opened: {why}; is its device there? Without the option the CPU encodes") from None


def _set(context: Any, form: Form, name: str, bitrate: int, threads: int) -> None:
    context.width, context.height, context.pix_fmt = form.width, form.height, "yuv420p"
    context.framerate, context.time_base = Fraction(_USUAL_RATE), Fraction(1, _CLOCK)
    context.bit_rate = 1000 * bitrate
    context.gop_size = 20 * _USUAL_RATE  # key frames are asked for by time; this is for an encoder that does not listen
    context.color_range, context.colorspace = _RANGES[form.color_range], _BT601
    if name == SOFTWARE:
        context.thread_count = threads
        context.options = {**_OPTIONS[name], "maxrate": f"{bitrate}k", "bufsize": f"{bitrate}k"}


class Encoder:
    """A stream of an output container, and the encoder for it. name: see ``check_encoder``. bitrate: kbit/s.

    label: the corner in which the label is burnt in where colours are guessed, or "off".
    """

    def __init__(self, output: Any, form: Form, name: str, bitrate: int, threads: int, label: Any) -> None:
        name = name or SOFTWARE
        self._stream = output.add_stream(name, rate=_USUAL_RATE)
        _set(self._stream.codec_context, form, name, bitrate, threads)
        self._form, self._label = form, label
        self._begin: float | None = None
        self._last = self._key = -1

    def encode(self, frame: Frame, time: float) -> Iterator[Any]:
        """Yield the packets of a frame of this form, captured at ``time`` on the monotonic clock."""
        self._begin = time if self._begin is None else self._begin
        picture = as_picture(frame, self._form, self._label)
        # Times rise, whatever the sources' clocks do: a stream can not go back.
        picture.pts = self._last = max(self._last + 1, round((time - self._begin) * _CLOCK))
        picture.time_base = Fraction(1, _CLOCK)
        if self._key < 0 or picture.pts - self._key >= _KEY_FRAME_S * _CLOCK:
            picture.pict_type, self._key = PictureType.I, picture.pts
        yield from self._stream.encode(picture)


def as_picture(frame: Frame, form: Form, label: Any) -> Any:
    """The frame as an av.VideoFrame (yuv420p, 8 bits, BT.601) with the label on guessed colours; neutral chroma where it has none."""
    frame = to_bt601(frame)
    if frame.origin == "guess" and label != "off":
        frame = burn(frame, label)
    picture = av.VideoFrame(form.width, form.height, "yuv420p")
    for target, plane in zip(picture.planes, (frame.y, frame.cb, frame.cr), strict=True):
        rows = np.frombuffer(target, np.uint8).reshape(target.height, target.line_size)
        _lay(plane, rows[:, : target.width])
    picture.color_range, picture.colorspace = _RANGES[form.color_range], _BT601
    return picture


def _lay(plane: Plane | None, rows: Plane) -> None:
    """Copy a plane over rows (H, W) uint8, which may be one row or column larger: the last one is repeated there."""
    if plane is None:
        rows[:] = 128
        return
    if plane.dtype != np.uint8:
        plane = (plane >> 8).astype(np.uint8)
    height, width = plane.shape
    rows[:height, :width] = plane
    rows[:height, width:] = plane[:, -1:]
    rows[height:] = rows[height - 1]
