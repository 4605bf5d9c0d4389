"""The programs that people watch with: FFmpeg, PyAV and OpenCV read the stream of the real server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import islice

import av
import cv2
import numpy as np
import pytest

from tests.conftest import need
from tests.e2e.serving import DEMO, Server, started

FRAMES = 10


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started(DEMO) as running:
        yield running


def size_of(server: Server) -> tuple[int, int]:
    source = server.wait_for(lambda state: state["state"] == "live")["source"]
    return source["width"], source["height"]


def test_ffmpeg_reads_the_stream(server: Server) -> None:
    width, height = size_of(server)
    command = [need("ffmpeg", "ffmpeg"), "-v", "error", "-f", "mpjpeg", "-i", f"{server.url}stream.mjpg", "-frames:v", str(FRAMES),
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    assert len(frames) == FRAMES and np.ptp(frames.astype(np.int16), axis=-1).max() > 5  # there is colour in it


def test_pyav_reads_the_stream(server: Server) -> None:
    with av.open(f"{server.url}stream.mjpg", format="mpjpeg", timeout=30) as stream:
        pictures = list(islice(stream.decode(video=0), FRAMES))
    assert [(p.width, p.height) for p in pictures] == [size_of(server)] * FRAMES


def test_opencv_reads_the_stream(server: Server) -> None:
    width, height = size_of(server)
    capture = cv2.VideoCapture(f"{server.url}stream.mjpg", cv2.CAP_FFMPEG)
    try:
        frames = [capture.read() for _ in range(FRAMES)]
    finally:
        capture.release()
    assert all(got and frame.shape == (height, width, 3) for got, frame in frames)
