"""A hundred damaged videos in one run: what decodes is colorized, the rest is named, and nothing else happens."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from edgecolor.archive.manifest import Manifest
from tests.e2e.test_archive import parts
from tests.e2e.test_colorize import colorize, complaints, files
from tests.videos import gray_frames, write

SOURCES = {
    "h264.mp4": ("libx264", "yuv420p"), "h265.mov": ("libx265", "yuv420p"), "h264.mkv": ("libx264", "yuv420p"),
    "ffv1.mkv": ("ffv1", "gray"), "mpeg4.avi": ("mpeg4", "yuv420p"), "mjpeg.avi": ("mjpeg", "yuvj422p"),
    "mpeg2.ts": ("mpeg2video", "yuv420p"), "mpeg2.mpg": ("mpeg2video", "yuv420p"), "vp9.webm": ("libvpx-vp9", "yuv420p"),
    "camera.mjpeg": ("mjpeg", "yuvj420p"),
}  # fmt: skip
FRAMES = 16
Damage = Callable[[bytearray, np.random.Generator], bytes]


def cut(share: float) -> Damage:
    return lambda content, random: bytes(content[: int(len(content) * share)])


def flipped(bits: int) -> Damage:
    def flip(content: bytearray, random: np.random.Generator) -> bytes:
        for place in random.integers(0, 8 * len(content), bits):
            content[place // 8] ^= 1 << (place % 8)
        return bytes(content)

    return flip


def overwritten(start: float, length: int, *, noise: bool) -> Damage:
    def overwrite(content: bytearray, random: np.random.Generator) -> bytes:
        place = int(start * len(content))
        piece = content[place : place + length]
        content[place : place + length] = random.bytes(len(piece)) if noise else bytes(len(piece))
        return bytes(content)

    return overwrite


DAMAGES: dict[str, Damage] = {
    "cut-at-a-tenth": cut(0.1), "cut-in-the-middle": cut(0.5), "cut-near-the-end": cut(0.9),
    "one-bit": flipped(1), "ten-bits": flipped(10), "many-bits": flipped(200),
    "header-zero": overwritten(0, 64, noise=False), "header-noise": overwritten(0, 256, noise=True),
    "hole": overwritten(0.5, 512, noise=False), "noise": overwritten(0.4, 2048, noise=True),
}  # fmt: skip


def damaged(folder: Path) -> Path:
    """Each kind of damage done to each source, the same ones in every run."""
    (folder / "whole").mkdir(parents=True)
    (folder / "in").mkdir()
    for number, (name, (codec, pixel_format)) in enumerate(SOURCES.items()):
        frames = gray_frames(FRAMES, (96, 128), pixel_format)
        options = {"g": "4"} | ({"x265-params": "log-level=error"} if codec == "libx265" else {})
        whole = write(folder / "whole" / name, frames, codec=codec, time_base=Fraction(1, 25), options=options)
        for kind, (what, damage) in enumerate(DAMAGES.items()):
            random = np.random.default_rng((number, kind))
            (folder / "in" / f"{whole.stem}-{what}{whole.suffix}").write_bytes(damage(bytearray(whole.read_bytes()), random))
    return folder / "in"


def decodable(path: Path) -> int:
    """How many pictures of the first one's size come out of a file, whatever else goes wrong. 0 where it can not be opened."""
    sizes: list[tuple[int, int]] = []
    with contextlib.suppress(av.FFmpegError, ValueError, IndexError), av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError, AttributeError):
                sizes += [(picture.width, picture.height) for picture in stream.codec_context.decode(packet)]
    return sizes.count(sizes[0]) if sizes else 0


def test_a_hundred_damaged_videos(tmp_path: Path) -> None:
    archive, out = damaged(tmp_path), tmp_path / "out"
    assert len(files(archive)) == 100
    done = colorize(archive, "-o", out, "--jobs", "2", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and "Traceback" not in done.stderr and not parts(out)
    of_file = {Path(event["source"]).name: event for event in told if event["event"] == "file"}
    assert sorted(of_file) == files(archive) and len(of_file) == len([e for e in told if e["event"] == "file"])
    counts = Counter(str(event["result"]) for event in of_file.values())
    assert set(counts) <= {"colorized", "copied", "failed"} and counts["colorized"] >= 60 and counts["failed"] >= 10, counts
    assert counts["copied"] <= 5, "damage may look like colour, but seldom"
    said = complaints(done)
    for name, event in of_file.items():
        source, pictures = archive / name, decodable(archive / name)
        if event["result"] == "failed":
            assert not (out / name).exists() and str(event["error"]).startswith(f"{source}: ") and pictures == 0, event
            assert any(str(event["error"]) in line for line in said)
        elif event["result"] == "copied":
            assert (out / name).read_bytes() == source.read_bytes()
        else:
            assert decodable(out / name) == pictures > 0, event
            if "-cut-" in name and name.endswith((".mkv", ".webm")):  # whose header says how long they were
                assert any("could be read" in warning for warning in event["warnings"]), event
    assert sorted(record for record in files(out)) == sorted(name for name, event in of_file.items() if event["result"] != "failed")
    assert len(Manifest(out, writing=False)) == counts["colorized"] + counts["copied"]
