"""The camera at the connector when something is wrong with it, and what it is told; over the stand-in."""

from __future__ import annotations

import builtins
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecolor.colorizer import Colorizer
from edgecolor.errors import ConfigError, SourceError, SourceLostError
from edgecolor.frame import Frame
from edgecolor.live import LiveOptions
from edgecolor.pipeline import Pipeline
from edgecolor.sources import PicameraOptions, SourceOptions, open_source
from tests.fake_picamera2 import Camera, bar_planes, gray_planes, install
from tests.samples import strong_colorizer


def first(camera: Camera, monkeypatch: pytest.MonkeyPatch, options: SourceOptions | None = None, **told: Any) -> Frame:
    install(monkeypatch, [camera])
    frames = open_source("picamera", options, PicameraOptions(**told)).frames(threading.Event())
    try:
        return next(frames)
    finally:
        frames.close()
        assert not camera.taken, "it was left open"


@pytest.mark.parametrize("form", ["YUV420", "NV12"])
@pytest.mark.parametrize("padding", [0, 64])
def test_planes_are_exact_whatever_the_stride(form: str, padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = bar_planes()
    frame = first(Camera("bars", planes, form=form, padding=padding), monkeypatch)
    for found, wanted in zip((frame.y, frame.cb, frame.cr), planes, strict=True):
        assert np.array_equal(found, wanted)


def test_luma_is_a_view_of_the_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = first(Camera("still", gray_planes(), padding=64), monkeypatch)
    assert frame.y.base is not None and frame.y.strides == (704, 1)


def test_range_and_matrix_are_those_that_the_camera_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    space = SimpleNamespace(range="Range.Limited", ycbcrEncoding="YcbcrEncoding.Rec709")
    frame = first(Camera("video", gray_planes(), space=space), monkeypatch)
    assert (frame.color_range, frame.matrix) == ("limited", "bt709")
    assert first(Camera("silent about it", gray_planes(), space=None), monkeypatch).color_range == "full"


@pytest.mark.parametrize(
    ("rate", "told", "controls"),
    [
        (0, {}, {}),
        (25, {}, {"FrameDurationLimits": (40_000, 40_000)}),
        (25, {"lowest_rate": 5}, {"FrameDurationLimits": (40_000, 200_000)}),
        (0, {"lowest_rate": 2}, {"FrameDurationLimits": (33_333, 500_000)}),
        (0, {"exposure": 0.001}, {"FrameDurationLimits": (33_333, 33_333), "ExposureTime": 1000}),
        (0, {"exposure": 0.2, "gain": 8}, {"FrameDurationLimits": (200_000, 200_000), "ExposureTime": 200_000, "AnalogueGain": 8}),
        (0, {"noise_reduction": "high-quality"}, {"NoiseReductionMode": 2}),
        (0, {"noise_reduction": "off"}, {"NoiseReductionMode": 0}),
    ],
)
def test_a_camera_in_the_dark_is_told(rate: float, told: dict[str, Any], controls: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera("noir", gray_planes())
    first(camera, monkeypatch, SourceOptions(rate=rate), **told)
    assert camera.asked == [controls]


@pytest.mark.parametrize(
    ("rate", "told", "said"),
    [
        (0, {"exposure": -1}, "exposure -1 is not between"), (0, {"gain": 1e6}, "gain 1e"), (0, {"lowest_rate": -1}, "lowest_rate"),
        (0, {"noise_reduction": "best"}, "'best' is none of off, fast, high-quality, minimal"),
        (10, {"lowest_rate": 20}, "lowest_rate 20 is above rate 10"), (10, {"exposure": 0.5}, "longer than a frame at rate 10"),
    ],
)  # fmt: skip
def test_settings_that_contradict_are_errors(rate: float, told: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=said):
        first(Camera("noir", gray_planes()), monkeypatch, SourceOptions(rate=rate), **told)


def test_a_control_that_a_camera_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no control AnalogueGain; it has ExposureTime"):
        first(Camera("plain", gray_planes(), controls=("ExposureTime",)), monkeypatch, gain=2)


def test_a_camera_that_falls_silent_is_lost_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera("loose", gray_planes(), frames=3)
    install(monkeypatch, [camera])
    source = open_source("picamera", SourceOptions(timeout=0.5))
    begin = time.monotonic()
    with pytest.raises(SourceLostError, match=r"no frame for 0\.5 s") as caught:
        list(source.frames(threading.Event()))
    assert caught.value.kind == "silent" and 0.5 <= time.monotonic() - begin < 5 and not camera.taken
    camera.frames = float("inf")
    frames = source.frames(threading.Event())
    assert next(frames).sequence >= 3
    frames.close()


@pytest.mark.parametrize(
    ("camera", "kind", "said"),
    [
        (Camera("x", gray_planes(), short=1000), "garbage", "a frame can not be read"),
        (Camera("x", gray_planes(), form="MJPEG"), "unsupported", "gives MJPEG"),
        (Camera("x", gray_planes(), fails="heap"), "unreachable", "Failed to open dma_heap device"),
        (Camera("x", gray_planes(), fails="configure"), "unreachable", "Configuration failed"),
        (Camera("x", gray_planes(), fails="start"), "unreachable", "Input/output error"),
    ],
)
def test_what_goes_wrong_is_a_loss_of_its_kind(camera: Camera, kind: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceLostError, match=said) as caught:
        first(camera, monkeypatch)
    assert caught.value.kind == kind


def test_a_camera_that_can_not_be_closed_is_left_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert first(Camera("stuck", gray_planes(), fails="close"), monkeypatch).y.size
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("offset_s", [None, 0.0, 7200.0])
def test_times_of_either_clock_are_understood(offset_s: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor's time may count the hours that the board slept, or be absent."""
    monkeypatch.setattr("edgecolor.sources.picamera.clock_gettime", lambda _: time.monotonic() + (offset_s or 0.0))
    age = 0.0 if offset_s is None else 0.02
    camera = Camera("still", gray_planes(), stamp=lambda: None if offset_s is None else round((time.monotonic() + offset_s - age) * 1e9))
    install(monkeypatch, [camera])
    frames = open_source("picamera").frames(threading.Event())
    found = list(islice(frames, 3))
    assert all(age <= time.monotonic() - frame.captured < 5 for frame in found)
    assert [frame.pts for frame in found] == sorted(frame.pts or 0.0 for frame in found) and (found[0].pts or 0.0) >= 0
    frames.close()


def test_without_picamera2_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(ConfigError, match=r"apt install python3-picamera2.*--system-site-packages"):
        open_source("picamera")


def test_a_picamera2_that_can_not_be_loaded_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its libraries were built for another numpy: trying again for ever would hide that."""
    install(monkeypatch, [])
    source = open_source("picamera")
    real = builtins.__import__

    def broken(name: str, *rest: Any) -> Any:
        if name == "picamera2":
            raise ValueError("numpy.dtype size changed, may indicate binary incompatibility")
        return real(name, *rest)

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(SourceError, match=r"numpy.dtype size changed.*edgecolor doctor") as caught:
        next(source.frames(threading.Event()))
    assert not isinstance(caught.value, SourceLostError)


def test_the_live_loop_finds_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera("loose", gray_planes(), frames=5)
    install(monkeypatch, [camera])
    sink = Sink()
    colorizer: Colorizer = strong_colorizer()
    source = open_source("picamera", SourceOptions(timeout=0.5))
    pipeline = Pipeline(source, colorizer, [sink], options=LiveOptions(retry_first=1.0, retry_most=1.0))
    pipeline.start()
    end = time.monotonic() + 60
    while "placeholder" not in sink.origins and time.monotonic() < end:
        time.sleep(0.02)
    assert pipeline.state()["source"]["losses"]["silent"] >= 1
    camera.frames = float("inf")
    while (pipeline.state()["source"]["reconnects"] < 1 or pipeline.state()["state"] != "live") and time.monotonic() < end:
        time.sleep(0.02)
    pipeline.stop()
    assert {"guess", "placeholder"} <= sink.origins and not camera.taken


class Sink:
    def __init__(self) -> None:
        self.origins: set[str] = set()

    def put(self, frame: Frame) -> None:
        self.origins.add(frame.origin)

    def wants_color(self) -> bool:
        return True
