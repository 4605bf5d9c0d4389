"""The video source over real files of known content, most of them written losslessly by PyAV for the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from edgecolor.errors import ConfigError, VideoError
from edgecolor.frame import Frame
from edgecolor.sources import open_source
from edgecolor.sources import video as video_module
from edgecolor.sources.video import VideoSource

RAMP = np.tile(np.arange(256, dtype=np.uint8), (16, 1))


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


def plain_frame(pixel_format: str, luma: np.ndarray, deep: int = 0) -> av.VideoFrame:
    """A frame whose first plane is ``luma`` and whose chroma is neutral."""
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], pixel_format)
    for number, plane in enumerate(frame.planes):
        kind = np.uint16 if deep else np.uint8
        rows = np.full((plane.height, plane.line_size // np.dtype(kind).itemsize), 128 << deep, kind)
        if number == 0:
            rows[:, : luma.shape[1]] = luma.astype(kind) << deep
        plane.update(rows.tobytes()[: plane.buffer_size])
    return frame


def write(
    path: Path, frames: Sequence[av.VideoFrame], *, codec: str = "ffv1", rate: int = 25, pts: Sequence[int] | None = None,
    color_range: int = 0, colorspace: int = 2, rotation: int = 0,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.color_range, stream.codec_context.colorspace = color_range, colorspace
        if rotation:
            stream.set_display_rotation(rotation)
        for number, frame in enumerate(frames):
            frame.pts = pts[number] if pts else number * 1000 // rate
            frame.time_base = Fraction(1, 1000)
            frame.color_range, frame.colorspace = color_range, colorspace
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbered(count: int, size: tuple[int, int] = (16, 32)) -> list[av.VideoFrame]:
    return [plain_frame("yuv420p", np.full(size, 20 + number, np.uint8)) for number in range(count)]


def take(source: VideoSource, count: int, stop: Any) -> list[Frame]:
    return list(islice(source.frames(stop), count))


def first(path: Path) -> Frame:
    return next(iter(VideoSource(path).frames(threading.Event())))


# Planes


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv410p", "yuv411p", "yuv440p", "gray"])
def test_luma_is_the_decoders_plane_bit_for_bit(tmp_path: Path, pixel_format: str) -> None:
    frame = first(write(tmp_path / "ramp.mkv", [plain_frame(pixel_format, RAMP)]))
    assert np.array_equal(frame.y, RAMP)
    assert frame.cb is None and frame.cr is None and frame.y.dtype == np.uint8


def test_nv12_is_read_without_conversion(tmp_path: Path) -> None:
    frame = first(write(tmp_path / "ramp.nut", [plain_frame("nv12", RAMP)], codec="rawvideo"))
    assert np.array_equal(frame.y, RAMP)


def test_ten_bits_become_eight_in_the_same_range(tmp_path: Path) -> None:
    luma = np.clip(RAMP, 16, 235)
    frame = first(write(tmp_path / "deep.mkv", [plain_frame("yuv420p10le", luma, deep=2)], color_range=1))
    assert frame.color_range == "limited"
    assert np.abs(frame.y.astype(int) - luma).max() <= 1


def test_rgb_becomes_full_range_gray(tmp_path: Path) -> None:
    picture = av.VideoFrame.from_ndarray(np.repeat(RAMP[..., None], 3, axis=2), "rgb24").reformat(format="bgr0")
    frame = first(write(tmp_path / "rgb.mkv", [picture]))
    assert frame.color_range == "full"
    assert np.abs(frame.y.astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize("size", [(16, 17), (91, 161), (3, 5)])
def test_odd_sizes_and_line_strides(tmp_path: Path, size: tuple[int, int]) -> None:
    luma = np.random.default_rng(1).integers(16, 236, size, np.uint8)
    assert np.array_equal(first(write(tmp_path / "odd.nut", [plain_frame("yuv420p", luma)], codec="rawvideo")).y, luma)


@pytest.mark.parametrize(("number", "want"), [(0, "limited"), (1, "limited"), (2, "full")])
def test_range_is_read_from_the_stream(tmp_path: Path, number: int, want: str) -> None:
    assert first(write(tmp_path / "range.mkv", numbered(1), color_range=number)).color_range == want


def test_unmarked_gray_is_full_range(tmp_path: Path) -> None:
    assert first(write(tmp_path / "gray.mkv", [plain_frame("gray", RAMP)])).color_range == "full"


@pytest.mark.parametrize(
    ("number", "size", "want"),
    [(1, (16, 32), "bt709"), (6, (720, 32), "bt601"), (2, (16, 32), "bt601"), (2, (720, 32), "bt709")],
)
def test_matrix_is_read_from_the_stream_or_told_by_the_height(tmp_path: Path, number: int, size: tuple[int, int], want: str) -> None:
    assert first(write(tmp_path / "matrix.mkv", numbered(1, size), colorspace=number)).matrix == want


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_applied_as_another_player_does(tmp_path: Path, rotation: int) -> None:
    luma = np.full((48, 64), 60, np.uint8)
    luma[:24, :32] = 200  # one bright corner tells every turn apart
    path = write(tmp_path / "turned.mp4", [plain_frame("yuv420p", luma)] * 3, codec="mpeg4", rotation=rotation)
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    good, other = capture.read()
    capture.release()
    assert good
    found = first(path).y
    assert found.shape == other.shape[:2]
    bright = cv2.cvtColor(other, cv2.COLOR_BGR2GRAY) > 128
    assert np.mean((found > 130) == bright) > 0.98
    assert 0.2 < bright.mean() < 0.3


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
    assert min(late) > -0.005
    assert min(late[20:]) < 0.1, "lateness has added up"


def test_stop_ends_a_wait_at_once(tmp_path: Path) -> None:
    source = VideoSource(write(tmp_path / "slow.mkv", numbered(2), pts=[0, 60_000]))
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
