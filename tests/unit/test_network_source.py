"""Which source a name means, options that contradict each other, and what failures of a camera are called."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError, CredentialsError, SourceLostError, VideoError
from edgecolor.sources import SourceOptions, open_source
from edgecolor.sources import decoding as decoding_module
from edgecolor.sources.decoding import Decoding, StreamClock, known_decoder
from edgecolor.sources.network import NetworkSource
from edgecolor.sources.v4l2 import V4l2Source
from edgecolor.sources.video import VideoSource
from tests.videos import numbered, plain_frame, write

# Names


@pytest.mark.parametrize("url", ["rtsp://cam/live", "rtsps://cam/live", "http://cam/a.mjpg", "https://cam:8443/a.mjpg", "rtsp://[fe80::1]:554/live"])
def test_network_addresses(url: str) -> None:
    source = open_source(url)
    assert isinstance(source, NetworkSource) and source.live and source.name == url


@pytest.mark.parametrize("name", ["/dev/video0", "/dev/video12", "/dev/v4l/by-id/usb-Camera-index0"])
def test_capture_devices(name: str) -> None:
    assert isinstance(open_source(name), V4l2Source)


def test_files_play_once_or_for_ever(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mkv", numbered(3), rate=50)
    source = open_source(str(path))
    assert isinstance(source, VideoSource) and not source.live and source.name == "film.mkv"
    assert len(list(source.frames(threading.Event()))) == 3
    frames = open_source(str(path), SourceOptions(loop=True)).frames(threading.Event())
    assert [next(frames).sequence for _ in range(7)] == list(range(7))
    with pytest.raises(VideoError, match="none"):
        open_source(str(tmp_path / "none.mp4"))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("dmeo", "demo"), ("rstp://cam/live", "rtsp://"), ("htp://cam/", "http://"), ("RTSP://cam/", "rtsp://"), ("picamera3", "picamera")],
)
def test_unknown_names_are_refused_with_the_nearest_known_one(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"known: demo.*mean {nearest}"):
        open_source(name)


def test_a_mistyped_address_is_shown_without_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        open_source("rstp://admin:geheim@cam/live")
    assert "geheim" not in str(caught.value)


def test_picamera_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="picamera2 is not installed"):
        open_source("picamera")


# Options


@pytest.mark.parametrize(
    "wrong",
    [
        {"transport": "sctp"}, {"timeout": 0.1}, {"timeout": 1e6}, {"timeout": float("nan")}, {"size": "big"}, {"size": "0x480"},
        {"rate": -1}, {"username": "a", "credentials": "file"}, {"password": Secret("a"), "credentials": "file"},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SourceOptions(**wrong)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("rtsp://a:geheim@cam/", {"username": "a", "password": Secret("geheim")}),
        ("rtsp://a:geheim@cam/", {"credentials": "/none"}),
        ("rtsp://a@cam/", {"username": "b", "password": Secret("geheim")}),
        ("rtsp://cam/", {"password": Secret("geheim")}),
        ("rtsp:///live", {}),
        ("rtsp://cam:port/live", {}),
        ("rtsp://cam:99999/live", {}),
        ("rtsp://a:geheim@[fe80::1/live", {}),
        ("rtsp://a:geheim@ca\u2100m/live", {}),
        ("rtsp://a:geheim@cam..local/live", {}),
    ],
)
def test_addresses_and_options_that_can_not_be_meant_are_refused(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url, SourceOptions(**options))
    assert "geheim" not in str(caught.value)


def test_a_credentials_file_that_can_not_be_used_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="none"):
        open_source("rtsp://cam/", SourceOptions(credentials=str(tmp_path / "none")))


def test_a_certificate_that_can_not_be_used_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    wrong = {"none.pem": "can not be read: No such file", "text.pem": "holds no certificate", ".": "certificate", "\0": "can not be read"}
    for name, says in wrong.items():
        for scheme in ("rtsps", "https"):
            with pytest.raises(ConfigError, match=r"source .*: certificate ") as caught:
                open_source(f"{scheme}://admin:geheim@cam/", SourceOptions(certificate=str(tmp_path / name)))
            assert says in str(caught.value) and str(tmp_path) in str(caught.value) and "geheim" not in str(caught.value)
    open_source("rtsp://cam/", SourceOptions(certificate=str(tmp_path / "none.pem")))  # nothing asks for it there


def test_decoders_are_looked_up_before_a_camera_is() -> None:
    assert known_decoder("h264_v4l2m2m") == "h264_v4l2m2m"
    for name in ("h264_magic", "aac", "libx264"):
        with pytest.raises(ConfigError, match=name):
            open_source("rtsp://cam/", SourceOptions(decoder=name))


# Times


def test_times_only_rise_and_keep_their_distances() -> None:
    clock = StreamClock(100.0)
    assert clock.at(None, 100.2) == pytest.approx(0.2)
    first = clock.at(0.0, 100.24)  # the camera's own time has become known
    assert first > 0.2
    assert clock.at(0.04, 100.28) == pytest.approx(first + 0.04)
    assert clock.at(5.0, 100.32) == pytest.approx(first + 5.0)
    back = clock.at(1.0, 100.36)  # the camera set its clock back
    assert first + 5.0 < back < first + 5.01
    assert clock.at(1.04, 100.40) == pytest.approx(back + 0.04)


# Judging what comes


PACKET = SimpleNamespace(size=1, dts=0)


class Packets:
    """A decoder that refuses what it is given, and the stream around it."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.codec_context = self
        self.name = "h264"
        self.thread_type = ""

    def decode(self, packet: object) -> list[object]:
        if self.error is not None:
            raise self.error
        return []


