"""Publishing without a server: options, encoders, planes to H.264, and addresses where nobody speaks RTSP."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from edgecolor.bt601 import to_bt601
from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError, CredentialsError, PublishError
from edgecolor.frame import Frame
from edgecolor.label import burn
from edgecolor.sinks import publish, rtsp
from edgecolor.sinks.h264 import Encoder, Form, as_picture, check_encoder
from edgecolor.sinks.publish import PublishOptions, PublishSink
from edgecolor.sinks.rtsp import knock


def picture(shape: tuple[int, int] = (48, 64), luma: int = 100, **about: object) -> Frame:
    chroma = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    planes = np.full(shape, luma, np.uint8), np.full(chroma, 90, np.uint8), np.full(chroma, 170, np.uint8)
    return Frame(*planes, **about)  # type: ignore[arg-type]


def planes_of(shown: av.VideoFrame) -> list[np.ndarray]:
    return [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in shown.planes]


# Options


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": "http://host/x"}, "must be rtsp://"),
        ({"url": "host/x"}, "must be rtsp://"),
        ({"url": "rtsp:///x"}, "names no host"),
        ({"url": "rtsp://host:99999/x"}, "a port is a number up to 65535"),
        ({"url": "rtsp://me:sesame@[::1:8554/x"}, "an IPv6 address stands in brackets"),
        ({"url": "rtsp://media..local/x"}, "a name has 1 to 63 letters between dots"),
        ({"bitrate": 10}, "bitrate 10 is not between 50 and 100000"),
        ({"threads": 0}, "threads 0 is not between"),
        ({"transport": "sctp"}, "known: tcp, udp"),
        ({"label": "middle"}, "one of top-left"),
        ({"password": Secret("sesame")}, "a password without a username"),
        ({"username": "me", "credentials": "x"}, "give one of the two"),
    ],
)
def test_options_that_can_not_be_meant(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        PublishOptions(**values)  # type: ignore[arg-type]
    assert "sesame" not in str(caught.value)


def test_credentials_come_from_one_place_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("me:open sesame\n")
    path.chmod(0o600)
    sink = PublishSink(PublishOptions(url="rtsp://127.0.0.1:1/x", credentials=str(path)))
    assert sink._target.reveal() == "rtsp://me:open%20sesame@127.0.0.1:1/x"
    url = "rtsp://me:sesame@127.0.0.1:1/x"
    options = PublishOptions(url=url)
    assert "sesame" not in repr(options) + repr(PublishSink(options).state())
    with pytest.raises(ConfigError, match="keep one") as caught:
        PublishSink(PublishOptions(url=url, username="me", password=Secret("other")))
    assert "sesame" not in str(caught.value)
    path.chmod(0o644)
    with pytest.raises(CredentialsError, match="chmod 600"):
        PublishSink(PublishOptions(url="rtsp://127.0.0.1:1/x", credentials=str(path)))


def test_another_password_in_the_credentials_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("me:sesame\n")
    path.chmod(0o600)
    options = PublishOptions(url="rtsp://127.0.0.1:1/x", credentials=str(path))
    sink = PublishSink(options)
    assert sink.does(options) and not sink.does(replace(options, bitrate=500))
    path.write_text("me:open sesame\n")
    assert not sink.does(options)
    path.chmod(0o644)
    with pytest.raises(CredentialsError, match="chmod 600"):
        sink.does(options)


@pytest.mark.parametrize(("name", "said"), [("h264_magic", "no such encoder"), ("mpeg4", "makes mpeg4, not H.264"), ("aac", "not H.264")])
def test_an_encoder_that_is_absent_or_another_is_refused_by_name(name: str, said: str) -> None:
    with pytest.raises(PublishError, match=said) as caught:
        PublishSink(PublishOptions(url="rtsp://127.0.0.1:1/x", encoder=name))
    assert name in str(caught.value)


@pytest.mark.skipif(Path("/dev/video11").exists(), reason="this board has the device")
def test_an_encoder_without_its_device_is_refused_by_name() -> None:
    try:
        av.Codec("h264_v4l2m2m", "w")
    except av.codec.codec.UnknownCodecError:
        said = "no such encoder"
    else:
        said = "can not be opened: .*is its device there"
    with pytest.raises(PublishError, match=f"h264_v4l2m2m.*{said}"):
        check_encoder("h264_v4l2m2m")


# Planes


def test_planes_are_handed_over_as_they_are() -> None:
    rng = np.random.default_rng(1)
    y, cb, cr = (rng.integers(0, 256, shape, np.uint8) for shape in ((48, 70), (24, 35), (24, 35)))
    shown = as_picture(Frame(y, cb, cr, "full"), Form(70, 48, "full"), "bottom-right")
    assert all(np.array_equal(a, b) for a, b in zip(planes_of(shown), (y, cb, cr), strict=True))
    assert (int(shown.color_range), int(shown.colorspace)) == (2, 6)
    # Rows that lie further apart than the picture is wide, as a decoder's do.
    wide = np.hstack([y, y])[:, :70]
    assert np.array_equal(planes_of(as_picture(Frame(wide, cb, cr, "limited"), Form(70, 48, "limited"), "off"))[0], y)


def test_an_odd_size_becomes_even_by_repeating_its_border() -> None:
    frame = picture((47, 63))
    y = np.arange(47 * 63, dtype=np.uint16).reshape(47, 63).astype(np.uint8)
    frame = Frame(y, frame.cb, frame.cr)
    assert Form.of(frame) == Form(64, 48, "full")
    shown = planes_of(as_picture(frame, Form.of(frame), "off"))
    assert np.array_equal(shown[0], np.pad(y, ((0, 1), (0, 1)), "edge"))
    assert np.array_equal(shown[1], frame.cb)


def test_a_picture_without_chroma_is_neutral_and_sixteen_bits_become_eight() -> None:
    shown = planes_of(as_picture(Frame(np.full((48, 64), 0x1234, np.uint16)), Form(64, 48, "full"), "off"))
    assert [np.unique(plane).tolist() for plane in shown] == [[0x12], [128], [128]]


def test_bt709_is_converted_to_what_the_stream_says() -> None:
    frame = picture(matrix="bt709")
    want = to_bt601(frame)
    shown = planes_of(as_picture(frame, Form.of(frame), "off"))
    assert not np.array_equal(want.y, frame.y)
    assert np.array_equal(shown[0], want.y) and np.array_equal(shown[1], want.cb)


def test_the_label_stands_on_guessed_colours_only() -> None:
    frame = picture((240, 320), origin="guess")
    labelled = planes_of(as_picture(frame, Form.of(frame), "top-left"))
    assert np.array_equal(labelled[0], burn(frame, "top-left").y) and not np.array_equal(labelled[0], frame.y)
    assert np.array_equal(planes_of(as_picture(frame, Form.of(frame), "off"))[0], frame.y)
    for origin in ("camera", "placeholder"):
        other = picture((240, 320), origin=origin)
        assert np.array_equal(planes_of(as_picture(other, Form.of(other), "top-left"))[0], other.y)


# The stream


@pytest.mark.parametrize("color_range", ["limited", "full"])
def test_a_stream_keeps_times_colours_and_tells_range_and_matrix(color_range: str, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    times = [10.0, 10.04, 10.05, 10.5, 10.5, 10.49, 12.1, 12.2, 14.3]
    with av.open(str(path), "w") as output:
        frames = [picture(luma=60 + 10 * number, color_range=color_range) for number in range(len(times))]
        encoder = Encoder(output, Form.of(frames[0]), "", 1000, 1, "off")
        for frame, time_ in zip(frames, times, strict=True):
            packets = list(encoder.encode(frame, time_))
            assert len(packets) == 1, "nothing is held back"
            output.mux(packets)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = list(container.decode(stream))
        assert (int(stream.codec_context.color_range), int(stream.codec_context.colorspace)) == ({"limited": 1, "full": 2}[color_range], 6)
    got = [frame.time - shown[0].time for frame in shown]
    assert got == pytest.approx([0.0, 0.04, 0.05, 0.5, 0.5, 0.5, 2.1, 2.2, 4.3], abs=2e-3)
    assert [frame.key_frame for frame in shown] == [n in (0, 6, 8) for n in range(9)], "one about every two seconds"
    for number, frame in enumerate(shown):
        found = [round(float(plane.mean())) for plane in planes_of(frame)]
        assert found == pytest.approx([60 + 10 * number, 90, 170], abs=2)


# Where nobody speaks RTSP


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A port that answers every connection with these bytes and hangs up; with nothing for ever when None."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    if answer is None:
                        done.wait(30)
                    else:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@pytest.mark.parametrize(
    ("answer", "said"), [(b"HTTP/1.1 400 no", "does not speak RTSP"), (b"", "hung up"), (None, "did not answer within 0.2 s")]
)
def test_who_does_not_speak_rtsp_is_told_from_who_hangs(answer: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "_ANSWER_S", 0.2)
    with answering(answer) as port, pytest.raises(OSError, match=said):
        knock(Secret(f"rtsp://me:sesame@127.0.0.1:{port}/x"))


def test_a_server_that_can_not_be_reached_is_tried_again_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publish, "_RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(publish, "_RETRY_MOST_S", 0.01)
    tries = []
    monkeypatch.setattr(rtsp, "knock", lambda target: tries.append(1) or knock(target))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    sink = PublishSink(PublishOptions(url=f"rtsp://me:sesame@127.0.0.1:{port}/x"))
    assert sink.state()["state"] == "waiting" and not sink.wants_color()
    sink.start()
    end = time.monotonic() + 20
    while len(tries) < 4:
        sink.put(picture())
        assert time.monotonic() < end, sink.state()
        time.sleep(0.005)
    state = sink.state()
    assert state["reason"] == "Connection refused" and state["url"] == f"rtsp://me@127.0.0.1:{port}/x" and state["frames"] == 0
    assert not sink.wants_color()
    sink.stop()
    assert sum("Connection refused" in message for message in caplog.messages) == 1 and "sesame" not in caplog.text


GREETING = """
import socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def answer(connection):
    while request := connection.recv(65536):
        number = next(line for line in request.decode().split("\\r\\n") if line.startswith("CSeq"))
        status = "200 OK" if request.startswith(b"OPTIONS") else "401 Unauthorized"
        if not request.startswith(b"OPTIONS"):
            time.sleep({delay})
        connection.sendall(f"RTSP/1.0 {{status}}\\r\\n{{number}}\\r\\nPublic: ANNOUNCE\\r\\n\\r\\n".encode())
