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
from tests.videos import numbered, plain_frame, write


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


def capture(monkeypatch: pytest.MonkeyPatch, film: Path) -> dict[str, Any]:
    """Let /dev/null capture a film; returns what it is asked for."""
    asked: dict[str, Any] = {}
    real = av.open

    def open_device(path: str, **named: Any) -> Any:
        asked.update(named, path=path)
        return real(str(film))

    monkeypatch.setattr(av, "open", open_device)
    return asked


def test_permission_that_is_gone_after_a_replug_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture(monkeypatch, write(tmp_path / "capture.mkv", numbered(3)))
    source = V4l2Source("/dev/null", SourceOptions())
    next(source.frames(threading.Event()))
    real = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if path == "/dev/null":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SourceLostError, match="could before") as caught:
        next(source.frames(threading.Event()))
    assert caught.value.kind == "unplugged"
    assert not isinstance(failure("/dev/null"), SourceLostError), "of a source that never had it, it is no loss"


def test_a_device_that_does_not_tell_its_matrix_has_that_of_video4linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tall = plain_frame("yuv422p", np.full((720, 64), 99, np.uint8)).reformat(format="yuyv422")
    capture(monkeypatch, write(tmp_path / "capture.nut", [tall], codec="rawvideo"))
    frame = next(V4l2Source("/dev/null", SourceOptions()).frames(threading.Event()))
    assert (frame.matrix, frame.color_range) == ("bt601", "limited")


def test_size_rate_and_form_are_asked_of_the_device_and_its_pictures_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    luma = np.tile(np.arange(16, 80, dtype=np.uint8), (48, 1))
    asked = capture(monkeypatch, write(tmp_path / "capture.mkv", [plain_frame("yuv420p", luma)] * 3))
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


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("driver") / "capture.so"
    subprocess.run([need("cc", "gcc"), "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/capture_device.c", "-ldl"], check=True)
    return library


def with_device(driver: Path, code: str, **settings: str) -> list[str]:
    """What the code prints, given a device; settings: of tests/capture_device.c, without their CAPTURE_."""
    device = driver.with_name("video9")
    device.touch()
    environment = {**os.environ, "LD_PRELOAD": str(driver), "CAPTURE_DEVICE": str(device)}
    environment |= {f"CAPTURE_{name}": value for name, value in settings.items()}
    done = subprocess.run([sys.executable, "-c", code, device], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("end", ["unplug", "stall"])
def test_frames_outlive_a_device_which_is_found_again(driver: Path, end: str) -> None:
    """The driver's memory is gone with the device, and FFmpeg's wait for a picture that never comes has no timeout."""
    lost = [line.split() for line in with_device(driver, _LOSE_TWICE, FRAMES="12", END=end)]
    assert [words[0] for words in lost] == [{"unplug": "unplugged", "stall": "silent"}[end]] * 2
    for _, *levels in lost:
        # FFmpeg looks at the first picture to learn what the stream is; of the others the newest counts.
        assert levels[-1] == "12" and len(levels) > 3 and levels == sorted(set(levels), key=int)


_COLORS = """
import os, sys, threading
from edgecolor.sources import SourceOptions
from edgecolor.sources.v4l2 import V4l2Source
for color in ("8 0 0", "8 2 0", "8 1 1", "3 0 2", "3 1 0", "3 -1 1"):
    os.environ["CAPTURE_COLOR"] = color
    frames = V4l2Source(sys.argv[1], SourceOptions()).frames(threading.Event())
    frame = next(frames)
    frames.close()
    print(color, *frame.y.shape, frame.matrix, frame.color_range)
"""


def test_the_driver_says_what_uncompressed_luma_means(driver: Path) -> None:
    assert with_device(driver, _COLORS) == [
        "8 0 0 640 64 bt601 limited",  # sRGB, and all else by default: a USB camera
        "8 2 0 640 64 bt709 limited",
        "8 1 1 640 64 bt601 full",
        "3 0 2 640 64 bt709 limited",  # Rec. 709
        "3 1 0 640 64 bt601 limited",
        "3 -1 1 640 64 bt709 limited",  # an old driver: what follows the colorspace means nothing
    ]


_ASK = """
import logging, sys, threading
from edgecolor.errors import EdgeColorError
from edgecolor.sources import SourceOptions
from edgecolor.sources.v4l2 import V4l2Source
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
for options in (SourceOptions(size="64x48", rate=100), SourceOptions(size="640x480"), SourceOptions(rate=30)):
    source = V4l2Source(sys.argv[1], options)
    for turn in range(2):
        frames = source.frames(threading.Event())
        try:
            print(next(frames).y.shape)
        except EdgeColorError as error:
            print(type(error).__name__, error)
        frames.close()
"""


def test_a_size_that_is_not_given_is_an_error_and_a_rate_a_warning_once(driver: Path) -> None:
    said = with_device(driver, _ASK)
    assert said[:2] == said[5:7] == ["(48, 64)"] * 2
    for line in said[2:4]:
        assert line.startswith("ConfigError") and "size 640x480 was asked for, and it gives 64x48; v4l2-ctl --list-formats-ext -d /" in line
    assert said[4].startswith("WARNING") and "rate 30 was asked for, and it gives 100 a second; v4l2-ctl" in said[4] and len(said) == 7


_READ = """
import sys, threading
from edgecolor.errors import SourceLostError
from edgecolor.sources import SourceOptions
from edgecolor.sources.v4l2 import V4l2Source
source = V4l2Source(sys.argv[1], SourceOptions())
try:
    for frame in source.frames(threading.Event()):
        print(int(frame.y[0, 0]))
except SourceLostError as error:
    print(error.kind)
"""


def test_buffers_that_the_driver_marks_as_damaged_cost_their_own_pictures(driver: Path) -> None:
    *levels, end = with_device(driver, _READ, FRAMES="12", END="unplug", EMPTY="5")
    assert (levels[-1], end) == ("12", "unplugged") and all(int(level) > 5 for level in levels)


@pytest.mark.hardware
def test_a_real_camera_gives_frames() -> None:
    frames = V4l2Source("/dev/video0", SourceOptions()).frames(threading.Event())
    assert next(frames).y.size
