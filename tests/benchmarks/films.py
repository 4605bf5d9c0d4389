"""Speed and memory of the video engine, as ratios within one run: python -m tests.benchmarks.films [--clip FILE]

The clip, made gray, is brought to 854x480 and to 1920x1080 at 25 frames a second, H.264. Times are of whole processes that do
nothing else: decoding and encoding alone, with the same library, codec and settings, and colorizing between the two; interleaved,
and the median of the rounds counts. Seconds of processor depend less on what else the machine does than those on the wall. Memory
is the peak of the process (ru_maxrss). Exit code 1 when a promise is broken. Not a test: a busy machine gives other figures.
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

import av

from edgecolor.assets import find_media

ROOT = Path(__file__).parent.parent.parent
RATE = 25
SIZES = {"480p": (854, 480), "1080p": (1920, 1080)}
PROMISED_SPEED, PROMISED_RATIO, PROMISED_MB = 4.0, 1.5, 350.0
# Decode and encode as the engine does: one thread reads, another one encodes.
PLAIN = """
import sys
from pathlib import Path
from functools import partial
from edgecolor.videos.behind import Behind
from edgecolor.videos.encoding import encoding_for
from edgecolor.videos.forms import form_of
from edgecolor.videos.options import VideoOptions
from edgecolor.videos.output import Growing
from edgecolor.videos.reading import Reader
from edgecolor.videos.writing import Writer
source, target = map(Path, sys.argv[1:3])
reader, writer, behind = Reader(source), None, Behind()
file = Growing(target, "xb+")
for picture in reader.pictures():
    if writer is None:
        form, options = form_of(picture.format.name), VideoOptions(preset=sys.argv[3])
        encoding = encoding_for("libx264", form, (picture.width, picture.height), options, fields=False)
        writer = Writer(file, target, reader, tool="", leave_out=False)
        writer.begin("libx264", encoding, picture)
    behind.do(partial(writer.encode, picture))
behind.finish()
writer.finish()
"""


def write_clip(source: Path, path: Path, size: tuple[int, int], frames: int) -> None:
    """So many gray frames of a clip, played again from its beginning where it is too short."""
    width, height = size
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        count = 0
        while count < frames:
            with av.open(str(source)) as clip:
                for picture in clip.decode(video=0):
                    if count == frames:
                        break
                    gray = picture.reformat(width=width, height=height, format="gray", dst_color_range=1).reformat(format="yuv420p")
                    gray.pts, gray.time_base, gray.pict_type = count, Fraction(1, RATE), 0
                    output.mux(stream.encode(gray))
                    count += 1
        output.mux(stream.encode())


def measured(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds on the wall, seconds of processor, and peak megabytes, of a Python process."""
    started = time.perf_counter()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}  # as users have it
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if process_code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{arguments} ended with {process_code}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, default=find_media("demo.mp4"), help="which is looped (default: the bundled one)")
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--preset", default="", help="of the encoder, in all runs (default: the engine's)")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    broken = False
    print(f"{os.cpu_count()} processors, {os.getloadavg()[0]:.1f} processes at work before the run; {arguments.frames} frames")
    heads = ["video", "what", "wall, to decode + encode", "processor, to decode + encode", "times real time",
             "the same, were two processors free and both busy", "peak MB"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sizes:
            size = SIZES[name]
            clip, target = Path(folder) / f"{name}.mp4", Path(folder) / "out.mp4"
            write_clip(arguments.clip, clip, size, arguments.frames)
            preset = ["--preset", arguments.preset] if arguments.preset else []
            colorize = ["-m", "edgecolor", "colorize", str(clip), "-o", str(target), "--codec", "libx264", *preset]
            runs = {
                "decode + encode": ["-c", PLAIN, str(clip), str(target), arguments.preset],
                "colorize, a guess every 4th frame": [*colorize, "--every", "4"],
                "colorize, a guess every frame": [*colorize, "--every", "1"],
            }
            results: dict[str, list[tuple[float, float, float]]] = {what: [] for what in runs}
            for _ in range(arguments.rounds):
                for what, command in runs.items():
                    target.unlink(missing_ok=True)
                    results[what].append(measured(command))
            base = [statistics.median(run[n] for run in results["decode + encode"]) for n in (0, 1)]
            for what, found in results.items():
                wall, processor = (statistics.median(run[n] for run in found) for n in (0, 1))
                peak = max(run[2] for run in found)
                speed, ideal = arguments.frames / RATE / wall, arguments.frames / RATE / (processor / 2)
                cells = f"{wall / base[0]:.2f} | {processor / base[1]:.2f} | {speed:.1f} | {ideal:.1f} | {peak:.0f}"
                print(f"| {name} | {what} | {cells} |", flush=True)
                if "4th" in what:
                    broken |= wall / base[0] > PROMISED_RATIO or (name == "480p" and speed < PROMISED_SPEED)
                    broken |= name == "1080p" and peak > PROMISED_MB
    print(f"promised: at most {PROMISED_RATIO} of decode + encode, {PROMISED_SPEED:g} times real time at 480p, {PROMISED_MB:g} MB at 1080p")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
