"""Films in parts: each coloured by itself, and joined without a trace."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edgecolor.errors import VideoError
from edgecolor.videos import Span, VideoOptions, colorize_part, divide, join_video
from edgecolor.videos.verify import verify_luma
from tests.unit.test_video_containers import packets, rich
from tests.videos import GREEN, color_frames, colorize, decoded, gray_frames, is_green, nothing_left, times, write

COUNT = 60


def film(path: Path, codec: str = "libx264", **options: object) -> Path:
    return write(path, gray_frames(COUNT, (96, 128)), codec=codec, time_base=Fraction(1, 25), options={"g": "10"}, **options)  # type: ignore[arg-type]


def with_sound(source: Path, target: Path) -> Path:
    """The same film with noise beside its pictures."""
    noise = np.random.default_rng(0).integers(-9999, 9999, (1, 48_000 * COUNT // 25)).astype(np.int16)
    with av.open(str(source)) as given, av.open(str(target), "w") as container:
        picture = container.add_stream_from_template(given.streams.video[0])
        sound = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        found = [packet for packet in given.demux(video=0) if packet.size]
        for number, packet in enumerate(found):
            packet.stream = picture
            container.mux(packet)
            samples = av.AudioFrame.from_ndarray(noise[:, 1920 * number : 1920 * (number + 1)], "s16", "mono")
            samples.sample_rate, samples.pts, samples.time_base = 48_000, 1920 * number, Fraction(1, 48_000)
            container.mux(sound.encode(samples))
    return target


def in_parts(source: Path, target: Path, **options: object) -> list[Path]:
    asked = VideoOptions(**options)  # type: ignore[arg-type]
    spans = divide(source, target, asked, 0.7)
    parts = [target.parent / f"part{number}" for number in range(len(spans))]
    reports = [colorize_part(source, target, part, span, GREEN, asked) for part, span in zip(parts, spans, strict=True)]
    assert sum(report.frames for report in reports) == len(decoded(source))
    join_video(source, target, parts, asked, "Tool 1")
    for part in parts:
        part.unlink()
    return parts


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_joined_films_have_every_picture_at_its_time(tmp_path: Path, name: str) -> None:
    source = film(tmp_path / name, "libvpx-vp9" if name == "a.webm" else "libx264")
    assert len(in_parts(source, tmp_path / f"out{source.suffix}")) == 3
    assert times(tmp_path / f"out{source.suffix}") == times(source)
    assert all(is_green(frame) for frame in decoded(tmp_path / f"out{source.suffix}"))
    assert nothing_left(tmp_path, name, f"out{source.suffix}")


def test_luma_is_proven_over_the_borders_also_at_uneven_times(tmp_path: Path) -> None:
    pts = list(np.cumsum(np.random.default_rng(1).integers(20, 70, COUNT)))
    source = write(tmp_path / "a.mkv", gray_frames(COUNT), codec="libx264", pts=[int(p) for p in pts], options={"g": "10", "bf": "3"})
    assert len(in_parts(source, tmp_path / "out.mkv", codec="ffv1", verify_luma=True)) == 3
    assert verify_luma(source, tmp_path / "out.mkv") == COUNT
    in_parts(source, tmp_path / "out.mp4", crf=0, verify_luma=True)
    assert [round(1000 * t) for t in times(tmp_path / "out.mp4")] == [round(1000 * t) for t in times(source)]


def test_joined_films_look_like_those_in_one_piece(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv")
    in_parts(source, tmp_path / "parts.mkv", codec="ffv1")
    colorize(source, tmp_path / "whole.mkv", codec="ffv1")
    for joined, whole in zip(decoded(tmp_path / "parts.mkv"), decoded(tmp_path / "whole.mkv"), strict=True):
        for number in range(3):
            a, b = (np.frombuffer(frame.planes[number], np.uint8).astype(int) for frame in (joined, whole))
            assert np.abs(a - b).max() <= 1


def test_everything_beside_the_picture_is_kept(tmp_path: Path) -> None:
    source = rich(tmp_path / "a.mp4")
    spans = [Span(None, 1 << 40)]  # rich films are short
    colorize_part(source, tmp_path / "out.mp4", tmp_path / "part", spans[0], GREEN, VideoOptions())
    assert join_video(source, tmp_path / "out.mp4", [tmp_path / "part"], VideoOptions(), "Tool 1") == ()
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio") and times(tmp_path / "out.mp4") == times(source)
    with av.open(str(source)) as old, av.open(str(tmp_path / "out.mp4")) as new:
        assert new.chapters() == old.chapters() and "guessed by Tool 1" in new.metadata["comment"]
        a, b = old.streams.video[0], new.streams.video[0]
        assert b.language == a.language and b.sample_aspect_ratio == a.sample_aspect_ratio and b.disposition == a.disposition
        for key in ("color_range", "colorspace", "color_primaries", "color_trc", "width", "height"):
            assert getattr(b.codec_context, key) == getattr(a.codec_context, key), key
        assert next(new.decode(b)).rotation == 90
    assert b"DigitalSourceType" in (tmp_path / "out.mp4").read_bytes()


def test_what_is_done_in_one_piece(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv")
    assert divide(source, tmp_path / "out.mkv", VideoOptions(), 2.0) == [], "short"
    assert divide(source, tmp_path / "out.ts", VideoOptions(), 0.7) == [] == divide(source, tmp_path / "out.avi", VideoOptions(), 0.7)
    assert divide(source, tmp_path / "out.mkv", VideoOptions(codec="mpeg4"), 0.7) == []
    coloured = write(tmp_path / "b.mkv", color_frames(COUNT), codec="libx264", time_base=Fraction(1, 25), options={"g": "10"})
    assert divide(coloured, tmp_path / "out.mkv", VideoOptions(), 0.7) == []
    assert len(divide(coloured, tmp_path / "out.mkv", VideoOptions(force=True), 0.7)) == 3
    joined = tmp_path / "joined.mkv"
    joined.write_bytes(2 * source.read_bytes())
    assert divide(joined, tmp_path / "out.mkv", VideoOptions(), 0.7) == [], "its times start anew"
    with av.open(str(with_sound(source, tmp_path / "sound.mkv"))) as container:
        packet = [bytes(packet) for packet in container.demux(audio=0) if packet.size][20]
    sound = bytearray((tmp_path / "sound.mkv").read_bytes())
    place = sound.index(packet) - 3
    sound[place : place + 2] = struct.pack(">h", struct.unpack_from(">h", sound, place)[0] + 2000)  # of a SimpleBlock, RFC 9559
    (tmp_path / "late.mkv").write_bytes(sound)
    assert len(divide(tmp_path / "sound.mkv", tmp_path / "out.mkv", VideoOptions(), 0.7)) == 3
    assert divide(tmp_path / "late.mkv", tmp_path / "out.mkv", VideoOptions(), 0.7) == [], "the times of its sound fall back"


def test_parts_of_two_kinds_are_not_joined(tmp_path: Path) -> None:
    source, target = film(tmp_path / "a.mkv"), tmp_path / "out.mkv"
    parts = []
    for number, span in enumerate(divide(source, target, VideoOptions(), 0.7)):
        options = VideoOptions(preset="ultrafast" if number else "medium")
        parts.append(tmp_path / f"part{number}")
        colorize_part(source, target, parts[-1], span, GREEN, options)
    with pytest.raises(VideoError, match="different headings"):
        join_video(source, target, parts, VideoOptions(), "Tool 1")
    assert not target.exists()
