"""Video files in, coloured video files out: with every property that an archive has."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edgecolor.errors import ConfigError, DiskFullError, OutputError, VideoError
from edgecolor.videos import Span, VideoOptions, colorize_part, colorize_video, join_video
from edgecolor.videos.forms import form_of, luma_of, plane_of
from edgecolor.videos.job import Job
from edgecolor.videos.output import Growing
from edgecolor.videos.reading import Reader
from edgecolor.videos.verify import verify_luma
from tests.videos import (
    GREEN,
    SIZE,
    color_frames,
    colorize,
    decoded,
    filled_frame,
    gray_frames,
    is_green,
    luma,
    nothing_left,
    plain_frame,
    times,
    write,
)


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


def test_a_file_is_not_asked_anything_once_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg has freed the stream by then: what PyAV reads there is anything."""
    source = write(tmp_path / "a.mkv", gray_frames())
    close = Reader.close

    def closed(reader: Reader) -> None:
        close(reader)
        del reader.stream

    monkeypatch.setattr(Reader, "close", closed)
    assert colorize(source, tmp_path / "out.mkv").warnings == ()


def test_pictures_that_a_demuxer_passes_over_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(90), codec="libx264", options={"g": "10", "bf": "0"})
    assert colorize(source, tmp_path / "out.mkv").warnings == ()
    content = bytearray(source.read_bytes())
    place = len(content) // 2
    content[place : place + 600] = np.random.default_rng(0).bytes(600)
    source.write_bytes(content)
    report = colorize(source, tmp_path / "out.mkv")
    shown = [round(25 * time) for time in times(tmp_path / "out.mkv")]
    first = next(number for number in range(90) if number not in shown)
    missing = f"{90 - len(shown)} pictures are missing on the way, the first at {first / 25:.2f} s: damage, or a pause in the recording"
    assert report.damaged == 0 and report.warnings == (missing,) and len(shown) == report.frames < 86


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


def interlaced(path: Path, numbers: Sequence[int] = range(8)) -> Path:
    """numbers: of the pictures that it has, of 25 a second."""
    with av.open(str(path), "w") as container:
        codec = "mpeg4" if path.suffix == ".avi" else "mpeg2video"
        stream = container.add_stream(codec, rate=25, options={"flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.field_order = 2
        graph = av.filter.Graph()
        source = graph.add_buffer(width=64, height=48, format="yuv420p", time_base=Fraction(1, 25))
        fields, sink = graph.add("setfield", "tff"), graph.add("buffersink")
        source.link_to(fields)
        fields.link_to(sink)
        graph.configure()
        for number, frame in zip(numbers, gray_frames(len(numbers)), strict=True):
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


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_whole_pictures_made_of_fields_come_when_the_fields_did_and_last_as_long(tmp_path: Path, name: str) -> None:
    numbers = [0, 1, 2, 3, 7, 8, 9, 10] if name == "a.avi" else range(8)  # AVI has room for pictures that were left out
    source = interlaced(tmp_path / name, numbers)
    report = colorize(source, tmp_path / "out.mkv", deinterlace=True)
    assert report.warnings == () and report.seconds == pytest.approx((numbers[-1] + 1) / 25)
    assert not any(frame.interlaced_frame for frame in decoded(tmp_path / "out.mkv"))
    assert times(tmp_path / "out.mkv") == [Fraction(number, 25) for number in numbers]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert {packet.duration * packet.time_base for packet in container.demux(video=0) if packet.size} == {Fraction(1, 25)}


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


@pytest.mark.parametrize(("every", "guesses"), [(1, 50), (5, 10), (1000, 8)])
def test_it_guesses_as_often_as_asked_for_and_four_times_a_second_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, guesses: int
) -> None:
    still = filled_frame("yuv420p", luma(0), *[np.full((24, 32), 128, np.uint8)] * 2)
    source = write(tmp_path / "a.mkv", [still] * 50)
    asked = []
    monkeypatch.setattr(Job, "_ask", lambda job, *what, ask=Job._ask: (asked.append(what), ask(job, *what)))
    colorize(source, tmp_path / "out.mkv", every=every)
    assert len(asked) == pytest.approx(guesses, abs=1)


def test_a_label_is_burnt_in_when_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(size=(120, 320)))
    colorize(source, tmp_path / "out.mkv", codec="ffv1", label="bottom-left")
    for old, new in zip(decoded(source), decoded(tmp_path / "out.mkv"), strict=True):
        changed = luma_of(old) != luma_of(new)
        assert changed[100:, :100].any() and not changed[:60].any()


def labelled(path: Path, size: tuple[int, int], matrix: tuple[int, int, int, int] = (1, 0, 0, 1)) -> np.ndarray:
    """Luma of a flat gray film with a label. matrix: of its display, (a, b, c, d)."""
    a, b, c, d = (number << 16 for number in matrix)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        container.mux(stream.encode(plain_frame("yuv420p", np.full(size, 100, np.uint8))))
        container.mux(stream.encode())
    colorize(path, path.with_name(f"out-{path.name}"), codec="ffv1", label="bottom-left", force=True)
    (frame,) = decoded(path.with_name(f"out-{path.name}"))
    changed = luma_of(frame) != 100
    assert changed.any() and all((plane_of(frame, number)[changed[::2, ::2]] == 128).all() for number in (1, 2))
    return luma_of(frame).copy()