def judged(error: Exception | None, monkeypatch: pytest.MonkeyPatch, interval: float) -> tuple[Any, int]:
    """The failure of a stream that never gives a picture, and the packets that it took."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(decoding_module, "monotonic", lambda: clock.now)
    decoding = Decoding("camera", Packets(error), "", iter(range(9)), timed=True)
    for number in range(10_000):
        assert list(decoding.frames(PACKET)) == []
        if decoding.failure is not None:
            return decoding.failure, number + 1
        clock.now += interval
    raise AssertionError("never judged")


# A damaged header asks for what this decoder never had, or for what nothing can have.
DAMAGE = [av.error.InvalidDataError, av.error.PatchWelcomeError, av.error.ArgumentError]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_packets_are_garbage_after_some_seconds_and_some_packets(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    damage = kind(1, "odd header")
    failure, packets = judged(damage, monkeypatch, 0.04)
    assert failure.kind == "garbage" and 50 < packets < 200 and "(odd header)" in str(failure)
    failure, packets = judged(damage, monkeypatch, 2.0)
    assert failure.kind == "garbage" and packets == 10


def test_packets_without_a_key_frame_are_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    failure, packets = judged(None, monkeypatch, 0.04)
    assert failure.kind == "garbage" and packets > 500


class Fading(Packets):
    """A decoder that makes ten gray pictures and then does as ``Packets`` does."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(error)
        self.pictures = 10
        self.codec = SimpleNamespace(name=self.name)

    def decode(self, packet: object) -> list[object]:
        self.pictures -= 1
        return super().decode(packet) if self.pictures < 0 else [plain_frame("gray", np.zeros((16, 16), np.uint8))]


@pytest.mark.parametrize("error", [None, *(kind(1, "damaged") for kind in DAMAGE)])
def test_a_camera_whose_pictures_are_none_any_more_is_lost(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(decoding_module, "monotonic", lambda: clock.now)
    decoding = Decoding("camera", Fading(error), "", count(), timed=True)
    while decoding.failure is None:
        clock.now += 0.04
        list(decoding.frames(PACKET))
        assert clock.now < 60
    assert isinstance(decoding.failure, SourceLostError) and decoding.failure.kind == "garbage" and clock.now > 10
    seldom = Decoding("camera", Fading(None), "", count(), timed=True)
    for _ in range(15):
        clock.now += 20.0
        list(seldom.frames(PACKET))
    assert seldom.failure is None, "of a slow camera a few packets may fail"


def test_a_chosen_decoder_that_worked_and_fails_is_a_loss_and_no_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *_: object) -> None:
        raise ConfigError(f"decoder {name} can not be opened")

    for error, proven, pictures in ((ConfigError, False, 0), (SourceLostError, True, 0), (SourceLostError, False, 10)):
        decoder = Fading(av.error.OSError(5, "Input/output error"))
        decoder.pictures = pictures
        monkeypatch.setattr(decoding_module, "explicit_decoder", lambda *_, decoder=decoder: decoder)
        decoding = Decoding("camera", decoder, "h264_v4l2m2m", count(), timed=True, proven=proven)
        while decoding.failure is None:
            list(decoding.frames(PACKET))
        assert isinstance(decoding.failure, error) and "h264_v4l2m2m" in str(decoding.failure)
    monkeypatch.setattr(decoding_module, "explicit_decoder", refuse)
    for error, proven in ((ConfigError, False), (SourceLostError, True)):
        failure = Decoding("camera", Packets(None), "h264_v4l2m2m", count(), timed=True, proven=proven).failure
        assert isinstance(failure, error) and "can not be opened" in str(failure)


def test_what_a_chosen_decoder_takes_for_wrong_arguments_is_damage_once_it_has_made_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Fading(av.error.ArgumentError(22, "Invalid argument"))
    monkeypatch.setattr(decoding_module, "explicit_decoder", lambda *_: decoder)
    for pictures, failure in ((1, type(None)), (0, ConfigError)):
        decoder.pictures = pictures
        decoding = Decoding("camera", decoder, "h264_v4l2m2m", count(), timed=True)
        for _ in range(3):
            list(decoding.frames(PACKET))
        assert type(decoding.failure) is failure and decoding.good == pictures


def test_a_decoder_that_fails_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    failure, packets = judged(av.error.ExternalError(1, "no such codec"), monkeypatch, 0.04)
    assert failure.kind == "unsupported" and packets == 1 and "no such codec" in str(failure)


def test_an_empty_buffer_of_a_capture_device_costs_one_picture_and_does_not_end_the_decoder(tmp_path: Path) -> None:
    path = write(tmp_path / "camera.avi", [plain_frame("yuvj420p", np.full((48, 64), 99, np.uint8))] * 4, codec="mjpeg")
    with av.open(str(path)) as container:
        decoding = Decoding("/dev/video0", container.streams.video[0], "", count(), timed=True)
        frames = 0
        for packet in container.demux(video=0):
            empty = av.Packet(b"")
            empty.dts = packet.dts
            for given in (empty, packet) if packet.size else (packet,):
                frames += len(list(decoding.frames(given)))
    assert (frames, decoding.damaged) == (4, 4)
