"""Minutes of the real thing: an RTSP camera that is killed and hangs now and then, viewers that come and go, and a server that takes
what is published. Memory, threads and open files must not grow.

SOAK_MINUTES says how long (6); SOAK_MINUTES=120 python -m pytest -s tests/system/test_soak.py is the long one.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.camera import Camera
from tests.e2e.serving import Server, Viewer, started

pytestmark = pytest.mark.system

MINUTES = float(os.environ.get("SOAK_MINUTES", "6"))
MOST_GROWTH_MB = 16.0  # the last third's median over that of the second: the first is for caches to fill
MOST_MB = 250.0
TROUBLE_S = 20.0  # between the ends and the begins of what happens to camera and media server, in turn
TROUBLES = (("camera", "kill"), ("media", "kill"), ("camera", "freeze"), ("camera", "kill"), ("media", "freeze"))
VIEWERS = 4


@dataclass(frozen=True)
class Sample:
    minutes: float
    rss_mb: float
    threads: int
    files: int


def sample(process: int, begin: float) -> Sample:
    proc = Path(f"/proc/{process}")
    rss = int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    threads, files = (sum(1 for _ in (proc / name).iterdir()) for name in ("task", "fd"))
    return Sample((time.monotonic() - begin) / 60, rss, threads, files)


def come_and_go(server: Server, done: threading.Event, seed: int) -> None:
    """A viewer that watches for some seconds, looks at something else, or leaves in the middle of a picture."""
    chance = random.Random(seed)
    while not done.is_set():
        # What the server does to a viewer is not what is tested here: it may be lost in the middle of anything.
        with contextlib.suppress(OSError, AssertionError, ValueError):
            what = chance.choice(("stream", "stream", "snapshot", "state", "broken"))
            if what == "stream":
                with Viewer(server, chance.choice(("color", "gray", "split"))) as viewer:
                    end = time.monotonic() + chance.uniform(0.5, 8)
                    while time.monotonic() < end and not done.is_set():
                        viewer.part()
            elif what == "broken":
                with socket.create_connection((server.host, server.port), 5) as broken:
                    broken.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    broken.recv(chance.choice((10, 1000, 100_000)))
            else:
                server.get("/snapshot.jpg" if what == "snapshot" else "/metrics")
        done.wait(chance.uniform(0.05, 1))


def test_nothing_grows_while_cameras_and_viewers_come_and_go() -> None:
    chance = random.Random(7)
    with Camera(size=(640, 360), color=False, user="cam", password="sesame") as camera, Camera() as media:
        command = [sys.executable, "-m", "edgecolor", "serve", camera.url_with_password, "--http", "127.0.0.1:0", "--threads", "1",
                   "--timeout", "2", "--publish", media.publish_url]  # fmt: skip
        with started(command) as server:
            server.wait_for(lambda state: state["state"] == "live" and state["publish"]["state"] == "connected", 60)
            samples, losses = _live_through_it(server, camera, media, chance)
            server.wait_for(lambda state: state["state"] == "live" and state["publish"]["state"] == "connected", 90)
            state = server.wait_for(lambda state: state["viewers"] == 0)
            code, _ = server.stop()
    thirds = np.array_split(np.array([one.rss_mb for one in samples]), 3)
    growth = statistics.median(thirds[2]) - statistics.median(thirds[1])
    settled = samples[len(samples) // 3 :]
    slope = np.polyfit([one.minutes for one in settled], [one.rss_mb for one in settled], 1)[0]
    print(f"\n{MINUTES:g} minutes, {losses} troubles, {state['source']['reconnects']} reconnects, {state['frames']['out']} frames: "
          f"RSS {samples[0].rss_mb:.0f} to {samples[-1].rss_mb:.0f} MB, most {max(one.rss_mb for one in samples):.0f} MB, "
          f"slope {slope:+.2f} MB/minute, last third over the second {growth:+.1f} MB")  # fmt: skip
    assert code == 0
    assert state["source"]["reconnects"] > 0 and state["publish"]["connections"] > 1
    assert growth < MOST_GROWTH_MB
    assert max(one.rss_mb for one in samples) < MOST_MB
    for name in ("threads", "files"):
        early, late = (min(getattr(one, name) for one in part) for part in (samples[: len(samples) // 2], samples[len(samples) // 2 :]))
        assert late <= early + 4, f"{name}: {early} at best in the first half, {late} in the second"
    assert "Traceback" not in server.stderr and "sesame" not in server.stderr


def _live_through_it(server: Server, camera: Camera, media: Camera, chance: random.Random) -> tuple[list[Sample], int]:
    done = threading.Event()
    viewers = [threading.Thread(target=come_and_go, args=(server, done, seed), daemon=True) for seed in range(VIEWERS)]
    for viewer in viewers:
        viewer.start()
    begin = time.monotonic()
    samples, troubles, next_trouble = [], 0, begin + TROUBLE_S / 2
    try:
        while time.monotonic() - begin < MINUTES * 60:
            samples.append(sample(server.process.pid, begin))
            if time.monotonic() >= next_trouble:
                who, what = TROUBLES[troubles % len(TROUBLES)]
                victim = camera if who == "camera" else media
                if what == "freeze":
                    victim.freeze()
                    time.sleep(4)
                    victim.thaw()
                else:
                    victim.kill()
                    time.sleep(chance.uniform(0.5, 3))
                    victim.start()
                troubles += 1
                next_trouble = time.monotonic() + TROUBLE_S
            time.sleep(1)
            assert server.process.poll() is None, server.stderr
    finally:
        done.set()
        for viewer in viewers:
            viewer.join(20)
    return samples, troubles