@pytest.mark.parametrize(
    "matrix", [(0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]
)
def test_a_label_is_upright_in_its_corner_where_display_turns_or_mirrors_the_picture(
    tmp_path: Path, matrix: tuple[int, int, int, int],
) -> None:  # fmt: skip
    stored = labelled(tmp_path / "a.mkv", (96, 160), matrix)
    a, b, c, d = matrix
    rows, columns = np.indices(stored.shape)
    across, down = a * columns + c * rows, b * columns + d * rows  # ISO 14496-12
    shown = np.zeros((stored.shape if a else stored.shape[::-1]), np.uint8)
    shown[down - down.min(), across - across.min()] = stored
    assert np.array_equal(shown, labelled(tmp_path / "b.mkv", shown.shape))


def test_gray_full_range_is_said(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(pixel_format="gray"))
    colorize(source, tmp_path / "out.mp4")
    assert {frame.color_range for frame in decoded(tmp_path / "out.mp4")} == {2}


def test_full_range_that_can_not_be_said_is_an_error(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(pixel_format="gray"), time_base=Fraction(1, 25))
    with pytest.raises(VideoError, match="mpeg4 in avi can not say that luma has the full range"):
        colorize(source, tmp_path / "out.avi", codec="mpeg4")
    assert colorize(source, tmp_path / "out.avi").codec == "mjpeg"


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


def test_a_file_made_by_somebody_meanwhile_is_left_alone_and_so_is_the_work(tmp_path: Path) -> None:
    name = f"{'n' * 250}.mkv"  # as long as a name can be
    source, target = write(tmp_path / "a.mkv", gray_frames()), tmp_path / "out" / name

    def progress(done: float, whole: float) -> None:
        target.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="made by somebody else meanwhile, and is left alone; the result is ") as failure:
        colorize_video(source, target, GREEN, VideoOptions(), progress, overwrite=False)
    kept = Path(str(failure.value).rpartition("the result is ")[2])
    assert target.read_bytes() == b"theirs" and len(decoded(kept)) == 8 and nothing_left(tmp_path / "out", name, kept.name)
    with pytest.raises(OutputError, match="exists already"):
        colorize_video(source, target, GREEN, VideoOptions(), overwrite=False)
    colorize_video(source, target, GREEN, VideoOptions(), progress)
    assert len(decoded(target)) == 8


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


def test_a_time_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path("2023-01-01T10:30:05.mkv")
    write(tmp_path / source, gray_frames(30), options={"g": "10"})
    assert colorize(source, Path("out:1.mkv"), codec="ffv1", verify_luma=True).luma_verified
    assert all(is_green(frame) for frame in decoded(tmp_path / "out:1.mkv"))
    colorize_part(source, Path("out.mkv"), Path("part:1"), Span(None, None), GREEN, VideoOptions())
    join_video(source, Path("out.mkv"), [Path("part:1")], VideoOptions(), "Tool 1")
    assert len(decoded(tmp_path / "out.mkv")) == 30


@pytest.mark.parametrize("tag", ["alpha_mode", "ALPHA_MODE"])  # programs and FFmpeg's releases differ
def test_transparency_beside_the_picture_is_refused_not_lost(tmp_path: Path, tag: str) -> None:
    """WebM keeps it outside of the stream, which then looks whole."""
    source = tmp_path / "a.webm"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.metadata[tag] = "1"
        for frame in gray_frames(3):
            container.mux(stream.encode(frame.reformat(format="yuva420p")))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match=r"a\.webm: its picture is transparent in places"):
        colorize(source, tmp_path / "out.webm")
    assert nothing_left(tmp_path, "a.webm")


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.mkv", True), ("a.avi", True), ("a.wmv", True), ("a.flv", True), ("a.mov", True), ("a.mpg", False), ("a.mxf", False),
        ("a.mjpeg", False),
    ],
)  # fmt: skip
def test_every_container_says_that_colours_are_guessed_or_a_warning_says_that_it_can_not(tmp_path: Path, name: str, said: bool) -> None:
    codec = {"a.mjpeg": "mjpeg", "a.mpg": "mpeg2video", "a.mxf": "mpeg2video"}.get(name, "mpeg4")
    frames = gray_frames(pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p", size=(120, 320))
    source = write(tmp_path / ("a.mkv" if name in ("a.wmv", "a.flv") else name), frames, codec=codec, time_base=Fraction(1, 25))
    target = tmp_path / f"out{Path(name).suffix}"
    report = colorize(source, target)
    with av.open(str(target)) as container:
        assert any("guessed by EdgeColor" in value for value in container.metadata.values()) == said
    assert any("no place to say that colours are guessed" in warning for warning in report.warnings) == (not said)
    assert not any("no place to say" in warning for warning in colorize(source, target, label="top-left").warnings)


def test_a_transport_stream_says_it_where_its_provider_stands(tmp_path: Path) -> None:
    source = write(tmp_path / "a.ts", gray_frames(), codec="libx264")
    assert not colorize(source, tmp_path / "out.ts").warnings
    assert b"The colours are guessed by EdgeColor" in (tmp_path / "out.ts").read_bytes()


def test_tool_and_existing_target(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(3))
    (tmp_path / "out.mkv").write_bytes(b"old")
    colorize_video(source, tmp_path / "out.mkv", GREEN, VideoOptions(), tool="Somebody 1")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["CREATOR_TOOL"] == "Somebody 1"
        assert "algorithmicallyEnhanced" in container.metadata["DIGITAL_SOURCE_TYPE"]
