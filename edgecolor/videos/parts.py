"""A long film in parts, each colorized by itself (and elsewhere), and joined again packet by packet: nothing is encoded twice.

A part begins with a keyframe of the source, which encoders put where a scene begins. Its colours take two seconds before it into
account, and half a second after it, so that they also fit where the scene goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from edgecolor.errors import OutputError, VideoError
from edgecolor.videos.encoding import FIXED_RATE, encoding_of
from edgecolor.videos.muxers import Muxer, muxer_for
from edgecolor.videos.options import VideoOptions
from edgecolor.videos.output import Growing, output_error
from edgecolor.videos.reading import Reader, main_stream, open_input
from edgecolor.videos.timeline import Timeline
from edgecolor.videos.verdicts import has_gray
from edgecolor.videos.writing import Writer, part_offset

# It keeps any codec, and times by any clock.
PART_MUXER = Muxer("nut")
_SEEKABLE = ("matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2")
_JOINED = ("matroska", "webm", "mp4", "mov", "3gp")
_MOST_REORDERED = 16
UNFIT = "its coloured parts have different headings, and can not be joined"


@dataclass(frozen=True)
class Span:
    """The pictures of one part: times from ``start`` to before ``end`` in ticks of the source's stream; None: open at that side."""

    start: int | None
    end: int | None


def divide(source: Path, target: Path, options: VideoOptions, seconds: float) -> list[Span]:
    """Parts of about so many seconds; none when the film is shorter than two, in colour, or of a kind that can not be joined again,
    or when its times start anew on the way.

    Raises VideoError when it can not be read.
    """
    muxer = muxer_for(target)
    if muxer.name not in _JOINED or (options.codec or muxer.codec) in FIXED_RATE:
        return []
    with closing(open_input(source)) as container:
        stream = main_stream(container, source)
        whole = float(container.duration or 0) / 1_000_000
        if container.format.name not in _SEEKABLE or whole < 2 * seconds or stream.time_base is None:
            return []
        borders: list[int] = []
        last = None
        timeline = Timeline(stream.index)
        for packet in timeline.straighten(container.demux()):
            if timeline.restarts:  # one place in the file would have two times
                return []
            if packet.pts is None or packet.stream.index != stream.index:
                continue
            last = packet.pts if last is None else last
            if packet.is_keyframe and (packet.pts - last) * stream.time_base >= seconds:
                borders.append(packet.pts)
                last = packet.pts
    if not borders or not (options.force or has_gray(source)):
        return []
    return [Span(start, end) for start, end in zip([None, *borders], [*borders, None], strict=True)]


def join(source: Path, temporary: Path, target: Path, parts: Sequence[Path], options: VideoOptions, tool: str) -> tuple[str, ...]:
    """Write ``temporary``, of the target's format, from the source and its coloured parts.

    Returns warnings. Raises VideoError: the parts do not fit together, for example; OutputError.
    """
    with ExitStack() as stack:
        reader = Reader(source)
        stack.callback(reader.close)
        timing = [_times(part, reader.time_base) for part in parts]
        first = next(reader.pictures())
        file = stack.enter_context(Growing(temporary, "xb+"))
        writer = Writer(file, target, reader, tool=tool, leave_out=options.leave_out)
        stack.callback(writer.abandon)
        try:
            codec, encoding = encoding_of(source, target, first, options, fields=bool(first.interlaced_frame))
            writer.begin(codec, encoding, first)
            if len({heading for heading, _ in timing} | ({writer.heading} - {b""})) != 1:
                raise VideoError(f"{source}: {UNFIT}")
            coloured = _retimed(parts, [times for _, times in timing], reader.time_base)
            with closing(open_input(source)) as container:
                for packet in Timeline(reader.stream.index).straighten(container.demux()):
                    if packet.stream.index != reader.stream.index:
                        if packet.size:
                            writer.copy(packet)
                    elif (mine := next(coloured, None)) is not None:
                        writer.add(mine)
            for mine in coloured:
                writer.add(mine)
            writer.finish()
        except OSError as error:
            if file.failure is not None:
                raise output_error(target, file.failure) from error
            raise
    return tuple(writer.warnings)


def _times(part: Path, clock: Fraction) -> tuple[bytes, list[int]]:
    """The codec's heading and the times of all packets in ticks of ``clock``, in the order of decoding."""
    try:
        with av.open(str(part.absolute())) as container:
            stream = container.streams.video[0]
            heading = bytes(stream.codec_context.extradata or b"")
            return heading, [_ticks(packet, clock) for packet in container.demux(stream) if packet.pts is not None]
    except (av.FFmpegError, IndexError) as error:
        raise OutputError(f"{part}: a coloured part can not be read again ({error})") from error


def _retimed(parts: Sequence[Path], times: Sequence[list[int]], clock: Fraction) -> Iterator[Any]:
    """All packets with times of decoding that rise over the borders: the nth one's is the time of the (n-d)th picture shown."""
    shown = [time for part in times for time in sorted(part)]
    depth = max(_depth(part) for part in times)
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    number = 0
    for part in parts:
        with av.open(str(part.absolute())) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is None:
                    continue
                lasting = round((packet.duration or 0) * packet.time_base / clock)
                packet.pts, packet.duration = _ticks(packet, clock), lasting
                packet.dts = shown[number - depth] if number >= depth else shown[0] - (depth - number) * step
                packet.time_base = clock
                number += 1
                yield packet


def _ticks(packet: Any, clock: Fraction) -> int:
    ticks: int = round(packet.pts * packet.time_base / clock)
    return ticks - part_offset(clock)


def _depth(times: list[int]) -> int:
    """How many pictures a decoder must hold back at least."""
    shown = sorted(times)
    for depth in range(_MOST_REORDERED):
        if all(shown[number - depth] <= time for number, time in enumerate(times) if number >= depth):
            return depth
    raise VideoError("a coloured part has its pictures in too wild an order")
