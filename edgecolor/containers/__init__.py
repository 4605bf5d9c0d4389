"""Picture files as containers: size and metadata before a pixel is decoded, and metadata put into an encoded file.

Every module here walks bytes that may be hostile: each length is checked against what is there before it is used.
``inspect`` refuses what no decoder should see (truncated, animated, of several pages); the decoders see the rest.
"""

from __future__ import annotations

from edgecolor.containers import bmp, jpeg, png, tiff, webp
from edgecolor.containers.header import Header, Metadata
from edgecolor.errors import PictureError

SUFFIXES = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "webp": (".webp",),
    "tiff": (".tif", ".tiff"),
    "bmp": (".bmp", ".dib"),
}
FORMAT_OF_SUFFIX = {suffix: name for name, suffixes in SUFFIXES.items() for suffix in suffixes}
NOT_A_PICTURE = "not a picture in JPEG, PNG, WebP, TIFF or BMP format"
MAGIC_BYTES = 12  # as many as identify() needs

_READERS = {"jpeg": jpeg.read, "png": png.read, "webp": webp.read, "tiff": tiff.read, "bmp": bmp.read}
_WRITERS = {"jpeg": jpeg.embed, "png": png.embed, "webp": webp.embed, "tiff": tiff.embed, "bmp": bmp.embed}

__all__ = ["FORMAT_OF_SUFFIX", "MAGIC_BYTES", "NOT_A_PICTURE", "SUFFIXES", "Header", "Metadata", "embed", "identify", "inspect"]


def identify(start: bytes) -> str | None:
    """The format ("jpeg", "png", "webp", "tiff", "bmp") that a file's first MAGIC_BYTES bytes announce, or None."""
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(png.SIGNATURE):
        return "png"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    return "bmp" if start.startswith(b"BM") else None


def inspect(data: bytes) -> Header:
    """Format, size and metadata of an encoded picture, from its bytes alone; no pixel is decoded.

    Raises PictureError: empty, unknown, truncated, damaged, without pixels, animated, or of several pages.
    """
    if not data:
        raise PictureError("the file is empty")
    name = identify(data[:MAGIC_BYTES])
    if name is None:
        raise PictureError(NOT_A_PICTURE)
    header = _READERS[name](data)
    if header.width < 1 or header.height < 1:
        raise PictureError(f"damaged: its header says {header.width} x {header.height} pixels")
    return header


def embed(format_name: str, encoded: bytes, metadata: Metadata) -> bytes:
    """An encoded picture with metadata put in. ``encoded`` comes from our own encoders: it is taken to be sound.

    What a format has no place for (BMP: everything) is left out.
    """
    return _WRITERS[format_name](encoded, metadata)
