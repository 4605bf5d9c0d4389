"""Every source against the same contract, and cameras that fail in every way that a real server can be made to fail."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError, SourceLostError
from edgecolor.frame import Frame
from edgecolor.sources import Source, SourceOptions, open_source
from tests.certificates import own_certificate
from tests.conftest import DATA, ROOT
from tests.e2e.camera import Camera, GarbageCamera, HttpCamera, TlsFront

PASSWORD = "s3cret/with@odd:characters"
TIMEOUT_S = 1.0
QUICK = SourceOptions(timeout=TIMEOUT_S)
KINDS = ["demo", "file", "rtsp h264", "rtsp mjpeg", "http"]
CAMERAS = KINDS[2:]


@contextmanager
def opened(kind: str) -> Iterator[tuple[Source, Any]]:
    """A source of that kind, and the camera behind it or None. Cameras ask for a password."""
    if kind in ("demo", "file"):
        yield open_source("demo" if kind == "demo" else str(DATA / "demo.mp4"), SourceOptions(loop=True)), None
        return
    camera: Any = HttpCamera(user="admin", password=PASSWORD) if kind == "http" else None
    with camera or Camera("mjpeg" if "mjpeg" in kind else "h264", user="admin", password=PASSWORD) as running:
        yield open_source(running.url, SourceOptions(timeout=TIMEOUT_S, username="admin", password=Secret(PASSWORD))), running


def take(source: Source, count: int) -> list[Frame]:
    with closing(source.frames(threading.Event())) as frames:
        return list(islice(frames, count))


def loss(source: Source, seconds: float = 15.0) -> tuple[SourceLostError, float]:
    """The loss that ends a source, and how long it took to come."""
    begin = time.monotonic()
    with pytest.raises(SourceLostError) as caught, closing(source.frames(threading.Event())) as frames:
        for _ in frames:
            assert time.monotonic() - begin < seconds, "it is not lost"
    return caught.value, time.monotonic() - begin


def said(error: BaseException) -> str:
    """All that a log or a crash report could show of an error, and of those behind it."""
    chain: list[str] = []
    link: BaseException | None = error
    while link is not None:
        chain += [str(link), repr(link), repr(vars(link)), *traceback.format_exception(link)]
        link = link.__cause__ or link.__context__
    return "".join(chain)


# The contract of all sources


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_keeps_the_contract(kind: str) -> None:
    with opened(kind) as (source, camera):
        assert PASSWORD not in source.name and PASSWORD not in repr(source)
        assert source.live is (kind in CAMERAS) and source.timeout > 0
        first = take(source, 5)
        # Iterated again: a new connection, and the numbers go on.
        again = take(source, 5)
        assert source.rate >= 0 and (camera is None or kind == "http" or source.rate == 25)
    sequence = [frame.sequence for frame in first + again]
    assert sequence == sorted(set(sequence))
    for frames in (first, again):
        pts = [frame.pts for frame in frames]
        assert None not in pts and np.all(np.diff(np.array(pts, float)) > 0)
        assert np.all(np.diff([frame.captured for frame in frames]) > 0)
    for frame in first:
        assert isinstance(frame, Frame) and frame.y.dtype == np.uint8 and frame.origin == "camera"
        assert (frame.cb is None) == (kind == "demo")


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_honours_a_stop(kind: str) -> None:
    with opened(kind) as (source, camera):
        stop = threading.Event()
        frames = source.frames(stop)
        next(frames)
        if camera is not None:  # the worst case: the camera hangs
            camera.frozen.set() if kind == "http" else camera.freeze()
        timer = threading.Timer(0.2, stop.set)
        begin = time.monotonic()
        timer.start()
        for _ in frames:
            assert time.monotonic() - begin < 2
        assert time.monotonic() - begin < 2
        timer.join()


def test_a_stop_is_honoured_while_a_camera_does_not_answer() -> None:
    with Camera() as camera:
        camera.freeze()
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        begin = time.monotonic()
        assert list(open_source(camera.url, SourceOptions(timeout=30)).frames(stop)) == []
        assert time.monotonic() - begin < 2


def test_a_process_ends_while_its_camera_hangs() -> None:
    code = (
        "import sys, threading\n"
        "from edgecolor.sources import SourceOptions, open_source\n"
        "frames = open_source(sys.argv[1], SourceOptions(timeout=30)).frames(threading.Event())\n"
        "next(frames); print('seen', flush=True); sys.stdin.readline(); frames.close(); print('closed', flush=True)\n"
    )
    with Camera() as camera:
        process = subprocess.Popen(
            [sys.executable, "-c", code, camera.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        try:
            assert process.stdout is not None and process.stdout.readline() == "seen\n"
            camera.freeze()
            output, errors = process.communicate("go\n", timeout=10)
        finally:
            process.kill()
            process.communicate()
    assert (process.returncode, output, errors) == (0, "closed\n", "")


# Pictures


@pytest.mark.parametrize(("codec", "color_range"), [("h264", "limited"), ("mjpeg", "full")])
def test_colours_and_gray_arrive_as_planes(codec: Any, color_range: str) -> None:
    with Camera(codec, color=True) as camera:
        colored = take(open_source(camera.url, QUICK), 1)[0]
        camera.restart(color=False)
        gray = take(open_source(camera.url, QUICK), 1)[0]
    assert colored.y.shape == gray.y.shape == (240, 320)
    assert colored.color_range == gray.color_range == color_range
    assert colored.cb is not None and colored.cr is not None and gray.cb is not None and gray.cr is not None
    assert colored.cb.std() > 30 and colored.cr.std() > 30
    assert np.abs(gray.cb.astype(int) - 128).max() <= 2 and np.abs(gray.cr.astype(int) - 128).max() <= 2


def test_http_pictures_are_the_ones_that_were_sent() -> None:
    with HttpCamera() as camera:
        for frame in take(open_source(camera.url, QUICK), 3):
            number = next(n for n in range(64) if abs(float(frame.y[4:28, 4:28].mean()) - n * 4 % 256) < 2)
            want = camera.picture(number) @ np.array([0.299, 0.587, 0.114])
            assert np.abs(frame.y[40:, 8:-8] - want[40:, 8:-8]).mean() < 6


def test_the_picture_may_change_its_size_in_flight() -> None:
    with Camera() as camera, closing(open_source(camera.url, QUICK).frames(threading.Event())) as frames:
        assert next(frames).y.shape == (240, 320)
        camera.resize(640, 480)
        shapes = [frame.y.shape for frame in islice(frames, 50)]
    assert shapes[-1] == (480, 640)
    assert sorted(set(shapes)) in ([(240, 320), (480, 640)], [(480, 640)])


def test_the_newest_frame_comes_after_a_pause_of_the_taker() -> None:
    with HttpCamera() as camera, closing(open_source(camera.url, QUICK).frames(threading.Event())) as frames:
        next(frames)
        time.sleep(0.6)
        frame = next(frames)
        assert frame.sequence >= 8, "old frames have queued up"
        assert time.monotonic() - frame.captured < 0.3


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_both_transports(transport: Any) -> None:
    with Camera() as camera:
        assert len(take(open_source(camera.url, SourceOptions(timeout=3, transport=transport)), 3)) == 3


# Credentials


def secured(kind: str) -> Camera | HttpCamera:
    if kind == "http":
        return HttpCamera(user="admin", password=PASSWORD)
    return Camera(user="admin", password=PASSWORD, auth="basic" if kind == "rtsp basic" else "digest")


@pytest.mark.parametrize("kind", ["rtsp digest", "rtsp basic", "http"])
def test_passwords_are_used_and_shown_nowhere(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "right").write_text(f"admin:{PASSWORD}\n")
    (tmp_path / "right").chmod(0o600)
    wrong = "wr0ng" + PASSWORD
    with secured(kind) as camera:
        assert take(open_source(camera.url, SourceOptions(timeout=3, credentials=str(tmp_path / "right"))), 1)
        assert take(open_source(camera.url.replace("://", f"://admin:{PASSWORD}@"), SourceOptions(timeout=3)), 1)
        refused = [
            loss(open_source(camera.url, SourceOptions(timeout=3)))[0],
            loss(open_source(camera.url, SourceOptions(timeout=3, username="admin", password=Secret(wrong))))[0],
            loss(open_source(camera.url.replace("://", f"://admin:{wrong}@"), SourceOptions(timeout=3)))[0],
        ]
    captured = capfd.readouterr()
    assert [error.kind for error in refused] == ["unauthorized"] * 3
    everything = "".join(map(said, refused)) + captured.out + captured.err + caplog.text
    assert "s3cret" not in everything and "characters" not in everything


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return own_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("kind", ["rtsps", "https"])
def test_a_password_goes_only_to_a_camera_whose_certificate_is_trusted(kind: str, certificate: tuple[Path, Path]) -> None:
    camera: Any = Camera(user="admin", password=PASSWORD) if kind == "rtsps" else HttpCamera(user="admin", password=PASSWORD)
    with camera, TlsFront(camera.port, *certificate) as front:
        url = camera.url.replace(kind[:-1], kind).replace(str(camera.port), str(front.port))
        trusted = SourceOptions(timeout=3, username="admin", password=Secret(PASSWORD), certificate=str(certificate[0]))
        assert take(open_source(url, trusted), 1)
        assert take(open_source(url, replace(trusted, certificate="any")), 1)
        error, _ = loss(open_source(url, replace(trusted, certificate="")))
        assert error.kind == "unreachable" and "certificate" in str(error)
        passing = certificate[0].with_name("passing.pem")
        passing.write_bytes(certificate[0].read_bytes())
        source = open_source(url, replace(trusted, certificate=str(passing)))
        passing.unlink()
        error, _ = loss(source)
        assert error.kind == "unreachable" and f"certificate {passing}: can not be read" in str(error)


# Losses


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_camera_that_hangs_is_silent_and_comes_back(kind: str) -> None:
    with opened(kind) as (source, camera):
        with closing(source.frames(threading.Event())) as frames:
            sequence = next(frames).sequence
            camera.frozen.set() if kind == "http" else camera.freeze()
            begin = time.monotonic()
            with pytest.raises(SourceLostError) as caught:
                for _ in frames:
                    assert time.monotonic() - begin < TIMEOUT_S + 2
            took = time.monotonic() - begin
        assert caught.value.kind == "silent" and TIMEOUT_S * 0.9 <= took < TIMEOUT_S + 2
        assert PASSWORD not in said(caught.value)
        if kind != "http":
            error, took = loss(source)  # still hanging, when it is tried again
            assert error.kind == "silent" and took < TIMEOUT_S + 2
        camera.frozen.clear() if kind == "http" else camera.thaw()
        assert take(source, 2)[-1].sequence > sequence


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_a_camera_that_is_killed_is_lost_and_comes_back_with_another_size(codec: Any) -> None:
    with Camera(codec, user="admin", password=PASSWORD) as camera:
        source = open_source(camera.url_with_password.replace(PASSWORD, "s3cret%2Fwith%40odd%3Acharacters"), QUICK)
        with closing(source.frames(threading.Event())) as frames:
            sequence = next(frames).sequence
            camera.kill()
            with pytest.raises(SourceLostError) as caught:
                list(islice(frames, 100))
        assert caught.value.kind == "ended"
        error, took = loss(source)
        assert error.kind == "unreachable" and took < 2 and "refused" in str(error)
        assert PASSWORD not in said(caught.value) + said(error)
        camera.restart(size=(640, 360))
        frame = take(source, 1)[0]
    assert frame.y.shape == (360, 640) and frame.sequence > sequence


def test_an_http_camera_that_hangs_up_has_ended() -> None:
    with HttpCamera(frames=5) as camera:
        assert loss(open_source(camera.url, QUICK))[0].kind == "ended"


def test_garbage_on_the_wire_is_told_as_such() -> None:
    with GarbageCamera() as camera:
        assert loss(open_source(camera.url, QUICK))[0].kind == "garbage"
    with HttpCamera(garbage=True) as parts:
        error, took = loss(open_source(parts.url, QUICK))
        assert error.kind == "garbage" and took > 1


def test_what_is_not_there_is_unreachable() -> None:
    with Camera() as camera, HttpCamera() as web:
        for url in (camera.url + "/none", web.url + "/none"):
            assert loss(open_source(url, QUICK))[0].kind == "unreachable", url
    for url in ("rtsp://camera.invalid/live", "http://camera.invalid/"):  # a name server may take its time to know nothing
        assert loss(open_source(url, SourceOptions(timeout=60.0)))[0].kind == "unreachable", url


def test_a_codec_that_nobody_knows_is_unsupported() -> None:
    with Camera("opaque") as camera:
        error, _ = loss(open_source(camera.url, QUICK))
    assert error.kind == "unsupported"


# Decoders asked for by name


def test_a_decoder_that_was_asked_for_is_used_or_refused_never_replaced() -> None:
    with Camera() as camera:
        assert take(open_source(camera.url, SourceOptions(timeout=3, decoder="h264")), 2)[1].pts is not None
        if not Path("/dev/video10").exists():  # the decoder of a Raspberry Pi
            with pytest.raises(ConfigError, match="h264_v4l2m2m"):
                take(open_source(camera.url, SourceOptions(timeout=3, decoder="h264_v4l2m2m")), 1)
        with pytest.raises(ConfigError, match="mjpeg"):
            take(open_source(camera.url, SourceOptions(timeout=3, decoder="mjpeg")), 1)
    with pytest.raises(ConfigError, match="no such decoder"):
        open_source(camera.url, SourceOptions(decoder="h264_magic"))


# The test camera itself, on which other tests lean


def test_the_camera_takes_a_published_stream() -> None:
    import av

    with Camera(size=(160, 120)) as camera:
        with av.open(camera.publish_url, "w", format="rtsp", options={"rtsp_transport": "tcp"}) as output:
            stream = output.add_stream("libx264", rate=25, options={"tune": "zerolatency", "preset": "ultrafast", "g": "10"})
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            for number in range(40):
                picture = av.VideoFrame.from_ndarray(np.full((180, 160), 90, np.uint8), "yuv420p")
                picture.pts = number
                output.mux(stream.encode(picture))
                time.sleep(0.01)
            found = camera.wait_published(20)
            assert (found["width"], found["height"]) == (160, 120)
            shown = take(open_source(camera.published_url, QUICK), 1)[0]
        assert shown.y.size
