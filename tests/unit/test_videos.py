"""Video files in, coloured video files out: with every property that an archive has."""

from __future__ import annotations

import errno
import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecolor.colorizer import Colorizer
from edgecolor.errors import ConfigError, DiskFullError, OutputError, VideoError
from edgecolor.videos import VideoOptions, VideoReport, colorize_video
from edgecolor.videos.forms import form_of, luma_of, plain, plane_of
from edgecolor.videos.output import Growing
from edgecolor.videos.verify import verify_luma
from tests.videos import filled_frame, write

SIZE = (48, 64)
RANDOM = np.random.default_rng(5)
PATTERN = np.asarray(np.kron(RANDOM.integers(30, 220, (12, 16)), np.ones((4, 4))), np.uint8)


class Green:
    """A network that guesses the same green everywhere."""

    size = (32, 32)

    def __call__(self, luma: NDArray[np.uint8], color_range: str) -> NDArray[np.float32]:
        return np.broadcast_to(np.float32([-30, 20]), (8, 8, 2)).copy()


GREEN = Colorizer(network=Green())  # type: ignore[arg-type]


def luma(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A pattern that moves to the right."""
    rows, columns = size
    tiled = np.tile(PATTERN, (rows // PATTERN.shape[0] + 1, columns // PATTERN.shape[1] + 1))
    return np.roll(tiled, number, axis=1)[:rows, :columns].copy()


def gray_frames(count: int = 8, size: tuple[int, int] = SIZE, pixel_format: str = "yuv420p", deep: int = 0) -> list[av.VideoFrame]:
    frames = []
    for number in range(count):
        frame = av.VideoFrame(size[1], size[0], pixel_format)
        for index, plane in enumerate(frame.planes):
            kind = np.uint16 if deep else np.uint8
            rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
            rows[:] = 128 << deep
            if index == 0:
                noise = RANDOM.integers(0, 1 << deep, size) if deep else 0
                rows[:, : size[1]] = (luma(number, size).astype(kind) << deep) + noise
        frames.append(frame)
    return frames


def color_frames(count: int = 8) -> list[av.VideoFrame]:
    cb = np.asarray(np.kron(RANDOM.integers(60, 200, (3, 4)), np.ones((8, 8))), np.uint8)
    return [filled_frame("yuv420p", luma(number), cb, cb[::-1].copy()) for number in range(count)]


def colorize(source: Path, target: Path, **options: object) -> VideoReport:
    return colorize_video(source, target, GREEN, VideoOptions(**options))  # type: ignore[arg-type]


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "SLICE"
        return [plain(frame) for frame in container.decode(container.streams.video[0])]


def times(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in decoded(path)]


def is_green(frame: av.VideoFrame) -> bool:
    form = form_of(frame.format.name)
    assert form is not None
    middle = 1 << (form.depth - 1)
    return bool(plane_of(frame, 1).mean() < middle * 0.97 and plane_of(frame, 2).mean() < middle * 0.97)


def nothing_left(folder: Path, *names: str) -> bool:
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "written"),
    [
        ("a.mp4", "libx264", "yuv420p", "h264"),
        ("a.mov", "mpeg4", "yuv420p", "h264"),
        ("a.mkv", "libx265", "yuv420p", "h264"),
        ("a.mkv", "ffv1", "gray", "h264"),
        ("a.mov", "prores_ks", "yuv422p10le", "h264"),
        ("a.avi", "mpeg4", "yuv420p", "mpeg4"),
        ("a.avi", "mjpeg", "yuvj422p", "mjpeg"),
        ("a.webm", "libvpx-vp9", "yuv420p", "vp9"),
        ("a.mkv", "libsvtav1", "yuv420p10le", "h264"),
        ("a.mpg", "mpeg2video", "yuv420p", "mpeg2video"),
        ("a.mjpeg", "mjpeg", "yuvj420p", "mjpeg"),
    ],
)
def test_each_format_keeps_frames_times_and_container(tmp_path: Path, name: str, codec: str, pixel_format: str, written: str) -> None:
    deep = 2 if "10" in pixel_format else 0
    frames = gray_frames(pixel_format=pixel_format, size=(96, 128), deep=deep)
    source = write(tmp_path / name, frames, codec=codec, time_base=Fraction(1, 25))
    report = colorize(source, tmp_path / f"out{source.suffix}")
    frames = decoded(tmp_path / f"out{source.suffix}")
    assert report.frames == len(frames) == 8 and report.colorized_scenes >= 1
    assert all(is_green(frame) for frame in frames)
    assert times(tmp_path / f"out{source.suffix}") == times(source)
    with av.open(str(source)) as old, av.open(str(tmp_path / f"out{source.suffix}")) as new:
        assert new.format.name == old.format.name
        assert new.streams.video[0].codec_context.codec.canonical_name == written
        assert new.streams.video[0].format.components[0].bits == old.streams.video[0].format.components[0].bits


@pytest.mark.parametrize(
    ("pixel_format", "size", "deep"),
    [
        ("yuv420p", SIZE, 0), ("yuv420p", (47, 63), 0), ("gray", (31, 33), 0), ("yuv422p", SIZE, 0), ("yuv444p", SIZE, 0),
        ("yuv420p10le", SIZE, 2), ("gray10le", (47, 63), 2), ("gray12le", SIZE, 4), ("gray16le", SIZE, 8), ("yuv422p10le", SIZE, 2),
    ],
)  # fmt: skip
def test_luma_is_proven_bit_by_bit(tmp_path: Path, pixel_format: str, size: tuple[int, int], deep: int) -> None:
    frames = gray_frames(pixel_format=pixel_format, size=size, deep=deep)
    want = [luma_of(frame).copy() for frame in frames]
    source = write(tmp_path / "a.mkv", frames)
    report = colorize(source, tmp_path / "out.mkv", codec="ffv1", verify_luma=True)
    assert report.luma_verified and report.codec == "ffv1"
    found = decoded(tmp_path / "out.mkv")
    assert all(np.array_equal(a, luma_of(b)) for a, b in zip(want, found, strict=True))
    assert all(is_green(frame) for frame in found)
    assert form_of(found[0].format.name).depth == form_of(pixel_format).depth  # type: ignore[union-attr]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_h264_is_lossless_with_crf_0(tmp_path: Path, pixel_format: str) -> None:
    source = write(tmp_path / "a.mp4", gray_frames(pixel_format=pixel_format, deep=2 if "10" in pixel_format else 0), codec="libx264")
    assert colorize(source, tmp_path / "out.mp4", crf=0, verify_luma=True).pixel_format == pixel_format
    assert verify_luma(source, tmp_path / "out.mp4") == 8


def test_verification_finds_one_wrong_code(tmp_path: Path) -> None:
    frames = gray_frames()
    source = write(tmp_path / "a.mkv", frames)
    np.frombuffer(frames[5].planes[0], np.uint8)[7] ^= 1
    other = write(tmp_path / "b.mkv", frames)
    with pytest.raises(VideoError, match="luma of frame 5"):
        verify_luma(source, other)
    shorter = write(tmp_path / "c.mkv", gray_frames()[:7])
    with pytest.raises(VideoError, match="fewer frames"):
        verify_luma(source, shorter)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.webm", "a.ts"])
def test_uneven_times_are_kept(tmp_path: Path, name: str) -> None:
    pts = [0, 40, 47, 130, 131, 900, 901, 2500]
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    source = write(tmp_path / name, gray_frames(), codec=codec, pts=pts)
    colorize(source, tmp_path / f"out{source.suffix}")
    assert times(tmp_path / f"out{source.suffix}") == times(source)
    assert [round(1000 * float(t - times(source)[0])) for t in times(source)] == pts


def test_avi_can_not_hold_uneven_times_and_says_so(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(), pts=[0, 40, 47, 130, 131, 900, 901, 2500])
    with pytest.raises(VideoError, match=r"a\.mkv: its frames come at times that avi"):
        colorize(source, tmp_path / "out.avi")
    assert nothing_left(tmp_path, "a.mkv")


def rich(path: Path, video: str = "libx264", audio: str = "aac", subtitle: str = "") -> Path:
    """A film with sound, perhaps subtitles, chapters, tags, rotation and pixels that are not square."""
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Öl", "artist": "A", "creation_time": "2001-02-03T04:05:06.000000Z", "comment": "old"})
        picture = container.add_stream(video, rate=25)
        picture.width, picture.height, picture.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        picture.codec_context.sample_aspect_ratio = Fraction(12, 11)
        picture.codec_context.color_range, picture.codec_context.colorspace = 1, 1
        picture.codec_context.color_primaries = picture.codec_context.color_trc = 1
        picture.metadata["language"] = "cze"
        picture.set_display_rotation(90)
        sound = container.add_stream(audio, rate=48000)
        sound.metadata["language"] = "ger"
        words = container.add_stream(subtitle) if subtitle else None
        if words is not None:
            words.codec_context.extradata = b"[Script Info]\n\n[Events]\n"
            words.metadata["language"] = "eng"
        container.set_chapters([
            {"id": 1, "start": 0, "end": 160, "time_base": Fraction(1, 1000), "metadata": {"title": "eins"}},
            {"id": 2, "start": 160, "end": 320, "time_base": Fraction(1, 1000), "metadata": {"title": "zwei"}},
        ])  # fmt: skip
        for number, frame in enumerate(gray_frames()):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        for start in range(0, 16 * 1024, 1024):
            samples = (8000 * np.sin(np.arange(start, start + 1024) / 20)).astype(np.float32)[None] / 32768
            block = av.AudioFrame.from_ndarray(np.repeat(samples, 2, 0), "fltp", "stereo")
            block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(block))
        container.mux(sound.encode())
    return path


def packets(path: Path, kind: str) -> list[tuple[object, ...]]:
    with av.open(str(path)) as container:
        stream = container.streams.get({kind: 0})[0]
        return [(p.pts * p.time_base, hashlib.sha256(bytes(p)).hexdigest()) for p in container.demux(stream) if p.size]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_everything_beside_the_picture_is_kept(tmp_path: Path, name: str) -> None:
    source, target = rich(tmp_path / name), tmp_path / f"out{Path(name).suffix}"
    report = colorize(source, target)
    assert any("audio, ger" in stream for stream in report.streams) and not report.warnings
    assert packets(target, "audio") == packets(source, "audio") and len(packets(source, "audio")) > 10
    with av.open(str(source)) as old, av.open(str(target)) as new:
        assert [c["metadata"] for c in new.chapters()] == [{"title": "eins"}, {"title": "zwei"}]
        assert [c["start"] * c["time_base"] for c in new.chapters()] == [c["start"] * c["time_base"] for c in old.chapters()]
        tags = {key.lower(): value for key, value in new.metadata.items()}
        assert tags["title"] == "Öl" and tags["artist"] == "A" and tags["comment"].startswith("old\nThe colours are guessed by EdgeColor")
        assert {k.lower(): v for k, v in old.metadata.items()}.get("creation_time") == tags.get("creation_time")
        if name != "a.mkv":
            assert tags["creation_time"].startswith("2001-02-03T04:05:06")
        a, b = old.streams.video[0], new.streams.video[0]
        assert b.language == a.language and a.language in ("cze", None) and new.streams.audio[0].language == "ger"
        assert b.sample_aspect_ratio == a.sample_aspect_ratio == Fraction(12, 11)
        for key in ("color_range", "colorspace", "color_primaries", "color_trc", "width", "height"):
            assert getattr(b.codec_context, key) == getattr(a.codec_context, key), key
        assert b.disposition == a.disposition
        assert next(new.decode(b)).rotation == next(old.decode(a)).rotation == 90
    assert times(target) == times(source)
    assert (b"DigitalSourceType" in target.read_bytes()) == (name == "a.mp4")


def with_words(path: Path) -> Path:
    """A film with subtitles and an attachment."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("ffv1", rate=25)
        picture.width, picture.height, picture.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        words = container.add_mux_stream("subrip")
        words.metadata["language"] = "eng"
        words.time_base = Fraction(1, 1000)
        container.add_attachment("note.txt", "text/plain", b"kept")
        for number, frame in enumerate(gray_frames()):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        packet = av.Packet(b"hello")
        packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = words, 100, 100, 150, Fraction(1, 1000)
        container.mux(packet)
    return path


def test_subtitles_and_attachments_are_kept(tmp_path: Path) -> None:
    source = with_words(tmp_path / "a.mkv")
    colorize(source, tmp_path / "out.mkv")
    assert packets(tmp_path / "out.mkv", "subtitles") == packets(source, "subtitles") != []
    with av.open(str(tmp_path / "out.mkv")) as new:
        assert new.streams.subtitles[0].language == "eng"
        assert [s.data for s in new.streams if s.type == "attachment"] == [b"kept"]


def test_what_the_container_can_not_hold_is_named(tmp_path: Path) -> None:
    source = with_words(tmp_path / "a.mkv")
    with pytest.raises(VideoError, match=r"a\.mkv: webm can not hold stream 1 \(subtitle, eng\)"):
        colorize(source, tmp_path / "out.webm")
    assert nothing_left(tmp_path, "a.mkv")
    report = colorize(source, tmp_path / "out.webm", leave_out=True)
    assert any("stream 1 (subtitle, eng)" in warning for warning in report.warnings)
    assert len(decoded(tmp_path / "out.webm")) == 8


@pytest.mark.parametrize("codec", ["ffv1", "libx264", "mpeg2video"])
def test_fields_stay_fields(tmp_path: Path, codec: str) -> None:
    source = interlaced(tmp_path / "a.mkv")
    assert all(frame.interlaced_frame for frame in decoded(source))
    options = {"crf": 0} if codec == "libx264" else {}
    colorize(source, tmp_path / "out.mkv", codec=codec, verify_luma=codec != "mpeg2video", **options)
    found = decoded(tmp_path / "out.mkv")
    assert all(frame.interlaced_frame and is_green(frame) for frame in found)
    with av.open(str(source)) as old, av.open(str(tmp_path / "out.mkv")) as new:
        assert order_of(new) == order_of(old) != 0


def order_of(container: object) -> int:
    stream = container.streams.video[0]  # type: ignore[attr-defined]
    next(container.decode(stream))  # type: ignore[attr-defined]
    return int(stream.codec_context.field_order)


def interlaced(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.field_order = 2
        graph = av.filter.Graph()
        source = graph.add_buffer(width=64, height=48, format="yuv420p", time_base=Fraction(1, 25))
        fields, sink = graph.add("setfield", "tff"), graph.add("buffersink")
        source.link_to(fields)
        fields.link_to(sink)
        graph.configure()
        for number, frame in enumerate(gray_frames()):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            graph.push(frame)
            container.mux(stream.encode(graph.pull()))
        container.mux(stream.encode())
    return path


def test_codecs_without_fields_are_refused_and_whole_pictures_made_when_asked_for(tmp_path: Path) -> None:
    source = interlaced(tmp_path / "a.mkv")
    with pytest.raises(VideoError, match="interlaced, and libx265 knows no fields"):
        colorize(source, tmp_path / "out.mkv", codec="libx265")
    colorize(source, tmp_path / "out.mkv", codec="libx265", deinterlace=True)
    found = decoded(tmp_path / "out.mkv")
    assert len(found) == 8 and not any(frame.interlaced_frame for frame in found)


def test_odd_sizes_are_kept_or_refused_never_cut(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(size=(97, 131)))
    report = colorize(source, tmp_path / "out.mp4")
    assert report.pixel_format == "yuv444p" and "yuv444p only" in report.warnings[0]
    assert {(frame.width, frame.height) for frame in decoded(tmp_path / "out.mp4")} == {(131, 97)}
    report = colorize(source, tmp_path / "out.webm")
    assert report.pixel_format == "yuv420p"
    assert {(frame.width, frame.height) for frame in decoded(tmp_path / "out.webm")} == {(131, 97)}
    with pytest.raises(VideoError, match="libsvtav1 can not hold 131x97"):
        colorize(source, tmp_path / "svt.mkv", codec="libsvtav1")


def test_depth_is_kept_or_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(pixel_format="gray12le", deep=4))
    with pytest.raises(VideoError, match="12 bits and libx264 takes 10"):
        colorize(source, tmp_path / "out.mkv")
    assert colorize(source, tmp_path / "out.mkv", codec="libx265", preset="ultrafast").pixel_format == "yuv420p12le"


def test_color_is_left_alone_unless_forced(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", color_frames(30))
    report = colorize(source, tmp_path / "out.mkv")
    assert (tmp_path / "out.mkv").read_bytes() == source.read_bytes()
    assert not report.colorized and report.codec == "copy"
    report = colorize(source, tmp_path / "forced.mkv", force=True)
    assert report.colorized and all(is_green(frame) for frame in decoded(tmp_path / "forced.mkv"))


def test_mixed_files_go_scene_by_scene(tmp_path: Path) -> None:
    gray = [filled_frame("yuv420p", 255 - luma(number)[::-1], *[np.full((24, 32), 128, np.uint8)] * 2) for number in range(30)]
    first, last = color_frames(30), color_frames(30)
    own = [plane_of(frame, 1).copy() for frame in first]
    source = write(tmp_path / "a.mkv", [*first, *gray, *last])
    report = colorize(source, tmp_path / "out.mkv", codec="ffv1", verify_luma=True)
    assert (report.scenes, report.colorized_scenes, report.left_scenes) == (3, 1, 2)
    found = decoded(tmp_path / "out.mkv")
    assert all(np.array_equal(a, plane_of(b, 1)) for a, b in zip(own, found[:30], strict=True))
    assert [is_green(frame) for frame in found[30:60]] == [True] * 30


def test_a_label_is_burnt_in_when_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(size=(120, 320)))
    colorize(source, tmp_path / "out.mkv", codec="ffv1", label="bottom-left")
    for old, new in zip(decoded(source), decoded(tmp_path / "out.mkv"), strict=True):
        changed = luma_of(old) != luma_of(new)
        assert changed[100:, :100].any() and not changed[:60].any()


def test_gray_full_range_is_said(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(pixel_format="gray"))
    colorize(source, tmp_path / "out.mp4")
    assert {frame.color_range for frame in decoded(tmp_path / "out.mp4")} == {2}


def test_full_range_that_can_not_be_said_is_an_error(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(pixel_format="gray"), time_base=Fraction(1, 25))
    with pytest.raises(VideoError, match="mpeg4 in avi can not say that luma has the full range"):
        colorize(source, tmp_path / "out.avi", codec="mpeg4")
    assert colorize(source, tmp_path / "out.avi").codec == "mjpeg"


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
def test_codecs_that_count_frames_keep_uneven_times_too(tmp_path: Path, codec: str) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(), pts=[0, 40, 47, 130, 131, 900, 901, 2500])
    colorize(source, tmp_path / "out.mkv", codec=codec)
    assert times(tmp_path / "out.mkv") == times(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "libx999"}, "no such encoder"),
        ({"codec": "aac"}, "does not encode video"),
        ({"verify_luma": True}, "lossy"),
        ({"verify_luma": True, "codec": "ffv1", "label": "top-left"}, "change luma"),
        ({"codec": "ffv1", "crf": 3}, "ffv1 has none"),
        ({"crf": 70}, "takes 0 to 51"),
        ({"codec": "ffv1", "preset": "fast"}, "ffv1 has none"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(2))
    with pytest.raises(ConfigError, match=message):
        colorize(source, tmp_path / "out.mkv", **options)
    assert nothing_left(tmp_path, "a.mkv")