while True:
    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""


@contextmanager
def greeting(delay: float) -> Iterator[int]:
    """A server, in a process of its own, that answers OPTIONS at once and refuses all else after a while; gives its port."""
    with subprocess.Popen([sys.executable, "-c", GREETING.format(delay=delay)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def failing(port: int) -> tuple[PublishSink, float]:
    """A sink whose first try has failed, and how long this thread stood still meanwhile, in seconds."""
    sink = PublishSink(PublishOptions(url=f"rtsp://me:sesame@127.0.0.1:{port}/x"))
    sink.start()
    last, still, end = time.monotonic(), 0.0, time.monotonic() + 20
    while sink.state()["state"] != "retrying":
        sink.put(picture())
        time.sleep(0.01)
        still, last = max(still, time.monotonic() - last), time.monotonic()
        assert last < end, sink.state()
    return sink, still


def test_a_server_that_greets_and_then_hangs_does_not_hold_the_rest_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """While FFmpeg waits for an answer no thread of this process runs."""
    monkeypatch.setattr(rtsp, "_HANDSHAKE_S", 0.5)
    with greeting(60) as port:
        sink, still = failing(port)
        assert still < 5, "it must end by itself, long before a watchdog bites"
        assert sink.state()["reason"] == "the server did not answer within 0.5 s"
        sink.stop()


def test_a_server_that_refuses_the_password_is_asked_seldom() -> None:
    with greeting(0.1) as port:
        sink, _ = failing(port)
        state = sink.state()
        assert "refuses this user and password" in state["reason"] and state["retry_in_s"] > 200
        sink.stop()
