"""The video source over real files of known content, most of them written losslessly by PyAV for the test."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgecolor.errors import ConfigError, VideoError
from edgecolor.frame import Frame
from edgecolor.sources import open_source
from edgecolor.sources import video as video_module
from edgecolor.sources.video import VideoSource
from tests.videos import numbered, plain_frame, write


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ClockEvent(threading.Event):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.clock.now += timeout
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(video_module, "monotonic", clock)
    return clock


def take(source: VideoSource, count: int, stop: Any) -> list[Frame]:
    return list(islice(source.frames(stop), count))


def test_demo_equals_an_independent_decode() -> None:
    source = open_source("demo")
    assert source.rate == pytest.approx(10) and source.name == "demo"
    frames = list(islice(source.frames(threading.Event()), 3))
    with av.open(str(source.path)) as container:  # type: ignore[attr-defined]
        wanted = [picture.to_ndarray()[:432] for picture in islice(container.decode(video=0), 3)]
    for frame, want in zip(frames, wanted, strict=True):
        assert np.array_equal(frame.y, want)
        assert frame.cb is None and frame.color_range == "limited" and frame.matrix == "bt601"


# Time


def test_frames_come_when_they_are_due_by_pts_not_by_a_constant_rate(tmp_path: Path, clock: Clock) -> None:
    path = write(tmp_path / "vfr.mkv", numbered(5), pts=[0, 40, 400, 430, 1200])
    due = [(frame.pts, clock.now - 1000.0) for frame in VideoSource(path).frames(ClockEvent(clock))]
    assert due == [pytest.approx((t, t)) for t in (0, 0.04, 0.4, 0.43, 1.2)]


def test_looping_has_no_seam_in_pts_sequence_or_time(tmp_path: Path, clock: Clock) -> None:
    source = VideoSource(write(tmp_path / "loop.mkv", numbered(5), rate=20), loop=True)
    times, frames = [], []
    for frame in islice(source.frames(ClockEvent(clock)), 40):
        frames.append(frame)
        times.append(clock.now)
    assert [frame.sequence for frame in frames] == list(range(40))
    assert np.allclose(np.diff([frame.pts for frame in frames]), 0.05, atol=1e-9)
    assert np.allclose(np.diff(times), 0.05, atol=1e-9)
    assert [int(frame.y[0, 0]) for frame in frames] == [20, 21, 22, 23, 24] * 8


def test_a_hole_in_the_times_and_a_seam_of_joined_files_are_no_pause(tmp_path: Path, clock: Clock) -> None:
    hole = write(tmp_path / "hole.mp4", numbered(6), codec="mpeg4", pts=[0, 40, 80, 3_600_080, 3_600_120, 3_600_160])
    early, late = (
        write(tmp_path / f"{begin}.ts", numbered(6), codec="mpeg4", pts=[begin + 40 * n for n in range(6)]) for begin in (2_000, 9_000)
    )
    joined = [hole]
    for first, second in ((early, late), (late, early)):
        joined.append(tmp_path / f"{first.stem}-{second.stem}.ts")
        joined[-1].write_bytes(first.read_bytes() + second.read_bytes())
    for path in joined:
        source = VideoSource(path, loop=True)
        due = [(frame.pts, clock.now) for frame in islice(source.frames(ClockEvent(clock)), 40)]
        assert np.allclose(np.diff(np.array(due, float), axis=0), 0.04, atol=1e-6), path.name


def test_pictures_that_are_far_apart_by_the_files_rate_are_no_hole(tmp_path: Path, clock: Clock) -> None:
    lapse = VideoSource(write(tmp_path / "lapse.mkv", numbered(4), rate=Fraction(1, 60)))
    assert [frame.pts for frame in lapse.frames(ClockEvent(clock))] == pytest.approx([0, 60, 120, 180])
    pause = VideoSource(write(tmp_path / "pause.mkv", numbered(3), pts=[0, 4_900, 4_940]))
    assert [frame.pts for frame in pause.frames(ClockEvent(clock))] == pytest.approx([0, 4.9, 4.94])


def test_a_slow_taker_is_caught_up_with_and_lateness_does_not_add_up(tmp_path: Path, clock: Clock) -> None:
    source = VideoSource(write(tmp_path / "loop.mkv", numbered(5), rate=20), loop=True)
    for number, frame in enumerate(islice(source.frames(ClockEvent(clock)), 100)):
        clock.now += 0.01 if number % 10 else 0.3
        assert frame.pts is not None
    assert clock.now - 1000.0 - frame.pts < 0.5


def test_after_a_long_sleep_it_goes_on_from_now_instead_of_hurrying(tmp_path: Path, clock: Clock) -> None:
    source = VideoSource(write(tmp_path / "loop.mkv", numbered(5), rate=20), loop=True)
    times = []
    for number, _ in enumerate(islice(source.frames(ClockEvent(clock)), 30)):
        times.append(clock.now)
        if number == 9:
            clock.now += 3600
    after = np.diff(times[11:])
    assert np.allclose(after, 0.05, atol=1e-9)


def test_real_time_is_kept(tmp_path: Path) -> None:
    source = VideoSource(write(tmp_path / "loop.mkv", numbered(5), rate=50), loop=True)
    frames = take(source, 40, threading.Event())
    late = [frame.captured - frames[0].captured - (frame.pts or 0) for frame in frames]
    assert min(late) > -0.1
    assert min(late[20:]) < 0.1, "lateness has added up"


def test_stop_ends_a_wait_at_once(tmp_path: Path) -> None:
    source = VideoSource(write(tmp_path / "slow.mkv", numbered(2), rate=Fraction(1, 60)))
    stop = threading.Event()
    frames = source.frames(stop)
    next(frames)
    timer = threading.Timer(0.1, stop.set)
    begin = time.monotonic()
    timer.start()
    assert next(frames, None) is None
    assert time.monotonic() - begin < 5
    timer.join()


def test_a_file_that_is_not_looped_ends(tmp_path: Path, clock: Clock) -> None:
    source = VideoSource(write(tmp_path / "once.mkv", numbered(4)))
    assert [frame.sequence for frame in source.frames(ClockEvent(clock))] == [0, 1, 2, 3]


# Wrong files


def damaged(path: Path, begin: float, end: float) -> Path:
    content = bytearray(path.read_bytes())
    a, b = int(len(content) * begin), int(len(content) * end)
    content[a:b] = np.random.default_rng(7).integers(0, 256, b - a, np.uint8).tobytes()
    path.write_bytes(content)
    return path


def test_a_time_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "2023-01-01T10:30:05.mkv", numbered(2))
    assert VideoSource("2023-01-01T10:30:05.mkv").rate == 25


def test_a_missing_file_and_one_that_is_no_video_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"none\.mp4"):
        VideoSource(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    with pytest.raises(VideoError, match=r"text\.mp4"):
        VideoSource(tmp_path / "text.mp4")


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(VideoError, match="no video stream"):
        VideoSource(path)


def test_damage_in_the_middle_costs_pictures_but_not_the_file(tmp_path: Path, clock: Clock) -> None:
    noise = np.random.default_rng(3)
    frames = [plain_frame("yuv420p", noise.integers(16, 236, (48, 64), np.uint8)) for _ in range(30)]
    path = damaged(write(tmp_path / "hurt.ts", frames, codec="mpeg4"), 0.4, 0.5)
    assert len(list(VideoSource(path).frames(ClockEvent(clock)))) > 15


def test_a_damaged_header_that_asks_for_what_the_decoder_has_not_costs_one_picture(tmp_path: Path, clock: Clock) -> None:
    path = write(tmp_path / "hurt.avi", [plain_frame("yuvj420p", np.full((48, 64), 99, np.uint8))] * 6, codec="mjpeg")
    content = bytearray(path.read_bytes())
    third = [found.start() for found in re.finditer(b"\xff\xc0", content)][2]  # the header of a JPEG picture (SOF0)
    content[third + 11] = 0x51  # luma of five times the width of the picture's smallest part
    path.write_bytes(content)
    with av.open(str(path)) as container, pytest.raises(av.error.PatchWelcomeError):
        list(container.decode(video=0))
    assert len(list(VideoSource(path).frames(ClockEvent(clock)))) == 5


def test_a_looped_file_without_one_picture_ends_with_an_error_instead_of_spinning(tmp_path: Path, clock: Clock) -> None:
    path = write(tmp_path / "empty.mkv", numbered(3))
    source = VideoSource(path, loop=True)

    def nothing(container: Any) -> Iterator[Any]:
        return iter(())

    source._decode = nothing  # type: ignore[method-assign]
    with pytest.raises(VideoError, match="not one picture"):
        take(source, 1, ClockEvent(clock))


def test_a_file_that_vanishes_between_loops_is_a_typed_error(tmp_path: Path, clock: Clock) -> None:
    path = write(tmp_path / "gone.mkv", numbered(3))
    frames = VideoSource(path, loop=True).frames(ClockEvent(clock))
    next(frames)
    path.unlink()
    with pytest.raises(VideoError, match=r"gone\.mkv"):
        list(islice(frames, 10))


def test_unknown_sources_are_refused_with_what_is_known() -> None:
    with pytest.raises(ConfigError, match="known: demo"):
        open_source("dmeo")
