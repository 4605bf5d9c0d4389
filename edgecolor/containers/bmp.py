"""The BMP header: size before decoding, and whether there is alpha. The format has no place for metadata.

Source: Microsoft's BITMAPINFOHEADER, BITMAPV4HEADER ([MS-WMF] 2.2.2.3, 2.2.2.4) and the compressions ([MS-WMF] 2.1.1.7).
"""

from __future__ import annotations

import struct

from edgecolor.containers.header import Header, Metadata
from edgecolor.errors import PictureError

_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
_UNCOMPRESSED = (0, _BITFIELDS, _ALPHA_BITFIELDS)  # 0: BI_RGB
_ALPHA_MASK = 66  # where it stands: behind those of red, green and blue, in the header or right after a short one


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
    masked = compression == _ALPHA_BITFIELDS or (compression == _BITFIELDS and header_size >= 56)
    # Of a shorter header the bits that no mask names are reserved, and no alpha, although OpenCV gives them out as that.
    alpha = masked and any(data[_ALPHA_MASK : _ALPHA_MASK + 4])
    return Header("bmp", max(width, 0), height, alpha="straight" if alpha else "none")


def embed(encoded: bytes, metadata: Metadata) -> bytes:
    """The picture as it is."""
    return encoded
