"""What holds for every camera at the connector: here over the stand-in; tests/system/test_picamera.py runs the same over the
real picamera2 and libcamera, whose virtual cameras show the same pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Event
from time import monotonic

import numpy as np
import pytest

from edgecolor.errors import ConfigError, SourceLostError
from edgecolor.frame import Frame
from edgecolor.sources import PicameraOptions, Source, SourceOptions, open_source
from tests import fake_picamera2

REAL = "EDGECOLOR_REAL_PICAMERA2"


@pytest.fixture(autouse=True)
def cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Camera 0 shows a gray still in 640x480, camera 1 colour bars in 320x240."""
    if REAL not in os.environ:
        fake_picamera2.install(monkeypatch, fake_picamera2.usual())


@contextmanager
def opened(source: Source) -> Iterator[Iterator[Frame]]:
    stop = Event()
    frames = source.frames(stop)
    try:
        yield frames
    finally:
        stop.set()
        assert list(frames) == [], "a stop ends it"


def still() -> Source:
    return open_source("picamera", SourceOptions(timeout=20))


def bars() -> Source:
    return open_source("picamera:1", SourceOptions(timeout=20, size="320x240"))


def test_a_frame_is_the_picture_in_planes() -> None:
    with opened(still()) as frames:
        frame = next(frames)
    assert frame.y.shape == (480, 640) and frame.y.dtype == np.uint8 and frame.origin == "camera"
    assert (frame.color_range, frame.matrix) == ("full", "bt601")
    assert frame.cb is not None and frame.cr is not None
    assert max(np.abs(plane.astype(int) - 128).max() for plane in (frame.cb, frame.cr)) <= 2, "it is gray"
    # A stride that is not respected shears the picture, and nothing is left of this.
    assert np.corrcoef(frame.y.ravel(), fake_picamera2.still().ravel())[0, 1] > 0.995


def test_chroma_is_where_it_belongs() -> None:
    with opened(bars()) as frames:
        frame = next(frames)
    assert frame.y.shape == (240, 320) and frame.cb is not None and frame.cr is not None
    middles = [10 + 20 * number for number in range(8)]
    cb, cr = ([int(plane[60, x]) - 128 for x in middles] for plane in (frame.cb, frame.cr))
    white, yellow, cyan, green, magenta, red, blue, black = zip(cb, cr, strict=True)
    assert max(map(abs, (*white, *black))) <= 3
    assert yellow[0] < -60 and blue[0] > 60 and red[1] > 60 and cyan[1] < -60
    assert green[0] < -30 > green[1] and magenta[0] > 30 < magenta[1]


def test_its_clock_is_the_sensors() -> None:
    begin = monotonic()
    with opened(still()) as frames:
        first, *rest = islice(frames, 8)
    moments = [(frame.captured, frame.pts, frame.sequence) for frame in (first, *rest)]
    assert moments == sorted(moments) and first.pts is not None and first.pts >= 0
    assert all(begin < frame.captured < monotonic() for frame in (first, *rest))
    for frame in rest:
        assert frame.pts is not None and frame.pts - first.pts == pytest.approx(frame.captured - first.captured, abs=1e-3)


def test_it_starts_again_and_again_and_leaves_nothing_open() -> None:
    source, sequence, open_files = still(), -1, 0
    for turn in range(4):
        with opened(source) as frames:
            for frame in islice(frames, 2):
                assert frame.sequence > sequence
                sequence = frame.sequence
        if turn == 0:
            open_files = len(list(Path("/proc/self/fd").iterdir()))
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_files


def test_two_cameras_run_beside_each_other() -> None:
    with opened(still()) as first, opened(bars()) as second:
        for _ in range(3):
            assert next(first).y.shape == (480, 640)
            assert next(second).y.shape == (240, 320)


def test_a_camera_that_is_not_there_is_unplugged() -> None:
    with pytest.raises(SourceLostError, match=r"picamera:7: there is no such camera; found: 0: .+, 1: ") as caught:
        next(open_source("picamera:7").frames(Event()))
    assert caught.value.kind == "unplugged"


def test_a_camera_in_use_is_unreachable_until_it_is_left() -> None:
    with opened(still()) as frames:
        next(frames)
        tries = []
        for _ in range(12):
            with pytest.raises(SourceLostError, match="another program uses it") as caught:
                next(still().frames(Event()))
            assert caught.value.kind == "unreachable"
            tries.append(len(list(Path("/proc/self/fd").iterdir())))
        # Some come and go with the camera that runs; what stayed open would be eleven at least.
        assert tries[-1] - tries[0] < 8, "a try that fails leaves nothing open"
        next(frames)
    with opened(still()) as frames:
        next(frames)


def test_what_a_camera_can_not_be_told_is_an_error_and_it_is_left_closed() -> None:
    with pytest.raises(ConfigError, match=r"size 100x100 is none of this camera's; the nearest is \d+x\d+"):
        next(open_source("picamera", SourceOptions(size="100x100")).frames(Event()))
    if REAL in os.environ:  # the virtual pipeline has no such control; every real sensor has
        with pytest.raises(ConfigError, match=r"this camera has no control AnalogueGain; it has .*FrameDurationLimits"):
            next(open_source("picamera", None, PicameraOptions(gain=4)).frames(Event()))
    with opened(still()) as frames:
        next(frames)
