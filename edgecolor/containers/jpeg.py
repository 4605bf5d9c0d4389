"""JPEG segments (ITU-T T.81 annex B): size, EXIF, ICC and XMP out of a file and into one."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from edgecolor.containers import exif, icc
from edgecolor.containers.header import Header, Metadata, sane_dpi
from edgecolor.errors import PictureError

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ICC = b"ICC_PROFILE\0"
_LARGEST_BODY = 65533  # a segment's length field counts itself
# T.81 table B.1: SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share their range.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


def segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(marker, offset, body) of each segment up to the first scan. Raises PictureError when one is cut off."""
    at = 2
    while True:
        if at + 4 > len(data):
            raise PictureError("truncated: the file ends before its pixels")
        if data[at] != 0xFF:
            raise PictureError("damaged: a JPEG marker is missing")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _END:
            raise PictureError("damaged: a JPEG without pixels")
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers that stand alone
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or at + 2 + length > len(data):
            raise PictureError("truncated: a JPEG segment is cut off")
        yield marker, at, data[at + 4 : at + 2 + length]
        if marker == _SCAN:
            return
        at += 2 + length


def read(data: bytes) -> Header:
    """Size and metadata. Raises PictureError."""
    size: tuple[int, int] | None = None
    blob = xmp = None
    dpi: tuple[float, float] | None = None
    profile: dict[int, bytes] = {}
    adobe = gray = False
    for marker, _, body in segments(data):
        if marker in _FRAME_MARKERS:
            if len(body) < 6 or size is not None:
                raise PictureError("damaged: the JPEG frame header is cut off or there are two")
            if body[0] != 8:
                raise PictureError(f"a JPEG of {body[0]} bits a sample is not supported; save it with 8 bits, or as PNG or TIFF with 16")
            height, width = struct.unpack_from(">HH", body, 1)
            size, gray = (width, height), body[5] == 1
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            unit, x, y = struct.unpack_from(">BHH", body, 7)
            scale = {1: 1.0, 2: 2.54}.get(unit, 0.0)
            dpi = sane_dpi(x * scale, y * scale)
        elif marker == 0xE1 and body.startswith(_EXIF):
            blob = blob or body[len(_EXIF) :]
        elif marker == 0xE1 and body.startswith(_XMP):
            xmp = xmp or body[len(_XMP) :]
        elif marker == 0xE2 and body.startswith(_ICC) and len(body) > 14:
            profile[body[12]] = body[14:]
        elif marker == 0xEE and body.startswith(b"Adobe"):
            adobe = True
    if size is None:
        raise PictureError("damaged: a JPEG without a frame header")
    blob, turned = exif.checked(blob)
    fitting = icc.fitting(b"".join(profile[n] for n in sorted(profile)), gray=gray)
    return Header("jpeg", *size, orientation=turned, metadata=Metadata(blob, fitting, xmp, dpi), adobe=adobe)


def embed(encoded: bytes, metadata: Metadata) -> bytes:
    """Put metadata into a JPEG that has none but its JFIF segment. EXIF too large for one segment is left out."""
    parts: list[tuple[int, bytes]] = []
    if metadata.exif and len(metadata.exif) + len(_EXIF) <= _LARGEST_BODY:
        parts.append((0xE1, _EXIF + metadata.exif))
    if metadata.xmp and len(metadata.xmp) + len(_XMP) <= _LARGEST_BODY:
        parts.append((0xE1, _XMP + metadata.xmp))
    room = _LARGEST_BODY - len(_ICC) - 2
    pieces = [metadata.icc[n : n + room] for n in range(0, len(metadata.icc), room)] if metadata.icc else []
    if len(pieces) <= 255:
        parts += [(0xE2, _ICC + bytes([n, len(pieces)]) + piece) for n, piece in enumerate(pieces, 1)]
    block = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in parts)
    start, rest = bytearray(encoded[:2]), encoded[2:]
    marker, at, body = next(segments(encoded))
    if marker == 0xE0 and body.startswith(b"JFIF\0"):
        end = at + 4 + len(body)
        start, rest = bytearray(encoded[:end]), encoded[end:]
        if metadata.dpi:
            struct.pack_into(">BHH", start, at + 4 + 7, 1, *(round(n) for n in metadata.dpi))
    return bytes(start) + block + rest
