"""The container of the result: the coloured stream, and everything else of the source as it is."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from edgecolor.errors import VideoError
from edgecolor.provenance import video_metadata
from edgecolor.videos.avi import count_by_packets
from edgecolor.videos.encoding import FIXED_RATE, FULL_RANGE, Encoding, quantize
from edgecolor.videos.muxers import Muxer, muxer_for
from edgecolor.videos.reading import Reader

_ISO = ("mp4", "mov", "3gp")
# Tags that describe the file that was, not the film; FFmpeg writes its own.
_TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate", "vendor_id"}
_STATISTICS = ("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "DURATION", "_STATISTICS")
# What the iTunes-style list of an MP4 has a place for; other keys need QuickTime's free ones.
_ILST = {
    "title", "artist", "album_artist", "composer", "album", "date", "encoding_tool", "comment", "genre", "copyright", "grouping",
    "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "creation_time", "track", "disc", "location",
    "location-eng", "compilation", "hd_video", "media_type", "gapless_playback", "season_number", "episode_sort", "year",
}  # fmt: skip
_LONGEST_PROVIDER = 255  # bytes
_MOST_NAMED = 8  # channels that have a usual order
# Containers that leave it to the codec to tell the range of luma, and codecs that do not.
_SILENT_MUXERS = ("avi", "mpeg", "vob", "mpegts", "mpeg2video", "asf", "flv")
_SILENT_CODECS = ("mpeg1video", "mpeg2video", "mpeg4", "ffv1", "utvideo", "huffyuv", "ffvhuff", "rawvideo")

# In a transport stream nothing comes before zero, and frames that wait for others need some time.
_EARLY_FRAMES = 4
_MPEG_2 = ("mpeg1video", "mpeg2video")
_LOW_DELAY = 1 << 19  # FFmpeg's AV_CODEC_FLAG_LOW_DELAY
_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION: packets last as long as their pictures do
_PART_OFFSET_S = 10
_OFF_BEAT = Fraction(1, 3)  # of a frame: a clock of milliseconds is no other rate


class Writer:
    """Writes the result: ``copy`` takes packets of other streams, ``encode`` pictures. The first picture must be seen before.

    muxer: of a part without other streams; None: the target's. kept: the streams that are copied. warnings: what can not be kept,
    with ``leave_out``; else VideoError is raised for it.
    """

    def __init__(
        self, file: Any, target: Path, reader: Reader, *, tool: str, leave_out: bool, muxer: Muxer | None = None
    ) -> None:
        self._file, self.target = file, target
        self.kept: list[str] = []
        self.warnings: list[str] = []
        self._reader, self._leave_out = reader, leave_out
        self._muxer = muxer or muxer_for(target)
        self._alone = muxer is not None
        source = reader.container
        tags = {key: value for key, value in source.metadata.items() if key.lower() not in _TECHNICAL}
        tags |= (marks := video_metadata(tool, source.metadata))
        options = dict(self._muxer.options)
        if self._muxer.name == "mpegts":  # whose only text is who provides the service
            tags["service_provider"] = marks["comment"].rpartition("\n")[2].encode()[:_LONGEST_PROVIDER].decode(errors="ignore")
        if self._muxer.name in _ISO:
            ours = {"DIGITAL_SOURCE_TYPE", "CREATOR_TOOL"}
            if not {key.lower() for key in tags if key not in ours} <= _ILST:
                options["movflags"] = "use_metadata_tags"
            else:
                tags = {key: value for key, value in tags.items() if key not in ours}
        self.container = av.open(file, "w", format=self._muxer.name, container_options=options, metadata_errors="surrogateescape")
        self.container.metadata.update(tags)
        self.container.set_chapters(source.chapters())
        self._stream: Any = None
        self._joined = False
        self._streams: dict[int, Any] = {}
        self._copied: Counter[int] = Counter()
        self._clock: Fraction = reader.time_base
        self._counted = False  # frames are numbered for the encoder, and get their times afterwards
        self._times: list[int] = []
        self._lasting = 0  # the last one of them
        self._lasts: Any = None  # the newest picture, where it must be known how long
        self._earliest = Fraction(0)  # in seconds; where all streams begin at once: when the first of them does in the source
        self._origin: Fraction | None = None
        self._last: int | None = None

    def begin(self, codec: str, encoding: Encoding, picture: Any, beside: Sequence[Any] = ()) -> None:
        """Add all streams, in the source's order, and open the encoder for pictures like this one, the first.

        beside: packets of other streams that come with it, and may begin before their stream says that it does.
        """
        for stream in self._reader.container.streams:
            if stream.index == self._reader.stream.index:
                self._add_main(codec, encoding, picture)
            elif not self._alone:
                self._add_copied(stream)
        try:
            self.container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and file_failed(error):
                raise
            what = f"{codec} {picture.width}x{picture.height} {encoding.form.name}"
            raise VideoError(f"{self._reader.path}: {self._muxer.name} with {what} is refused: {_text(error)}") from error
        if self._muxer.together:
            self._earliest = self._beginning(picture, beside)

    def _beginning(self, picture: Any, beside: Sequence[Any]) -> Fraction:
        """When the first of the picture and the sounds that are kept begins, in seconds."""
        reader = self._reader
        begun = [stream for stream in reader.container.streams.audio if stream.index in self._streams]
        heard = [packet.dts * packet.time_base for packet in beside if packet.stream in begun and packet.dts is not None]
        if reader.untimed:  # its first picture has the time at which a decoder lets go of it
            begun.append(reader.stream)
        starts = [stream.start_time * stream.time_base for stream in begun if stream.start_time is not None]
        earliest: Fraction = min([picture.pts * reader.time_base, *starts, *heard])
        return earliest

    def _add_main(self, codec: str, encoding: Encoding, picture: Any) -> None:
        reader, old = self._reader, self._reader.stream.codec_context
        rate = reader.rate.limit_denominator(1001)
        try:
            self._hold(av.Codec(codec, "w").canonical_name)
            stream = self._stream = self.container.add_stream(codec, rate=rate, options=encoding.options)
        except (av.FFmpegError, ValueError) as error:
            message = f"{self.target}: {self._muxer.name} can not hold {codec}; choose another codec, or a .mkv"
            raise VideoError(message) from error
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = picture.width, picture.height, encoding.form.name
        self._counted = codec in FIXED_RATE and not self._muxer.fixed
        if self._muxer.fixed or self._counted:
            self._clock = 1 / rate
        context.time_base = self._clock
        stream.time_base = reader.time_base if self._counted else self._clock
        context.framerate = rate
        if reader.stream.sample_aspect_ratio:
            context.sample_aspect_ratio = reader.stream.sample_aspect_ratio
        context.color_range = picture.color_range
        context.colorspace, context.color_primaries, context.color_trc = picture.colorspace, old.color_primaries, old.color_trc
        if old.field_order and encoding.fields:
            context.field_order = old.field_order
        early = self._muxer.name == "mpegts" and 0 <= picture.pts * reader.time_base < _EARLY_FRAMES / rate
        if encoding.reordering and (self._muxer.ordered or early):
            context.max_b_frames = 0
            if codec in _MPEG_2:  # else it is shown a frame late: its decoder waits for what may follow
                context.flags |= _LOW_DELAY
        if picture.color_range == FULL_RANGE and self._muxer.name in _SILENT_MUXERS and codec in _SILENT_CODECS:
            self._lost(f"{codec} in {self._muxer.name} can not say that luma has the full range")
        quantize(context, encoding)
        if picture.duration or self._muxer.gapless:
            context.flags |= _FRAME_DURATION
        matrix = display_matrix(picture)
        if matrix is not None and self._muxer.turns:
            stream.set_display_matrix(matrix)
        elif matrix is not None and not self._alone:
            turned = f"{picture.rotation} degrees{', mirrored' if matrix[0] * matrix[4] < matrix[1] * matrix[3] else ''}"
            self._lost(f"{self._muxer.name} can not hold the rotation of the picture for display ({turned})")
        self._tag(stream, reader.stream, coloured=True)

    @property
    def heading(self) -> bytes:
        """What the encoder says before its first packet."""
        return bytes(self._stream.codec_context.extradata or b"")

    def add(self, packet: Any) -> None:
        """In place of ``encode``: write a packet that an encoder of the same settings has made."""
        self._joined = True
        packet.stream = self._stream
        self._mux(packet)

    def _add_copied(self, old: Any) -> None:
        name = _name_of(old)
        if old.type == "data" and self._is_written_anew(old):
            return
        try:
            if old.codec_context is not None and self._reader.container.format.name != self._muxer.name:
                self._hold(old.codec_context.codec.canonical_name)
            if old.type == "video" and old.codec_context is not None:
                stream = self.container.add_stream_from_template(old, opaque=True)
            else:
                stream = self.container.add_stream_from_template(old)
            if old.type == "audio":
                _name_channels(stream.codec_context)
        except (av.FFmpegError, ValueError) as error:
            self._lost(f"{self._muxer.name} can not hold {name}: {_text(error)}")
            return
        self._tag(stream, old, coloured=False)
        self._streams[old.index] = stream
        self.kept.append(name)

    def _hold(self, codec: str) -> None:
        if self._muxer.holds and codec not in self._muxer.holds:
            raise ValueError(f"{self._muxer.name} has no name for {codec}")

    def _is_written_anew(self, old: Any) -> bool:
        """Whether the muxer makes this track of QuickTime's by itself, from chapters or from the tag "timecode"."""
        if not self._reader.container.format.name.startswith("mov"):
            return False
        return (old.name == "bin_data" and bool(self._reader.container.chapters())) or "timecode" in old.metadata

    def _lost(self, what: str) -> None:
        if not self._leave_out:
            raise VideoError(f"{self._reader.path}: {what}; write to a .mkv, or let it be left out")
        self.warnings.append(what)

    @staticmethod
    def _tag(stream: Any, old: Any, *, coloured: bool) -> None:
        tags = dict(old.metadata)
        if coloured:
            tags = {key: value for key, value in tags.items() if key.lower() not in _TECHNICAL and not key.upper().startswith(_STATISTICS)}
        stream.metadata.update(tags)
        if old.type != "attachment":
            stream.disposition = old.disposition

    def copy(self, packet: Any) -> None:
        """Write a packet of another stream of the source."""
        stream = self._streams.get(packet.stream.index)
        if stream is None or stream.type == "attachment":
            return
        if self._muxer.together:
            self._count_from_earliest(packet, first=not self._copied[stream.index])
        packet.stream = stream
        self._copied[stream.index] += 1
        self._mux(packet)

    def _count_from_earliest(self, packet: Any, *, first: bool) -> None:
        """Where all streams begin at once: sound whose first packet should come later than that is named."""
        ticks = round(self._earliest / packet.time_base)
        packet.pts, packet.dts = (None if time is None else time - ticks for time in (packet.pts, packet.dts))
        early = (packet.dts or 0) * packet.time_base
        if first and packet.stream.type == "audio" and early > self._clock / 2:  # pictures come no nearer to their times either
            name = _name_of(packet.stream)
            self._lost(f"{self._muxer.name} can not hold back {name}, which comes {1000 * float(early):.1f} ms too early")

    def encode(self, picture: Any) -> None:
        """Encode and write a picture, at its own time."""
        picture.pict_type = 0  # what it was in the source is nothing to the encoder
        if self._muxer.gapless:
            before, self._lasts = self._lasts, picture
            if before is not None:
                before.duration = picture.pts - before.pts
                self._each(before)
            return
        if self._alone:
            picture.pts += part_offset(self._reader.time_base)
        if self._muxer.fixed:
            self._to_fixed_rate(picture)
        elif self._counted:
            self._times.append(picture.pts)
            self._lasting = picture.duration
            picture.pts, picture.time_base, picture.duration = len(self._times) - 1, self._clock, 1
        self._each(picture)

    def _to_fixed_rate(self, picture: Any) -> None:
        time = picture.pts * self._reader.time_base - self._earliest
        if self._origin is None:
            self._origin = round(time / self._clock) * self._clock - time
            if self._origin:
                self.warnings.append(f"{self._muxer.name}: the picture comes {1000 * float(self._origin):+.1f} ms beside the sound")
        exact = (time + self._origin) / self._clock
        pts = round(exact)
        if self._last is None and self._muxer.ordered:
            self._wait(pts)
        if abs(exact - pts) > _OFF_BEAT or (self._last is not None and pts <= self._last):
            raise VideoError(
                f"{self._reader.path}: its frames come at times that {self._muxer.name} can not hold, at a fixed rate; write to a .mkv"
            )
        picture.pts, picture.time_base, self._last = pts, self._clock, pts
        picture.duration = 1

    def _wait(self, frames: int) -> None:
        """Packets without a picture, so that the first one keeps its distance to the sound: FFmpeg puts it at the very beginning."""
        for number in range(frames):
            packet = av.Packet(0)
            packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = self._stream, number, number, 1, self._clock
            self._mux(packet)

    def _each(self, picture: Any) -> None:
        try:
            packets = self._stream.encode(picture)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"{self._reader.path}: {self._stream.codec_context.name} failed: {_text(error)}") from error
        for packet in packets:
            if self._counted:
                self._retime(packet)
            self._mux(packet)

    def _retime(self, packet: Any) -> None:
        """From the number of a frame, which is all that the encoder was told, to its time."""
        step = max(1, round(self._clock / self._reader.time_base))

        def time(number: int) -> int:
            return self._times[number] if number >= 0 else self._times[0] + number * step

        last = packet.pts + 1 >= len(self._times)
        packet.duration = self._lasting or step if last else self._times[packet.pts + 1] - self._times[packet.pts]
        packet.pts, packet.dts = time(packet.pts), time(packet.dts)
        packet.time_base = self._reader.time_base

    def _mux(self, packet: Any) -> None:
        with self._put(f"a packet of stream {packet.stream.index} ({packet.stream.type})"):
            self.container.mux(packet)

    @contextmanager
    def _put(self, what: str) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and file_failed(error):
                raise
            raise VideoError(f"{self._reader.path}: {what} can not be put into {self._muxer.name}: {_text(error)}") from error

    def finish(self) -> None:
        """Write what the encoder still holds, and the end of the file."""
        if self._stream is None:
            return
        if self._lasts is not None:
            self._each(self._lasts)
        if not self._joined:
            self._each(None)
        with self._put("the end of the file"):
            self.container.close()
        if self._muxer.name == "avi":
            count_by_packets(self._file, self._copied)

    def abandon(self) -> None:
        """Let go of everything; what was written is of no use."""
        try:
            self.container.close()
        except (av.FFmpegError, OSError, ValueError):
            return


def part_offset(clock: Fraction) -> int:
    """What is added to the times of a part, in ticks: its container knows none before zero, and decoding begins before the picture."""
    return round(_PART_OFFSET_S / clock)


def _name_channels(sound: Any) -> None:
    """AVI and Matroska say how many channels there are, and MP4 must say which: give them the usual names for their number."""
    count = sound.layout.nb_channels
    if sound.layout.name == f"{count} channels" and count <= _MOST_NAMED:
        sound.layout = f"{count}c"  # so av_channel_layout_from_string wants it


def _name_of(stream: Any) -> str:
    return f"stream {stream.index} ({stream.type}{', ' + stream.language if stream.language else ''})"


def file_failed(error: OSError) -> bool:
    """Whether the system failed to write, rather than FFmpeg."""
    return not isinstance(error, av.FFmpegError)


def display_matrix(picture: Any) -> list[int] | None:
    """How the picture is turned and mirrored for display: nine numbers of ISO 14496-12, or None when it is not."""
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    return list(struct.unpack("=9i", bytes(data)[:36]))


def _text(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
