"""Video containers: times, and everything beside the picture, as they were."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edgecolor.errors import VideoError
from edgecolor.videos.job import Job
from edgecolor.videos.muxers import muxer_for
from tests.videos import (
    SIZE,
    colorize,
    decoded,
    gray_frames,
    is_green,
    nothing_left,
    times,
    write,
)


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
        ("a.ts", "mpeg2video", "yuv420p", "h264"),
        ("a.m2ts", "libx264", "yuv420p", "h264"),
        ("a.wmv", "wmv2", "yuv420p", "wmv2"),
        ("a.flv", "flv", "yuv420p", "h264"),
        ("a.mxf", "mpeg2video", "yuv420p", "h264"),
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


@pytest.mark.parametrize("written", ["mpeg4", "mjpeg", "mpeg2video"])
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_keeps_times_though_it_knows_but_the_order_of_decoding(tmp_path: Path, codec: str, written: str) -> None:
    source = write(tmp_path / "a.avi", gray_frames(12), codec=codec, time_base=Fraction(1, 25), options={"bf": "2"})
    known = [frame.dts for frame in decoded(source) if frame.dts is not None]
    assert known[0] == (1 if codec == "mpeg4" else 2) and len(known) >= 10
    colorize(source, tmp_path / "out.avi", codec=written)
    found = [frame.dts for frame in decoded(tmp_path / "out.avi")]
    assert found[: len(known)] == known and len(found) == 12 and np.all(np.diff(found) == 1)


def test_a_transport_stream_is_not_filled_with_what_it_has_no_name_for(tmp_path: Path) -> None:
    source = write(tmp_path / "a.ts", gray_frames(), codec="libx264")
    with pytest.raises(VideoError, match="mpegts can not hold mjpeg"):
        colorize(source, tmp_path / "out.ts", codec="mjpeg")
    source = rich(tmp_path / "a.mkv", audio="flac", rotation=0)
    with pytest.raises(VideoError, match=r"mpegts can not hold stream 1 \(audio, ger\)"):
        colorize(source, tmp_path / "out.ts")
    assert nothing_left(tmp_path, "a.ts", "a.mkv")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.webm", "a.ts"])
def test_uneven_times_are_kept(tmp_path: Path, name: str) -> None:
    pts = [0, 40, 47, 130, 131, 900, 901, 2500]
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    source = write(tmp_path / name, gray_frames(), codec=codec, pts=pts)
    colorize(source, tmp_path / f"out{source.suffix}")
    assert times(tmp_path / f"out{source.suffix}") == times(source)
    assert [round(1000 * float(t - times(source)[0])) for t in times(source)] == pts


def test_ogg_keeps_uneven_times_though_it_knows_but_ends_of_pictures(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(), pts=[0, 40, 120, 160, 200, 680, 720, 1200])
    report = colorize(source, tmp_path / "out.ogv")
    assert report.frames == 8 and times(tmp_path / "out.ogv")[1:] == times(source)[1:], "FFmpeg takes the first one for short"


def test_packets_without_content_are_no_damage(tmp_path: Path) -> None:
    """So Theora says that a picture is shown on."""
    source = tmp_path / "a.nut"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.color_range = SIZE[1], SIZE[0], "yuvj420p", 2
        for number, frame in enumerate(gray_frames()):
            frame.pts, frame.time_base = 2 * number, Fraction(1, 25)
            container.mux(stream.encode(frame))
            packet = av.Packet(0)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, 2 * number + 1, 2 * number + 1, Fraction(1, 25)
            container.mux(packet)
        container.mux(stream.encode())
    report = colorize(source, tmp_path / "out.mkv")
    assert report.damaged == 0 and report.warnings == () and report.frames == 8
    assert times(tmp_path / "out.mkv") == [Fraction(2 * number, 25) for number in range(8)]


def test_avi_can_not_hold_uneven_times_and_says_so(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(), pts=[0, 40, 47, 130, 131, 900, 901, 2500])
    with pytest.raises(VideoError, match=r"a\.mkv: its frames come at times that avi"):
        colorize(source, tmp_path / "out.avi")
    assert nothing_left(tmp_path, "a.mkv")


def rich(path: Path, video: str = "libx264", audio: str = "aac", subtitle: str = "", rotation: int = 90) -> Path:
    """A film with sound, perhaps subtitles, chapters, tags, rotation and pixels that are not square."""
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Öl", "artist": "A", "creation_time": "2001-02-03T04:05:06.000000Z", "comment": "old"})
        picture = container.add_stream(video, rate=25)
        picture.width, picture.height, picture.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        picture.codec_context.sample_aspect_ratio = Fraction(12, 11)
        picture.codec_context.color_range, picture.codec_context.colorspace = 1, 1
        picture.codec_context.color_primaries = picture.codec_context.color_trc = 1
        picture.metadata["language"] = "cze"
        picture.set_display_rotation(rotation)
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


def with_sound(
    path: Path, pictures_s: int, sound_s: int, words: str = "", codecs: tuple[str, str] = ("libx264", "aac"),
) -> Path:  # fmt: skip
    """A film of 5 pictures a second, or 25 in MPEG-2, two tracks of sound and perhaps a line of subtitles each second."""
    with av.open(str(path), "w") as container:
        rate = 25 if codecs[0] == "mpeg2video" else 5  # it knows few
        picture = container.add_stream(codecs[0], rate=rate, options={"tune": "zerolatency"} if codecs[0] == "libx264" else {})
        picture.width, picture.height, picture.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        sounds = [container.add_stream(codecs[1], rate=16000) for _ in range(2)]
        lines = container.add_mux_stream(words) if words else None
        container.start_encoding()
        shown = gray_frames(rate * pictures_s)
        for second in range(sound_s):
            for number, frame in enumerate(shown[rate * second : rate * (second + 1)]):
                frame.pts, frame.time_base = rate * second + number, Fraction(1, rate)
                container.mux(picture.encode(frame))
            for index, sound in enumerate(sounds):
                samples = np.sin(np.arange(16000 * second, 16000 * (second + 1)) / (20 + index)).astype(np.float32)[None]
                block = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = 16000, 16000 * second, Fraction(1, 16000)
                container.mux(sound.encode(block))
            if lines is not None:
                text = f"line {second}".encode()
                packet = av.Packet(len(text).to_bytes(2, "big") + text if words == "mov_text" else text)
                packet.stream, packet.time_base, packet.duration = lines, Fraction(1, 1000), 900
                packet.pts = packet.dts = 1000 * second
                container.mux(packet)
        for stream in (picture, *sounds):
            container.mux(stream.encode())
    return path


def all_packets(path: Path) -> dict[int, list[tuple[Fraction, bytes]]]:
    """Of each stream but the first one, which is the picture's: (time in seconds, content)."""
    found: dict[int, list[tuple[Fraction, bytes]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size and packet.stream.index:
                found.setdefault(packet.stream.index, []).append((packet.pts * packet.time_base, bytes(packet)))
    return found


@pytest.mark.parametrize(("name", "words"), [("a.mkv", "subrip"), ("a.mp4", "mov_text"), ("a.mov", ""), ("a.ts", ""), ("a.flv", "")])
def test_every_packet_of_every_other_stream_is_kept_to_the_end(tmp_path: Path, name: str, words: str) -> None:
    source, target = with_sound(tmp_path / name, 6, 6, words), tmp_path / f"out{Path(name).suffix}"
    colorize(source, target)
    found, want = all_packets(target), all_packets(source)
    assert found.keys() == want.keys() and len(want) == (3 if words else 2)
    assert min(len(found[index]) for index in (1, 2)) > 90 and (not words or len([p for p in found[3] if len(p[1]) > 2]) == 6)
    for index, packets_of in want.items():
        assert found[index] == packets_of


@pytest.mark.parametrize("pictures_s", [4, 20])
def test_packets_of_other_streams_are_handed_on_as_the_film_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures_s: int) -> None:
    """Also where sound goes on for long without a picture."""
    source = with_sound(tmp_path / "a.mkv", pictures_s, 20)
    waited = []
    set_aside = Job._set_aside

    def watch(job: Job, packet: av.Packet) -> None:
        set_aside(job, packet)
        waited.append(len(job.aside))

    monkeypatch.setattr(Job, "_set_aside", watch)
    colorize(source, tmp_path / "out.mkv")
    assert len(waited) > 600 and max(waited) <= 110
    assert all_packets(tmp_path / "out.mkv") == all_packets(source)


@pytest.mark.parametrize(("suffix", "target"), [(".ts", ".ts"), (".ts", ".mkv"), (".ts", ".mp4"), (".mkv", ".mkv"), (".mpg", ".mpg")])
def test_joined_films_go_on_where_their_times_start_anew_with_their_sound_in_step(tmp_path: Path, suffix: str, target: str) -> None:
    codecs = ("mpeg2video", "mp2") if suffix == ".mpg" else ("libx264", "aac")
    one = with_sound(tmp_path / f"one{suffix}", 3, 3, codecs=codecs)
    source = tmp_path / f"joined{suffix}"
    source.write_bytes(2 * one.read_bytes())
    report = colorize(source, tmp_path / f"out{target}")
    assert "start anew on the way (1 x)" in report.warnings[0] and not any("did not rise" in warning for warning in report.warnings)
    before = {index: [float(time) for time, _ in found] for index, found in all_packets(one).items()}
    pictures = [float(time) for time in times(one)]
    found = {index: [float(time) for time, _ in found] for index, found in all_packets(tmp_path / f"out{target}").items()}
    shown = [float(time) for time in times(tmp_path / f"out{target}")]
    count = len(pictures)
    assert len(shown) == 2 * count and shown[-1] - shown[0] == pytest.approx(6, abs=0.4)
    assert found.keys() == before.keys()
    for number in range(2):
        start = shown[count * number] - pictures[0]
        assert shown[count * number : count * (number + 1)] == pytest.approx([time + start for time in pictures], abs=0.002)
        for index, times_of in before.items():
            of_part = found[index][len(times_of) * number : len(times_of) * (number + 1)]
            assert of_part == pytest.approx([time + start for time in times_of], abs=0.002)


def test_what_the_container_can_not_hold_is_named(tmp_path: Path) -> None:
    source = with_words(tmp_path / "a.mkv")
    with pytest.raises(VideoError, match=r"a\.mkv: webm can not hold stream 1 \(subtitle, eng\)"):
        colorize(source, tmp_path / "out.webm")
    assert nothing_left(tmp_path, "a.mkv")
    report = colorize(source, tmp_path / "out.webm", leave_out=True)
    assert any("stream 1 (subtitle, eng)" in warning for warning in report.warnings)
    assert len(decoded(tmp_path / "out.webm")) == 8


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.3gp", "a.mkv", "a.webm", "a.avi", "a.ts", "a.mpg", "a.wmv", "a.flv", "a.ogv"])
def test_rotation_is_kept_or_named(tmp_path: Path, name: str) -> None:
    source, target = write(tmp_path / "source.mkv", gray_frames(3), rotation=90, time_base=Fraction(1, 25)), tmp_path / name
    keeps = muxer_for(target).turns
    if not keeps:
        with pytest.raises(VideoError, match=r"source\.mkv: \w+ can not hold the rotation of the picture for display \(90 degrees\)"):
            colorize(source, target)
        assert nothing_left(tmp_path, "source.mkv")
    report = colorize(source, target, leave_out=True)
    assert {frame.rotation for frame in decoded(target)} == {90 if keeps else 0}
    assert any("rotation" in warning for warning in report.warnings) == (not keeps)


def beginning(path: Path, shown: float, *heard: float, layout: str = "mono") -> Path:
    """A film of 8 pictures that begin at so many seconds, with tracks of uncompressed sound that begin then and then."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        found = []
        for number, frame in enumerate(gray_frames()):
            frame.pts, frame.time_base = number + round(25 * shown), Fraction(1, 25)
            found += picture.encode(frame)
        found += picture.encode()
        for start in heard:
            sound = container.add_stream("pcm_s16le", rate=16000, layout=layout)
            for number in range(4):
                samples = av.AudioFrame.from_ndarray(np.full((1, 1280 * sound.layout.nb_channels), number, np.int16), "s16", layout)
                samples.sample_rate, samples.pts, samples.time_base = 16000, round(16000 * start) + 1280 * number, Fraction(1, 16000)
                found += sound.encode(samples)
        for packet in sorted(found, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mxf"])
@pytest.mark.parametrize("start", [0.0, 1.0, 1000.0])
def test_where_all_streams_begin_at_once_the_film_begins_with_the_first_of_them(tmp_path: Path, suffix: str, start: float) -> None:
    source, target = beginning(tmp_path / "a.mkv", start), tmp_path / f"out{suffix}"
    if suffix == ".avi":
        source = beginning(tmp_path / "a.mkv", start + 0.2, start, start)
    assert not any("beside the sound" in warning for warning in colorize(source, target).warnings)
    with av.open(str(target)) as container:
        first = {packet.stream.index: float(packet.dts * packet.time_base) for packet in list(container.demux())[::-1] if packet.size}
    assert first == ({0: 0.2, 1: 0.0, 2: 0.0} if suffix == ".avi" else {0: 0.0})
    assert len(decoded(target)) == 8


def test_sound_that_can_not_be_held_back_is_named(tmp_path: Path) -> None:
    source = beginning(tmp_path / "a.mkv", 1, 1, 1.49)
    with pytest.raises(VideoError, match=r"a\.mkv: avi can not hold back stream 2 \(audio\), which comes 490\.0 ms too early; write to a"):
        colorize(source, tmp_path / "out.avi")
    assert nothing_left(tmp_path, "a.mkv")
    report = colorize(source, tmp_path / "out.avi", leave_out=True)
    assert report.warnings == ("avi can not hold back stream 2 (audio), which comes 490.0 ms too early",)
    assert not colorize(source, tmp_path / "out.mkv").warnings and all_packets(tmp_path / "out.mkv") == all_packets(source)


def test_sound_that_begins_before_its_stream_says_so_counts_too(tmp_path: Path) -> None:
    """AAC begins with samples that are for the decoder alone; in AVI they are heard."""
    source = rich(tmp_path / "a.mp4", rotation=0)
    assert packets(source, "audio")[0][0] == Fraction(-1024, 48_000)
    warnings = colorize(source, tmp_path / "out.avi").warnings
    assert warnings == ("avi: the picture comes +18.7 ms beside the sound",)  # the third of 40 ms would come 21.3 ms too early


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_channels_without_names_get_the_usual_ones_in_mp4(tmp_path: Path, suffix: str, layout: str) -> None:
    source = beginning(tmp_path / f"a{suffix}", 0, 0, layout=layout)
    report = colorize(source, tmp_path / "out.mp4")
    samples = [b"".join(content for _, content in all_packets(path)[1]) for path in (source, tmp_path / "out.mp4")]
    assert report.streams == ("stream 1 (audio)",) and samples[0] == samples[1]  # each demuxer makes packets of its own
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].layout.name == layout


def test_what_is_refused_at_the_end_of_the_file_is_named(tmp_path: Path) -> None:
    source = beginning(tmp_path / "a.mkv", 0, 0, layout="9C")  # no order of them is usual
    with pytest.raises(VideoError, match=r"a\.mkv: the end of the file can not be put into mp4: Invalid argument"):
        colorize(source, tmp_path / "out.mp4")
    assert nothing_left(tmp_path, "a.mkv")


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
def test_codecs_that_count_frames_keep_uneven_times_too(tmp_path: Path, codec: str) -> None:
    source = write(tmp_path / "a.mkv", gray_frames(), pts=[0, 40, 47, 130, 131, 900, 901, 2500])
    colorize(source, tmp_path / "out.mkv", codec=codec)
    assert times(tmp_path / "out.mkv") == times(source)


@pytest.mark.parametrize("audio", ["libmp3lame", "ac3"])
def test_sound_in_avi_keeps_its_length(tmp_path: Path, audio: str) -> None:
    source = rich(tmp_path / "a.avi", "mpeg4", audio)
    colorize(source, tmp_path / "out.avi", leave_out=True)
    assert packets(tmp_path / "out.avi", "audio") == packets(source, "audio") and len(packets(source, "audio")) > 8
    with av.open(str(source)) as old, av.open(str(tmp_path / "out.avi")) as new:
        assert new.streams.audio[0].frames == old.streams.audio[0].frames > 8
        assert new.streams.audio[0].duration == old.streams.audio[0].duration is not None


@pytest.mark.parametrize("options", [{"preset": "ultrafast"}, {"codec": "mpeg4"}])  # without frames that wait for others
def test_the_last_frame_lasts_as_long_as_it_did(tmp_path: Path, options: dict[str, object]) -> None:
    frames = gray_frames()
    for frame in frames:
        frame.duration = 40
    source = write(tmp_path / "a.mkv", frames, pts=[0, 40, 80, 200, 240, 280, 400, 500])
    colorize(source, tmp_path / "out.mp4", **options)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration == 540_000
