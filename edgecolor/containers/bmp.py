"""The BMP header: size before decoding. The format has no place for metadata."""

from __future__ import annotations

import struct

from edgecolor.containers.header import Header, Metadata
from edgecolor.errors import PictureError

_UNCOMPRESSED = (0, 3, 6)  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS


def read(data: bytes) -> Header:
    """Size. Raises PictureError when the file is shorter than its headers say."""
    if len(data) < 26:
        raise PictureError("truncated: a BMP header is cut off")
    stated, offset, header_size = struct.unpack_from("<I4xII", data, 2)
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif header_size >= 40 and len(data) >= 54:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise PictureError("damaged: not a BMP header")
    height = abs(height)  # negative: rows run from top to bottom
    rows = (width * bits + 31) // 32 * 4 * height if compression in _UNCOMPRESSED else 0
    if width > 0 and max(stated, offset + rows) > len(data):
        raise PictureError("truncated: the BMP file is shorter than its header says")
    return Header("bmp", max(width, 0), height)


def embed(encoded: bytes, metadata: Metadata) -> bytes:
    """The picture as it is."""
    return encoded
