"""A thousand lives of the live server in one process: nothing of them is left in it, nor on the disk.

Every part is a real one: source, network, pipeline, HTTP server with a viewer, publisher; settings are reread on the way, and a
signal ends each life.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import logging
import os
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from edgecolor.live import LiveOptions
from edgecolor.serveconfig import NetworkConfig, ServeConfig, SourceConfig
from edgecolor.serving import LiveServer, parts_of
from edgecolor.sinks.http import HttpOptions
from edgecolor.sinks.publish import PublishOptions
from tests.e2e.camera import Camera, free_port

pytestmark = pytest.mark.system

LIVES = 1000
REST_TRIES = 20
EVERY = 5  # lives the garbage of which is collected, and memory looked at
# The last quarter's median over that of the third: after half of the lives aiohttp's cache of 1,024 handlers is full, two a life.
MOST_GROWTH_MB = 8.0


@dataclass(frozen=True)
class Held:
    """What this process holds, and what stands in the folders that it may write to."""

    descriptors: frozenset[tuple[str, int]]
    threads: int
    files: frozenset[str]

    def count(self) -> int:
        return sum(number for _, number in self.descriptors)

    @classmethod
    def now(cls, folder: Path) -> Held:
        gc.collect()
        descriptors: Counter[str] = Counter()
        for path in Path("/proc/self/fd").iterdir():
            try:
                target = str(path.readlink())
            except FileNotFoundError:  # the one that lists them
                continue
            descriptors[target.split("[")[0]] += 1  # sockets and pipes are numbered
        files = {str(path) for path in folder.rglob("*")}
        return cls(frozenset(descriptors.items()), len(list(Path("/proc/self/task").iterdir())), frozenset(files))

    @classmethod
    def at_rest(cls, folder: Path) -> Held:
        """The same twice within a second: threads and sockets that are told to end take a moment."""
        one, other = cls.now(folder), None
        for _ in range(REST_TRIES):
            if one == other:
                break
            time.sleep(0.5)
            one, other = cls.now(folder), one
        return one


def resident_mb() -> float:
    """Memory of its own, in use or swapped out: what is mapped of files comes and goes as the kernel likes (proc_pid_status(5))."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(status[key].split()[0]) for key in ("RssAnon", "VmSwap")) / 1024


async def live_once(config: ServeConfig, published: bool) -> None:
    """Start, see a picture in colour, reload, see the new settings at work, stop by a signal."""
    other = dataclasses.replace(config, live=LiveOptions(chroma_rate=9.0))
    server = LiveServer(parts_of(config), lambda before: parts_of(other, before))
    running = asyncio.create_task(server.run())

    async def until(path: str, is_enough: Callable[[aiohttp.ClientResponse, bytes], bool]) -> None:
        while not running.done():
            with contextlib.suppress(aiohttp.ClientConnectionError):  # it does not listen yet
                async with client.get(path) as answer:
                    if is_enough(answer, await answer.read()):
                        return
            await asyncio.sleep(0.005)

    address = f"http://{config.http.address}"
    async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(force_close=True)) as client:
        await until("/snapshot.jpg", lambda answer, _: answer.headers.get("X-EdgeColor-Origin") == "guess")
        if published:
            await until("/state", lambda _, body: json.loads(body)["publish"]["state"] == "connected")
        os.kill(os.getpid(), signal.SIGHUP)
        await until("/state", lambda _, body: json.loads(body)["chroma"]["limit"] == 9.0)
        await until("/snapshot.jpg", lambda answer, _: answer.headers.get("X-EdgeColor-Origin") == "guess")
    assert not running.done(), "it ended before it was told to"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 10)


def live_often(config: ServeConfig, times: int, folder: Path, published: bool = False) -> None:
    before, memory = Held.at_rest(folder), []
    for number in range(1, times + 1):
        asyncio.run(live_once(config, published))
        if number == times // 4:
            before = Held.at_rest(folder)
        if number % EVERY == 0:
            gc.collect()
            memory.append(resident_mb())
    after = Held.at_rest(folder)
    quarters = [statistics.median(part) for part in np.array_split(memory, 4)]
    print(f"\n{times} lives: {after.count()} descriptors, {after.threads} threads, {len(after.files)} files; "
          f"resident by quarters {', '.join(f'{one:.1f}' for one in quarters)} MB")  # fmt: skip
    assert after == before
    assert quarters[3] - quarters[2] < MOST_GROWTH_MB


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """Where this process works, and puts what is temporary."""
    caplog.set_level(logging.ERROR, "edgecolor")  # pytest keeps all that is logged
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def config(address: str, url: str) -> ServeConfig:
    http = HttpOptions(address=f"127.0.0.1:{free_port()}")
    return ServeConfig(SourceConfig(address=address), NetworkConfig(threads=1), http=http, publish=PublishOptions(url=url))


def test_a_thousand_lives_leave_nothing(folder: Path) -> None:
    # Nobody takes what it publishes: it is refused each time.
    live_often(config("demo", f"rtsp://127.0.0.1:{free_port()}/nobody"), LIVES, folder)


def test_lives_with_a_camera_and_a_media_server_leave_nothing(folder: Path) -> None:
    with Camera(size=(320, 240), color=False) as camera, Camera() as media:
        live_often(config(camera.url, media.publish_url), LIVES // 25, folder, published=True)


def test_what_is_left_is_seen(folder: Path) -> None:
    before = Held.now(folder)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with (folder / "left").open("w"):
        after = Held.now(folder)
    stop.set()
    thread.join()
    assert after.count() == before.count() + 1 and after.threads == before.threads + 1
    assert len(after.files) == len(before.files) + 1
