"""TIFF files (TIFF 6.0): size and metadata out of a file of one page, and metadata into one that OpenCV wrote."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

from edgecolor.containers import exif, icc
from edgecolor.containers.exif import Entry
from edgecolor.containers.header import Header, Metadata, sane_dpi
from edgecolor.errors import PictureError

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 262, 277, 284
_SUBFILE, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT, _XMP, _ICC = 254, 322, 323, 338, 339, 700, 34675
PIXELS = (273, 279), (324, 325)  # of strips, of tiles: offsets, byte counts
MIN_IS_WHITE, CMYK = 0, 5
_GRAY = (0, 1)  # white or black is 0
_READABLE = {*_GRAY, 2, 3, 5, 6}  # gray, RGB, palette, CMYK, YCbCr
_MOST_PAGES = 10_000


def read(data: bytes) -> Header:
    """Size and metadata. Raises PictureError: cut off, several pages, or a form that OpenCV would misread."""
    if data[2:4] in (b"+\0", b"\0+"):
        raise PictureError("BigTIFF is not supported; save it as a plain TIFF")
    try:
        order, start = exif.byte_order(data), exif.first_offset(data)
        found, following = exif.entries(data, start)
    except exif.ExifDamageError as error:
        raise PictureError("truncated or damaged: the TIFF's directory lies outside the file") from error

    def one(tag: int, default: int) -> int:
        values = exif.integers(found.get(tag), order)
        return values[0] if values else default

    _check_form(one, exif.integers(found.get(_BITS), order))
    width, height = one(_WIDTH, 0), one(_HEIGHT, 0)
    _check_pages(data, following, order)
    _check_pixels(data, found, order)
    if one(_TILE_WIDTH, 0) * one(_TILE_HEIGHT, 0) > max(4 * width * height, 1 << 22):
        raise PictureError("damaged: the TIFF's tiles are far larger than its picture")
    xmp, profile = found.get(_XMP), found.get(_ICC)
    tree = exif.directories(data)
    metadata = Metadata(
        exif=exif.standalone(tree) if tree else None,
        icc=icc.fitting(profile.value, gray=one(_PHOTOMETRIC, 1) in _GRAY) if profile else None,
        xmp=xmp.value if xmp else None,
        dpi=sane_dpi(*exif.resolution(found, order)),
    )
    return Header("tiff", width, height, exif.orientation_of(found, order), metadata, photometric=one(_PHOTOMETRIC, 1))


def _check_form(one: Callable[[int, int], int], bits: tuple[int, ...]) -> None:
    depth, samples, photometric = max(bits, default=1), one(_SAMPLES, 1), one(_PHOTOMETRIC, 1)
    if one(_SUBFILE, 0) & 1:
        raise PictureError("its first page is a preview, as in raw camera files; save it as a plain TIFF")
    if photometric not in _READABLE or one(_FORMAT, 1) != 1 or depth > 16:
        raise PictureError(
            f"a TIFF of photometric {photometric}, sample format {one(_FORMAT, 1)} and {depth} bits is not supported; "
            "save it as gray or RGB with 8 or 16 bits"
        )
    if samples == 2 or samples > 4 or (depth > 8 and (photometric == CMYK or (samples > 1 and one(_PLANAR, 1) == 2))):
        raise PictureError(
            f"a TIFF of {samples} samples a pixel with {depth} bits in this layout is not supported; "
            "save it as gray, RGB or RGBA, interleaved"
        )


def _check_pages(data: bytes, following: int, order: str) -> None:
    seen: set[int] = set()
    while following and following not in seen and len(seen) < _MOST_PAGES:
        seen.add(following)
        try:
            found, following = exif.entries(data, following)
        except exif.ExifDamageError:
            return
        kind = exif.integers(found.get(_SUBFILE), order) or (0,)
        if not kind[0] & 0b101:  # neither a preview nor a mask
            raise PictureError("a TIFF of several pages is not supported; split it into one file a page")


def _check_pixels(data: bytes, found: dict[int, Entry], order: str) -> None:
    for offsets_tag, counts_tag in PIXELS:
        offsets, counts = (exif.integers(found.get(tag), order) for tag in (offsets_tag, counts_tag))
        if offsets:
            if len(counts) != len(offsets) or any(o + c > len(data) for o, c in zip(offsets, counts, strict=True)):
                raise PictureError("truncated: the TIFF's pixels lie outside the file")
            return
    raise PictureError("damaged: a TIFF without pixels")


def plain(data: bytes) -> bytes:
    """The file with what OpenCV would act on neutralized: stored order of pixels, and alpha not multiplied in.

    Orientation becomes 1 (we apply it), and an extra sample is called premultiplied, so that it is left as it is.
    """
    order = exif.byte_order(data)
    found, _ = exif.entries(data, exif.first_offset(data))
    patched = bytearray(data)
    for tag in (exif.ORIENTATION, _EXTRA):
        entry = found.get(tag)
        if entry is not None and entry.count == 1 and len(entry.value) <= 4:  # of whatever type: libtiff takes them all
            struct.pack_into(order + "HIHH", patched, entry.place + 2, 3, 1, 1, 0)  # type, count and value: a SHORT
    return bytes(patched)


def embed(encoded: bytes, metadata: Metadata) -> bytes:
    """Put metadata into a little-endian TIFF of one page: its directory is laid anew at the end of the file."""
    found, _ = exif.entries(encoded, exif.first_offset(encoded))
    tree: exif.Directory = dict(found)
    if exif.integers(found.get(_SAMPLES), "<") == (4,):
        tree[_EXTRA] = Entry(3, 1, struct.pack("<H", 2))  # alpha that is not multiplied in
    if metadata.dpi:
        for tag, value in zip((282, 283), metadata.dpi, strict=True):
            tree[tag] = Entry(5, 1, struct.pack("<II", round(value * 1000), 1000))
        tree[296] = Entry(3, 1, struct.pack("<H", 2))
    if metadata.exif:
        with contextlib.suppress(exif.ExifDamageError):  # no directory in it after all: there is nothing to keep
            tree.update(exif.directories(metadata.exif))
    if metadata.icc:
        tree[_ICC] = Entry(7, len(metadata.icc), metadata.icc)
    if metadata.xmp:
        tree[_XMP] = Entry(1, len(metadata.xmp), metadata.xmp)
    at = len(encoded) + len(encoded) % 2
    return encoded[:4] + struct.pack("<I", at) + encoded[8:] + bytes(len(encoded) % 2) + exif.serialize(tree, at)
