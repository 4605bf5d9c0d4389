"""WebP's RIFF chunks (RFC 9649): size, EXIF, ICC and XMP out of a file and into one."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from edgecolor.containers import exif, icc
from edgecolor.containers.header import Header, Metadata
from edgecolor.errors import PictureError

_ANIMATION, _XMP, _EXIF, _ALPHA, _ICC = 0x02, 0x04, 0x08, 0x10, 0x20  # flags of VP8X
_PIXELS = (b"VP8 ", b"VP8L", b"ALPH")


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk's body. Raises PictureError when one is cut off."""
    (size,) = struct.unpack_from("<I", data, 4) if len(data) >= 12 else (0,)
    if size + 8 > len(data):
        raise PictureError("truncated: the WebP file is shorter than its header says")
    at = 12
    while at + 8 <= size + 8:
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > len(data):
            raise PictureError("truncated: a WebP chunk is cut off")
        yield kind, at + 8, at + 8 + length
        at += 8 + length + length % 2


def _frame_size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Width and height of a VP8 key frame (RFC 6386, section 9.1) or of a lossless picture."""
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise PictureError("damaged: the WebP frame header is wrong")


def read(data: bytes) -> Header:
    """Size and metadata. Raises PictureError."""
    size: tuple[int, int] | None = None
    blob = profile = xmp = None
    for kind, start, end in chunks(data):
        if kind == b"VP8X" and end - start >= 10 and data[start] & _ANIMATION:
            raise PictureError("an animated WebP is not supported; save one of its frames as a picture")
        if kind in (b"VP8 ", b"VP8L") and size is None:
            size = _frame_size(kind, data[start : min(end, start + 10)])
        elif kind == b"EXIF":
            blob = data[start:end].removeprefix(b"Exif\0\0")
        elif kind == b"ICCP":
            profile = data[start:end]
        elif kind == b"XMP ":
            xmp = data[start:end]
    if size is None:
        raise PictureError("damaged: a WebP without a picture")
    blob, turned = exif.checked(blob)
    return Header("webp", *size, orientation=turned, metadata=Metadata(blob, icc.fitting(profile, gray=False), xmp))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def embed(encoded: bytes, metadata: Metadata) -> bytes:
    """Put metadata into a WebP; it becomes an extended one (VP8X first, EXIF and XMP last)."""
    if not (metadata.exif or metadata.icc or metadata.xmp):
        return encoded
    pixels, alpha, size = [], False, (0, 0)
    for kind, start, end in chunks(encoded):
        body = encoded[start:end]
        if kind in _PIXELS:
            pixels.append(_chunk(kind, body))
            alpha |= kind == b"ALPH" or (kind == b"VP8L" and bool(body[4] & 0x10))
            size = _frame_size(kind, body) if kind != b"ALPH" else size
    flags = _ICC * bool(metadata.icc) | _EXIF * bool(metadata.exif) | _XMP * bool(metadata.xmp) | _ALPHA * alpha
    canvas = b"".join((n - 1).to_bytes(3, "little") for n in size)
    parts = [b"WEBP", _chunk(b"VP8X", bytes([flags, 0, 0, 0]) + canvas)]
    parts += [_chunk(b"ICCP", metadata.icc)] if metadata.icc else []
    parts += pixels
    parts += [_chunk(b"EXIF", metadata.exif)] if metadata.exif else []
    parts += [_chunk(b"XMP ", metadata.xmp)] if metadata.xmp else []
    return b"RIFF" + struct.pack("<I", sum(map(len, parts))) + b"".join(parts)
