"""Headers of AVI files, as RIFF lists: what FFmpeg's muxer says of copied MPEG audio is set right."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

# Each packet is a chunk of its own, whose size varies: a stream "without sample size", in the words of the format.
_BY_PACKETS = (0x50, 0x55, 0x2000)  # wFormatTag of MP2, MP3, AC-3
_LARGEST_HEADER = 1 << 20
_LENGTH_AT, _SAMPLE_SIZE_AT = 32, 44  # in the data of "strh"


def count_by_packets(file: BinaryIO, packets: Mapping[int, int]) -> None:
    """Say of compressed sound that its length is counted in packets. packets: how many of each stream, by its place.

    FFmpeg takes the block size that it found in the source for a size of samples, and players then see a fraction of the length.
    file: a whole AVI file, open for reading and writing; one without that fault is left as it is.
    """
    file.seek(0)
    head = file.read(_LARGEST_HEADER)
    streams = (data for name, data in _chunks(head, 12) if name == b"LIST" and head[data.start : data.start + 4] == b"hdrl")
    header = next(streams, slice(0, 0))
    lists = [d for name, d in _chunks(head, header.start + 4, header.stop) if name == b"LIST" and head[d.start : d.start + 4] == b"strl"]
    for number, stream in enumerate(lists):
        parts = dict(_chunks(head, stream.start + 4, stream.stop))
        kind, form = parts.get(b"strh"), parts.get(b"strf")
        if kind is None or form is None or head[kind.start : kind.start + 4] != b"auds":
            continue
        if struct.unpack_from("<H", head, form.start)[0] in _BY_PACKETS and number in packets:
            for place, value in ((_LENGTH_AT, packets[number]), (_SAMPLE_SIZE_AT, 0)):
                file.seek(kind.start + place)
                file.write(struct.pack("<I", value))
    file.seek(0, 2)


def _chunks(data: bytes, start: int, stop: int | None = None) -> Iterator[tuple[bytes, slice]]:
    stop = len(data) if stop is None else min(stop, len(data))
    while start + 8 <= stop:
        name, size = struct.unpack_from("<4sI", data, start)
        yield name, slice(start + 8, start + 8 + size)
        start += 8 + size + size % 2
