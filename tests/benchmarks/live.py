"""Prints what the live feed costs, as ratios within one run: python -m tests.benchmarks.live [--seconds N]

The clip is H.264, gray, 1280x720 at 25 frames a second. Each server is a process of its own, whose CPU time is read from the
kernel; those who watch are another. Not a test: a busy machine gives other figures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from edgecolor.assets import find_media
from edgecolor.colorizer import Colorizer, TfliteNetwork
from edgecolor.jpeg import encode_jpeg
from edgecolor.monochrome import FeedWatch
from edgecolor.sources.planes import frame_of
from edgecolor.temporal import Smoother
from tests.e2e.serving import Server, Viewer, script, started

WIDTH, HEIGHT, RATE, FRAMES = 1280, 720, 25, 250
MODEL = "edgecolor"
# The real command's parts; frames carry the time of their capture, so that a viewer can tell how old they are.
SERVER = """
from dataclasses import replace
from edgecolor.colorizer import TfliteNetwork
from edgecolor.live import LiveOptions
from edgecolor.sources import SourceOptions, open_source
from tests.e2e.live import *

class Stamped:
    def __init__(self, source):
        self.source, self.name, self.rate, self.live, self.timeout = source, source.name, source.rate, source.live, source.timeout
    def frames(self, stop):
        for frame in self.source.frames(stop):
            yield replace(frame, pts=frame.captured)

source = Stamped(open_source({clip!r}, SourceOptions(loop=True)))
serve_live(source, TfliteNetwork({model!r}, None, 1, None), live=LiveOptions(colorize={colorize!r}))
"""
# One process that watches many times over and throws everything away.
CROWD = """
import selectors, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
watched = selectors.DefaultSelector()
for _ in range(count):
    viewer = socket.create_connection((host, port))
    viewer.sendall(b"GET /stream.mjpg HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    watched.register(viewer, selectors.EVENT_READ)
buffer = bytearray(1 << 20)
while True:
    for key, _ in watched.select():
        if not key.fileobj.recv_into(buffer):
            sys.exit("a viewer was let go")
"""


def write_clip(path: Path) -> None:
    """The bundled clip, gray, enlarged and played faster: as many frames as are asked for."""
    with av.open(str(find_media("demo.mp4"))) as clip:
        luma = [picture.to_ndarray(format="gray") for picture in clip.decode(video=0)]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": "23", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            y = cv2.resize(luma[number % len(luma)], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            planes = np.concatenate([y, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)])
            picture = av.VideoFrame.from_ndarray(planes, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())


def cpu_seconds(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(clip: Path, colorize: str, viewers: int, seconds: float) -> dict[str, float]:
    """Run a server with so many viewers: cores, memory, rates, and the age in seconds of the frames that one viewer gets."""
    with started(script(SERVER.format(clip=str(clip), model=MODEL, colorize=colorize))) as server:
        return _measure(server, viewers, seconds)


def _measure(server: Server, viewers: int, seconds: float) -> dict[str, float]:
    crowd = subprocess.Popen([sys.executable, "-c", CROWD, server.host, str(server.port), str(viewers - 1)]) if viewers > 1 else None
    try:
        with Viewer(server) as viewer:
            server.wait_for(lambda state: state["viewers"] == viewers and state["state"] == "live")
            for _ in range(2 * RATE):
                viewer.part()
            before, begin, sent = cpu_seconds(server.process.pid), time.monotonic(), server.state()
            ages: list[float] = []
            while time.monotonic() - begin < seconds:
                part = viewer.part()
                ages.append(time.monotonic() - part.pts)
            wall, used, after = time.monotonic() - begin, cpu_seconds(server.process.pid) - before, server.state()
    finally:
        if crowd is not None:
            crowd.kill()
            crowd.wait()
    return {
        "cores": used / wall, "rss": resident_mb(server.process.pid), "age": statistics.median(ages),
        "rate": (after["frames"]["out"] - sent["frames"]["out"]) / wall,
        "guesses": (after["chroma"]["guesses"] - sent["chroma"]["guesses"]) / wall, "guess": (after["chroma"]["guess_ms"] or 0) / 1000,
    }


class Fixed:
    """A network that costs nothing: the real one's sizes, and colours that are there already."""

    def __init__(self, network: TfliteNetwork) -> None:
        self.size = network.size
        self._grid = network(np.zeros(network.size, np.uint8), "limited")

    def __call__(self, luma: Any, color_range: Any) -> Any:
        return self._grid


def beside_network(clip: Path) -> float:
    """CPU time of all that colouring adds to a frame but the network, beside that of decoding it and encoding a JPEG."""
    cv2.setNumThreads(1)
    colorizer, smoother, watch = Colorizer(network=Fixed(TfliteNetwork(MODEL, None, 1, None))), Smoother(), FeedWatch()
    plain = colour = 0.0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        pictures = container.decode(stream)
        for number in range(FRAMES):
            begin = time.process_time()
            picture = next(pictures)
            frame = frame_of(picture, captured=number / RATE, sequence=number)
            encode_jpeg(frame)
            middle = time.process_time()
            watch.see(frame)
            raw = colorizer.guess(frame.y, frame.color_range, "bt601")
            guess = type(raw)(smoother(raw.grid, raw.guide, frame.captured), raw.guide)
            guess.planes(frame.y, frame.color_range)
            end = time.process_time()
            plain, colour = plain + middle - begin, colour + end - middle
    return colour / plain


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default 10)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip)
        share = beside_network(clip)
        plain = measure(clip, "never", 1, seconds)
        one = measure(clip, "always", 1, seconds)
        many = measure(clip, "always", 50, seconds)
    bound = 1 / RATE + one["guess"]
    print(f"H.264 {WIDTH}x{HEIGHT} at {RATE}/s, MJPEG, one viewer; CPU time in cores")
    told = f"{one['rate']:.1f} frames and {one['guesses']:.1f} guesses a second"
    print(f"   without colour {plain['cores']:.2f}, with {one['cores']:.2f}: {told}")
    rows = [
        ("colorize beside the same without", one["cores"] / plain["cores"], None, "x"),
        ("colouring without the network, to decode + JPEG", share, 0.6, "x"),
        ("the whole with the network", one["cores"], 1.0, "cores"),
        (f"capture to viewer, median, to one frame interval + one inference ({1000 * bound:.0f} ms)", one["age"] / bound, 1.0, "x"),
        ("50 viewers more than 1", many["cores"] - one["cores"], 0.05, "cores"),
        ("resident memory with 50 viewers", many["rss"], 200.0, "MB"),
    ]
    for what, value, allowed, unit in rows:
        verdict = "   " if allowed is None else "ok " if value <= allowed else "NO "
        print(f"{verdict}{what}: {value:.2f} {unit}" + (f" (at most {allowed:g})" if allowed is not None else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
