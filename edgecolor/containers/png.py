"""PNG chunks (ISO/IEC 15948, PNG third edition): size, EXIF, ICC and XMP out of a file and into one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from edgecolor.containers import exif, icc
from edgecolor.containers.header import Header, Metadata, sane_dpi
from edgecolor.errors import PictureError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_GRAY = (0, 4)  # colour types: without and with alpha
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_LARGEST_INFLATED = 8 << 20
_INCHES_A_METRE = 1 / 0.0254


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk, length and checksum included, up to IEND.

    A chunk of metadata whose checksum is wrong is left out. Raises PictureError when one of pixels is damaged.
    """
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise PictureError("truncated: the PNG ends before its last chunk")
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise PictureError("truncated: a PNG chunk is cut off")
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) == checksum:
            yield kind, at, end
        elif kind in _PIXELS or kind[:1].isupper():
            raise PictureError(f"damaged: the checksum of PNG chunk {kind.decode('ascii', 'replace')!r} is wrong")
        at = end


def read(data: bytes) -> Header:
    """Size and metadata. Raises PictureError."""
    size: tuple[int, int] | None = None
    blob = profile = xmp = None
    dpi: tuple[float, float] | None = None
    gray = False
    for kind, start, end in chunks(data):
        if size is None and (kind != b"IHDR" or end - start != 25):
            raise PictureError("damaged: a PNG without a header")
        body = b"" if kind == b"IDAT" else data[start + 8 : end - 4]
        if kind == b"IHDR":
            size, gray = struct.unpack_from(">II", body), body[9] in _GRAY
        elif kind == b"acTL":
            raise PictureError("an animated PNG is not supported; save one of its frames as a picture")
        elif kind == b"eXIf":
            blob = body
        elif kind == b"iCCP":
            profile = _inflate(body.partition(b"\0")[2][1:])
        elif kind == b"iTXt" and body.startswith(_XMP_KEYWORD + b"\0"):
            xmp = _international_text(body[len(_XMP_KEYWORD) + 1 :])
        elif kind == b"pHYs" and len(body) == 9 and body[8] == 1:
            x, y = struct.unpack_from(">II", body)
            dpi = sane_dpi(x / _INCHES_A_METRE, y / _INCHES_A_METRE)
    blob, turned = exif.checked(blob)
    if size is None:  # only an IEND
        raise PictureError("damaged: a PNG without a header")
    return Header("png", *size, orientation=turned, metadata=Metadata(blob, icc.fitting(profile, gray=gray), xmp, dpi))


def pixels_only(data: bytes) -> bytes:
    """The PNG without metadata: what the decoder needs and no more, so that it neither parses nor warns about the rest."""
    return SIGNATURE + b"".join(data[start:end] for kind, start, end in chunks(data) if kind in _PIXELS)


def transparent_gray(data: bytes) -> int | None:
    """The gray code that a gray PNG's tRNS chunk makes transparent, scaled to 8 bits (or 16), or None."""
    depth = color_type = 0
    for kind, start, _ in chunks(data):
        if kind == b"IHDR":
            depth, color_type = data[start + 16], data[start + 17]
        elif kind == b"tRNS" and color_type == 0:
            (key,) = struct.unpack_from(">H", data, start + 8)
            return key if depth == 16 else int(key) * 255 // ((1 << depth) - 1)
        elif kind == b"IDAT":
            break
    return None


def _inflate(packed: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, _LARGEST_INFLATED)
    except zlib.error:
        return None
    return plain if inflater.eof else None


def _international_text(body: bytes) -> bytes | None:
    compressed, rest = body[:1], body[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]
    return _inflate(text) if compressed == b"\1" else text


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def embed(encoded: bytes, metadata: Metadata) -> bytes:
    """Put metadata into a PNG that has none, right after its header."""
    parts = []
    if metadata.icc:
        parts.append(_chunk(b"iCCP", b"icc\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *(round(n * _INCHES_A_METRE) for n in metadata.dpi), 1)))
    if metadata.exif:
        parts.append(_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        parts.append(_chunk(b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    after_header = len(SIGNATURE) + 25
    return b"".join([encoded[:after_header], *parts, encoded[after_header:]])
