"""RTSP publish into a real server, seen by the viewers of that server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import av
import numpy as np
import pytest

from edgecolor.frame import Frame
from edgecolor.placeholder import placeholder
from edgecolor.sinks import publish, rtsp
from edgecolor.sinks.publish import PublishOptions, PublishSink
from tests.e2e.camera import Camera
from tests.e2e.serving import script, started

SECONDS = 30.0


def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


class Feed:
    """Puts frames into a sink 25 times a second, as a pipeline does: all of one luma and chroma, or noise; or a placeholder once."""

    def __init__(self, sink: PublishSink) -> None:
        self.sink, self.shape, self.noise, self.paused = sink, (240, 320), False, False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.slowest = 0.0

    def _run(self) -> None:
        rng = np.random.default_rng(1)
        number = 0
        while not self._stop.wait(0.04):
            if self.paused:
                continue
            height, width = self.shape
            y = rng.integers(16, 236, (height, width), np.uint8) if self.noise else np.full((height, width), 100, np.uint8)
            cb = np.full(((height + 1) // 2, (width + 1) // 2), 90, np.uint8)
            begin = time.monotonic()
            color = self.sink.wants_color()
            # As the pipeline does: no guess while no sink wants one.
            frame = Frame(y, cb, cb + 80, "limited", sequence=number, origin="guess") if color else Frame(y, color_range="limited")
            self.sink.put(frame)
            self.slowest = max(self.slowest, time.monotonic() - begin)
            number += 1


@contextmanager
def published(options: PublishOptions) -> Iterator[tuple[PublishSink, Feed]]:
    sink = PublishSink(options)
    feed = Feed(sink)
    sink.start()
    feed._thread.start()
    try:
        yield sink, feed
    finally:
        feed._stop.set()
        feed._thread.join(10)
        sink.stop()


def shown(url: str, count: int = 5) -> av.VideoFrame:
    """The picture that a viewer of the server sees after some frames."""
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(20.0, 20.0)) as viewer:
        return next(islice(viewer.decode(video=0), count, None))


def test_what_is_published_comes_out_of_the_server() -> None:
    with Camera() as server, published(PublishOptions(url=server.publish_url)) as (sink, feed):
        found = server.wait_published(30)
        assert (found["width"], found["height"]) == (320, 240)
        until(lambda: sink.state()["rate"] > 15)
        state = sink.state()
        assert state["state"] == "connected" and state["frames"] >= 30 and state["connections"] == 1 and sink.wants_color()
        picture = shown(server.published_url).to_ndarray(format="yuv420p")
        y, cb, cr = picture[:240], picture[240:300].reshape(120, 160), picture[300:].reshape(120, 160)
        assert np.median(y) == pytest.approx(100, abs=3)
        assert np.median(cb) == pytest.approx(90, abs=3) and np.median(cr) == pytest.approx(170, abs=3)
        # The label is burnt in: bright letters in the bottom right corner, and nothing elsewhere.
        assert y[-30:, -160:].max() > 170 and y[:200].max() < 120
        feed.shape = (361, 481)
        until(lambda: (server.published()["width"], server.published()["height"]) == (482, 362))
        assert sink.state()["connections"] == 2 and sink.state()["reason"] is None


@pytest.mark.parametrize("auth", ["digest", "basic"])
def test_a_server_that_wants_a_password_gets_it_and_a_wrong_one_is_told(auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_RETRY_FIRST_S", 0.1)
    with Camera(user="cam", password="p/w@1", auth=auth) as server:  # type: ignore[arg-type]
        wrong = PublishOptions(url=server.publish_url.replace("rtsp://", "rtsp://cam:sesame@"))
        with published(wrong) as (sink, _):
            until(lambda: sink.state()["reason"] is not None)
            assert "refuses this user and password" in sink.state()["reason"] and "sesame" not in str(sink.state())
        right = PublishOptions(url=server.publish_url.replace("rtsp://", "rtsp://cam:p%2Fw%401@"))
        with published(right):
            server.wait_published(10)


def test_a_server_that_is_killed_and_comes_back_is_published_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_RETRY_FIRST_S", 0.2)
    with Camera() as server, published(PublishOptions(url=server.publish_url)) as (sink, feed):
        server.wait_published(10)
        server.kill()
        until(lambda: sink.state()["state"] == "retrying")
        assert not sink.wants_color() and sink.state()["reason"]
        server.start()
        server.wait_published(10)  # the new process counts from 0
        assert sink.state()["state"] == "connected" and sink.state()["connections"] >= 2
        assert feed.slowest < 1, "put never waits for the server"


def test_a_server_that_hangs_is_given_up_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_STUCK_S", 1.0)
    monkeypatch.setattr(rtsp, "_ANSWER_S", 1.0)
    with Camera() as server, published(PublishOptions(url=server.publish_url, bitrate=50_000)) as (sink, feed):
        feed.shape, feed.noise = (480, 640), True  # enough to fill the kernel's buffers soon
        until(lambda: server.published()["width"] == 640)
        server.freeze()
        until(lambda: sink.state()["state"] == "retrying")
        assert sink.state()["reason"] in ("the server took nothing for 1 s", "the server did not answer within 1 s")
        server.kill()
        server.start()
        server.wait_published(10, SECONDS)
        assert feed.slowest < 1
        server.freeze()
        begin = time.monotonic()
        sink.stop()
        assert time.monotonic() - begin < 5


def test_a_placeholder_is_repeated_and_a_last_picture_is_not() -> None:
    with Camera() as server, published(PublishOptions(url=server.publish_url)) as (sink, feed):
        server.wait_published(5)
        feed.paused = True
        until(lambda: sink.state()["rate"] == 0.0)
        before = sink.state()["frames"]
        sink.put(placeholder((240, 320), ["camera", "No picture"], "limited"))
        until(lambda: sink.state()["frames"] >= before + 4)
        assert sink.state()["connections"] == 1


def test_serve_publishes_what_it_shows_and_its_state_says_so() -> None:
    code = """
from edgecolor.sinks.publish import PublishOptions
from edgecolor.sources import open_source
from tests.e2e.live import *

serve_live(open_source("demo"), publish=PublishOptions(url={url!r}))
"""
    with Camera() as camera, started(script(code.format(url=camera.publish_url))) as server:
        state = server.wait_for(lambda state: (state["publish"] or {}).get("state") == "connected")
        assert state["publish"]["url"] == camera.publish_url
        camera.wait_published(10)
        picture = shown(camera.published_url)
        red, green, _ = np.moveaxis(picture.to_ndarray(format="rgb24").astype(int), 2, 0)
        # The test network's colours: red on the left, green on the right.
        assert np.median((red - green)[:, :40]) > 20 > -20 > np.median((red - green)[:, -40:])
        assert server.state()["viewers"] == 0, "a published stream is guessed for although nobody watches over HTTP"
        code_, seconds = server.stop()
        assert code_ == 0 and seconds < 5