def test_wrong_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(VideoError, match=r"a\.mp4: can not be opened"):
        colorize(tmp_path / "a.mp4", tmp_path / "out.mp4")
    with pytest.raises(VideoError, match=r"b\.mp4: can not be opened"):
        colorize(tmp_path / "b.mp4", tmp_path / "out.mp4")
    source = write(tmp_path / "c.mkv", gray_frames(2))
    with pytest.raises(OutputError, match="no video format is known"):
        colorize(source, tmp_path / "out.xyz")
    with pytest.raises(OutputError, match="is the source itself"):
        colorize(source, source)
    with pytest.raises(VideoError, match="mov can not hold ffv1"):
        colorize(source, tmp_path / "out.mov", codec="ffv1")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can not be written"):
        colorize(source, tmp_path / "file" / "out.mkv")
    assert nothing_left(tmp_path, "a.mp4", "c.mkv", "file")


def test_a_change_of_size_on_the_way_is_an_error(tmp_path: Path) -> None:
    sizes = [(48, 64), (96, 64)]
    both = [write(tmp_path / f"{n}.mjpeg", gray_frames(4, size), codec="mjpeg", color_range=2) for n, size in enumerate(sizes)]
    source = tmp_path / "a.mjpeg"
    source.write_bytes(b"".join(path.read_bytes() for path in both))
    with pytest.raises(VideoError, match="change from 64x48"):
        colorize(source, tmp_path / "out.mjpeg")
    assert not (tmp_path / "out.mjpeg").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_nothing_half_written_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(40))
    calls = []

    def progress(done: float, total: float) -> None:
        calls.append((done, total))
        if len(calls) == 10:
            raise error

    with pytest.raises(error):
        colorize_video(source, tmp_path / "out.mkv", GREEN, VideoOptions(), progress)
    assert nothing_left(tmp_path, "a.mkv")
    assert calls[-1] == (pytest.approx(0.36), pytest.approx(1.6, abs=0.05))


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_a_full_disk_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(60))
    written = 0

    def write_less(self: Growing, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 3000:
            self.failure = OSError(errno.ENOSPC, "No space left on device")
            raise self.failure
        return len(data)

    monkeypatch.setattr(Growing, "write", write_less)
    with pytest.raises(DiskFullError, match=rf"{name}: can not be written: No space left"):
        colorize(source, tmp_path / name)
    assert nothing_left(tmp_path, "a.mkv")


def test_tool_and_existing_target(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(3))
    (tmp_path / "out.mkv").write_bytes(b"old")
    colorize_video(source, tmp_path / "out.mkv", GREEN, VideoOptions(), tool="Somebody 1")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["CREATOR_TOOL"] == "Somebody 1"
        assert "algorithmicallyEnhanced" in container.metadata["DIGITAL_SOURCE_TYPE"]
