"""Capture devices of Linux (USB cameras, grabbers): /dev/videoN by FFmpeg's v4l2 input.

FFmpeg takes what the driver gives instead of what was asked for, and does not say by which matrix its luma was made. So the driver
itself is asked for its format (V4L2 API: VIDIOC_G_FMT, struct v4l2_pix_format, "Colorspaces").
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace

from edgecolor.errors import ConfigError, SourceError, SourceLostError
from edgecolor.sources import SourceOptions
from edgecolor.sources.live import LiveSource

_LOG = logging.getLogger(__name__)
# Numbers of linux/videodev2.h, on 64-bit systems.
_STREAM_OFF = 0x40045613  # VIDIOC_STREAMOFF
_GET_FORMAT = 0xC0D05604  # VIDIOC_G_FMT
_VIDEO_CAPTURE = struct.pack("i", 1)  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_FORMAT = struct.Struct("=I4x12I152x")  # struct v4l2_format with a struct v4l2_pix_format in it
_EXTENDED = 0xFEEDCAFE  # V4L2_PIX_FMT_PRIV_MAGIC: the fields from flags on are meant
_COLORSPACE_709 = 3  # V4L2_COLORSPACE_REC709, whose own matrix is BT.709; those of the others that cameras have are BT.601
_ENCODINGS = {1: Colorspace.ITU601, 2: Colorspace.ITU709}  # V4L2_YCBCR_ENC_601, _709; 0: that of the colorspace
_FULL_RANGE = 1  # V4L2_QUANTIZATION_FULL_RANGE
_RATE_TOLERANCE = 0.05  # 30000/1001 is what 30 asked for


class V4l2Source(LiveSource):
    """A device that captures video. Without options it is read in the size, rate and pixel format that it is set to.

    Another size than the one asked for is a ConfigError, another rate is logged.
    """

    def __init__(self, device: str, options: SourceOptions) -> None:
        super().__init__(device, _Device(device, options), options.timeout, options.decoder)


@dataclass(frozen=True)
class _Format:
    """What a device captures. matrix, color_range: FFmpeg's, of luma in uncompressed YCbCr; a range that is not said is UNSPECIFIED."""

    size: str = ""
    matrix: Any = Colorspace.ITU601  # of sRGB, in which USB cameras are unless they say otherwise
    color_range: Any = ColorRange.UNSPECIFIED


def _format_of(path: str) -> _Format:
    """The format that the device is set to; without size where its driver does not tell."""
    asked = _FORMAT.pack(1, *[0] * 7, _EXTENDED, *[0] * 4)
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(device, _GET_FORMAT, asked)
        finally:
            os.close(device)
    except OSError:
        return _Format()
    _, width, height, _, _, _, _, colorspace, private, _, encoding, quantization, _ = _FORMAT.unpack(answer)
    if private != _EXTENDED:
        encoding = quantization = 0
    implied = Colorspace.ITU709 if colorspace == _COLORSPACE_709 else Colorspace.ITU601
    color_range = ColorRange.JPEG if quantization == _FULL_RANGE else ColorRange.UNSPECIFIED
    return _Format(f"{width}x{height}", _ENCODINGS.get(encoding, implied), color_range)


class _Device:
    def __init__(self, path: str, options: SourceOptions) -> None:
        self.path, self.options = path, options
        self._rate_told = False
        self._opened = False  # once: it is there, and this user may read it
        self._list = f"v4l2-ctl --list-formats-ext -d {path}"

    def open(self) -> Any:
        # Asked before FFmpeg is, because the kernel's own number says best what is wrong.
        os.close(os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        options = {"video_size": self.options.size, "input_format": self.options.pixel_format}
        if self.options.rate:
            options["framerate"] = f"{self.options.rate:g}"
        limit = self.options.timeout + 1.0
        options = {name: value for name, value in options.items() if value}
        container = av.open(self.path, format="v4l2", options=options, timeout=(limit, limit))
        try:
            self._settle(container.streams.video[0])
        except BaseException:
            container.close()
            raise
        self._opened = True
        return container

    def _settle(self, stream: Any) -> None:
        """Compare what was asked for with what the device gives, and tell the decoder of raw pictures what its luma means.

        Raises ConfigError for another size, SourceLostError where the size that was asked for was given before.
        """
        form = _format_of(self.path)
        if form.size and self.options.size not in ("", form.size):
            reason = f"{self.path}: size {self.options.size} was asked for, and it gives {form.size}; {self._list} tells what it can"
            raise SourceLostError(reason, "unsupported") if self._opened else ConfigError(reason)
        asked, given = self.options.rate, float(stream.average_rate or 0.0)
        if asked and given and abs(given / asked - 1) > _RATE_TOLERANCE and not self._rate_told:
            self._rate_told = True
            _LOG.warning("%s: rate %g was asked for, and it gives %.4g a second; %s tells what it can", self.path, asked, given, self._list)
        context = stream.codec_context
        if context is not None and context.codec.name == "rawvideo":
            # FFmpeg marks with these the pictures that say nothing themselves, and none of its raw pictures does.
            context.colorspace, context.color_range = form.matrix, form.color_range

    def opening_failed(self, error: Exception) -> Exception:
        number = getattr(error, "errno", None)
        if number in (errno.EACCES, errno.EPERM):
            if self._opened:  # plugged in anew, it is root's until udev has given it to its group
                return SourceLostError(f"{self.path}: this user may not read it now, though it could before", "unplugged")
            return SourceError(
                f"{self.path}: this user may not read it; add the user to the group video "
                "(sudo usermod -aG video USER, then log in again; under systemd SupplementaryGroups=video)"
            )
        if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            return SourceLostError(f"{self.path}: no such device is plugged in; present: {', '.join(_present()) or 'none'}", "unplugged")
        if number == errno.EBUSY:
            return SourceLostError(f"{self.path}: another program uses it; fuser {self.path} tells which", "unreachable")
        if number in (errno.ENOTTY, errno.EINVAL):
            rate = f"{self.options.rate:g}/s" if self.options.rate else ""
            asked = ", ".join(filter(None, (self.options.size, self.options.pixel_format, rate)))
            reason = f"it does not capture video in the form asked for ({asked})" if asked else "it does not capture video"
            return SourceLostError(f"{self.path}: {reason}; {self._list} tells what it can", "unsupported")
        return SourceLostError(f"{self.path}: can not be opened: {getattr(error, 'strerror', None) or error}", "unreachable")

    def reading_failed(self, error: av.FFmpegError) -> SourceLostError:
        if error.errno in (errno.ENODEV, errno.EIO, errno.ENXIO):
            return SourceLostError(f"{self.path}: it was unplugged, or stopped working: {error.strerror}", "unplugged")
        if isinstance(error, av.error.ExitError | av.error.TimeoutError):
            return SourceLostError(f"{self.path}: nothing came for {self.options.timeout:g} s", "silent")
        return SourceLostError(f"{self.path}: reading stopped: {error.strerror}", "ended")

    def interrupt(self) -> None:
        """FFmpeg waits in VIDIOC_DQBUF for ever, and keeps the device; that returns once the stream is switched off (V4L2 manual)."""
        with contextlib.suppress(OSError):  # no descriptor is left to look with
            device = Path(self.path).resolve()
            for link in Path("/proc/self/fd").iterdir():
                with contextlib.suppress(OSError):  # closed meanwhile, or not the one that streams
                    if link.readlink() == device:
                        fcntl.ioctl(int(link.name), _STREAM_OFF, _VIDEO_CAPTURE)


def _present() -> list[str]:
    return sorted(str(path) for path in Path("/dev").glob("video*"))
