"""Capture devices that are absent, busy, forbidden, or no capture devices. None is needed for these tests."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgecolor.errors import SourceError, SourceLostError
from edgecolor.sources import SourceOptions
from edgecolor.sources.v4l2 import V4l2Source
from tests.conftest import ROOT, need
from tests.videos import plain_frame, write


def failure(device: str, options: SourceOptions | None = None) -> SourceError:
    with pytest.raises(SourceError) as caught:
        next(V4l2Source(device, options or SourceOptions()).frames(threading.Event()))
    return caught.value


def test_an_absent_device_is_unplugged(tmp_path: Path) -> None:
    error = failure(str(tmp_path / "video9"))
    assert isinstance(error, SourceLostError) and error.kind == "unplugged" and "video9" in str(error)


def test_a_device_that_captures_nothing_is_unsupported() -> None:
    error = failure("/dev/null", SourceOptions(size="640x480", pixel_format="mjpeg"))
    assert isinstance(error, SourceLostError) and error.kind == "unsupported"
    assert "640x480, mjpeg" in str(error)


@pytest.mark.parametrize(
    ("number", "kind", "fix"),
    [
        (errno.EACCES, None, "group video"), (errno.EBUSY, "unreachable", "fuser"), (errno.ENXIO, "unplugged", "plugged in"),
        (errno.EIO, "unreachable", "can not be opened"),
    ],
)
def test_what_the_kernel_says_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, number: int, kind: str | None, fix: str) -> None:
    real = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if path == "/dev/video0":
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    error = failure("/dev/video0")
    # Permission is not worth trying again: this process will not get it.
    assert getattr(error, "kind", None) == kind and fix in str(error)


def test_size_rate_and_form_are_asked_of_the_device_and_its_pictures_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    luma = np.tile(np.arange(16, 80, dtype=np.uint8), (48, 1))
    film = write(tmp_path / "capture.mkv", [plain_frame("yuv420p", luma)] * 3)
    asked: dict[str, Any] = {}
    real = av.open

    def open_device(path: str, **named: Any) -> Any:
        asked.update(named, path=path)
        return real(str(film))

    monkeypatch.setattr(av, "open", open_device)
    options = SourceOptions(size="640x480", rate=15, pixel_format="yuyv422")
    frames = V4l2Source("/dev/null", options).frames(threading.Event())
    assert np.array_equal(next(frames).y, luma)
    assert asked["path"] == "/dev/null" and asked["format"] == "v4l2"
    assert asked["options"] == {"video_size": "640x480", "framerate": "15", "input_format": "yuyv422"}
    with pytest.raises(SourceLostError):
        list(frames)


_LOSE_TWICE = """
import sys, threading
from edgecolor.errors import SourceLostError
from edgecolor.sources import SourceOptions
from edgecolor.sources.v4l2 import V4l2Source
source = V4l2Source(sys.argv[1], SourceOptions(timeout=0.5))
for turn in range(2):
    frames = []
    try:
        for frame in source.frames(threading.Event()):
            frames.append(frame)
    except SourceLostError as error:
        print(error.kind, *(int(f.y.min()) if f.y.min() == f.y.max() else "?" for f in frames))
"""


@pytest.mark.parametrize("end", ["unplug", "stall"])
def test_frames_outlive_a_device_which_is_found_again(tmp_path: Path, end: str) -> None:
    """The driver's memory is gone with the device, and FFmpeg's wait for a picture that never comes has no timeout."""
    library, device = tmp_path / "capture.so", tmp_path / "video9"
    subprocess.run([need("cc", "gcc"), "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/capture_device.c", "-ldl"], check=True)
    device.touch()
    environment = {**os.environ, "LD_PRELOAD": str(library), "CAPTURE_DEVICE": str(device), "CAPTURE_FRAMES": "12", "CAPTURE_END": end}
    done = subprocess.run([sys.executable, "-c", _LOSE_TWICE, device], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lost = [line.split() for line in done.stdout.splitlines()]
    assert [words[0] for words in lost] == [{"unplug": "unplugged", "stall": "silent"}[end]] * 2
    for _, *levels in lost:
        # FFmpeg looks at the first picture to learn what the stream is; of the others the newest counts.
        assert levels[-1] == "12" and len(levels) > 3 and levels == sorted(set(levels), key=int)


@pytest.mark.hardware
def test_a_real_camera_gives_frames() -> None:
    frames = V4l2Source("/dev/video0", SourceOptions()).frames(threading.Event())
    assert next(frames).y.size
