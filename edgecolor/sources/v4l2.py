"""Capture devices of Linux (USB cameras, grabbers): /dev/videoN by FFmpeg's v4l2 input."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Any

import av

from edgecolor.errors import SourceError, SourceLostError
from edgecolor.sources import SourceOptions
from edgecolor.sources.live import LiveSource

_STREAM_OFF = 0x40045613  # VIDIOC_STREAMOFF, of linux/videodev2.h
_VIDEO_CAPTURE = struct.pack("i", 1)  # V4L2_BUF_TYPE_VIDEO_CAPTURE


class V4l2Source(LiveSource):
    """A device that captures video. Without options it is read in the size, rate and pixel format that it is set to."""

    def __init__(self, device: str, options: SourceOptions) -> None:
        super().__init__(device, _Device(device, options), options.timeout, options.decoder)


class _Device:
    def __init__(self, path: str, options: SourceOptions) -> None:
        self.path, self.options = path, options

    def open(self) -> Any:
        # Asked before FFmpeg is, because the kernel's own number says best what is wrong.
        os.close(os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        options = {"video_size": self.options.size, "input_format": self.options.pixel_format}
        if self.options.rate:
            options["framerate"] = f"{self.options.rate:g}"
        limit = self.options.timeout + 1.0
        return av.open(self.path, format="v4l2", options={name: value for name, value in options.items() if value}, timeout=(limit, limit))

    def opening_failed(self, error: Exception) -> Exception:
        number = getattr(error, "errno", None)
        if number in (errno.EACCES, errno.EPERM):
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
            return SourceLostError(f"{self.path}: {reason}; v4l2-ctl --list-formats-ext -d {self.path} tells what it can", "unsupported")
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
