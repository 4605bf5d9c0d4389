"""TIFF files (TIFF 6.0): size and metadata out of a file of one page, and metadata into one that OpenCV wrote."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator

from edgecolor.containers import exif, icc
from edgecolor.containers.exif import Entry
from edgecolor.containers.header import Header, Metadata, sane_dpi
from edgecolor.errors import PictureError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL, _SAMPLES, _ROWS, _PLANAR = 256, 257, 258, 259, 262, 266, 277, 278, 284
_SUBFILE, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT, _XMP, _ICC = 254, 322, 323, 338, 339, 700, 34675
PIXELS = (273, 279), (324, 325)  # of strips, of tiles: offsets, byte counts
MIN_IS_WHITE, _RGB, CMYK, _YCBCR = 0, 2, 5, 6
_ASSOCIATED = 1
_DEFLATE = (8, 32946)
_OF_BYTES = (1, 5, 32773, *_DEFLATE)  # compressions that know bytes, not pixels: none, LZW, PackBits
_LONGEST_SIDE = 1 << 20  # that OpenCV takes
_GRAY = (0, 1)  # white or black is 0
_READABLE = {*_GRAY, _RGB, 3, CMYK, _YCBCR}  # 3: palette
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

    one = _number(found, order)
    _check_form(one, exif.integers(found.get(_BITS), order))
    width, height = one(_WIDTH, 0), one(_HEIGHT, 0)
    _check_pages(data, following, order)
    _check_pixels(data, found, order)
    if one(_TILE_WIDTH, 0) * one(_TILE_HEIGHT, 0) > max(4 * width * height, 1 << 22):
        raise PictureError("damaged: the TIFF's tiles are far larger than its picture")
    xmp, profile, photometric = found.get(_XMP), found.get(_ICC), one(_PHOTOMETRIC, 1)
    tree = exif.directories(data)
    metadata = Metadata(
        exif=exif.standalone(tree) if tree else None,
        icc=icc.fitting(profile.value, gray=photometric in _GRAY) if profile else None,
        xmp=xmp.value if xmp else None,
        dpi=sane_dpi(*exif.resolution(found, order)),
    )
    multiplied = photometric == _RGB and exif.integers(found.get(_EXTRA), order) == (_ASSOCIATED,)
    return Header(
        "tiff", width, height, exif.orientation_of(found, order), metadata, photometric=photometric,
        alpha="premultiplied" if multiplied else "straight",
    )  # fmt: skip


def _number(found: dict[int, Entry], order: str) -> Callable[[int, int], int]:
    """Of a tag and a default: the tag's only or first value."""
    return lambda tag, default: (exif.integers(found.get(tag), order) or (default,))[0]


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
    offsets, counts = _places(found, order)
    if not offsets:
        raise PictureError("damaged: a TIFF without pixels")
    if len(counts) != len(offsets) or any(o + c > len(data) for o, c in zip(offsets, counts, strict=True)):
        raise PictureError("truncated: the TIFF's pixels lie outside the file")


def _places(found: dict[int, Entry], order: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Offsets and byte counts of the strips, or else of the tiles."""
    for tags in PIXELS:
        offsets, counts = (exif.integers(found.get(tag), order) for tag in tags)
        if offsets:
            return offsets, counts
    return (), ()


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


def check_deflate(data: bytes) -> None:
    """Raises PictureError: a strip or tile that Deflate has packed does not end with the checksum of its bytes (RFC 1950).

    Decoders stop where they have all pixels, and do not see that.
    """
    order, found = exif.byte_order(data), exif.entries(data, exif.first_offset(data))[0]
    one = _number(found, order)
    if one(_COMPRESSION, 1) not in _DEFLATE:
        return
    bits = one(_WIDTH, 0) * one(_HEIGHT, 0) * one(_SAMPLES, 1) * one(_BITS, 1)
    room = bits // 2 + (1 << 20)  # bytes: four times the picture's, since tiles may reach beyond it
    for start, size in zip(*_places(found, order), strict=True):
        packed, unpacker = data[start : start + size], zlib.decompressobj()
        try:
            while packed and not unpacker.eof and room > 0:
                room -= len(unpacker.decompress(packed, 1 << 20))
                packed = unpacker.unconsumed_tail
        except zlib.error as error:
            raise PictureError(f"damaged: pixels of the TIFF can not be unpacked ({error})") from error
        if not unpacker.eof and room > 0:
            raise PictureError("damaged: packed pixels of the TIFF end too soon")


def paired(data: bytes) -> Iterator[bytes]:
    """Files, one for each plane, whose 16-bit samples are pairs of the picture's bytes; none where there is no such view.

    OpenCV has libtiff go on behind a damaged strip of 8 bits, which stays black, and refuses one of 16 bits; the decompression is
    the same. Of strips with an odd number of bytes in a row as many bytes as there are rows are not asked for, at their end.
    """
    order, found = exif.byte_order(data), exif.entries(data, exif.first_offset(data))[0]
    one = _number(found, order)
    depths, samples = set(exif.integers(found.get(_BITS), order)) or {1}, one(_SAMPLES, 1)
    if max(depths) > 8 or len(depths) > 1 or one(_PHOTOMETRIC, 1) == _YCBCR or one(_COMPRESSION, 1) not in _OF_BYTES:
        return
    planes = max(1, samples) if one(_PLANAR, 1) == 2 else 1
    width, height, tile_width, rows = one(_WIDTH, 0), one(_HEIGHT, 0), one(_TILE_WIDTH, 0), one(_TILE_HEIGHT, 0)
    tiled = tile_width > 0
    if not tiled:
        rows = min(one(_ROWS, height), height)
    pairs = -(-(tile_width or width) * max(depths) * (samples // planes) // 8) // 2
    across = -(-width // tile_width) if tiled else 1
    down = -(-height // max(1, rows))
    if not 0 < pairs * across <= _LONGEST_SIDE or not 0 < down * rows <= _LONGEST_SIDE:
        return
    numbers = {
        _WIDTH: pairs * across, _HEIGHT: down * rows if tiled else height, _BITS: 16, _COMPRESSION: one(_COMPRESSION, 1), _PHOTOMETRIC: 1,
        _FILL: one(_FILL, 1), _SAMPLES: 1, **({_TILE_WIDTH: pairs, _TILE_HEIGHT: rows} if tiled else {_ROWS: rows}),
    }  # fmt: skip
    at = len(data) + len(data) % 2
    for plane in range(planes):
        tree: exif.Directory = {tag: Entry(4, 1, struct.pack("<I", number)) for tag, number in numbers.items()}
        for tag, places in zip(PIXELS[tiled], _places(found, order), strict=True):
            mine = places[plane * across * down :][: across * down]
            tree[tag] = Entry(4, len(mine), struct.pack(f"<{len(mine)}I", *mine))
        yield b"II*\0" + struct.pack("<I", at) + data[8:] + bytes(len(data) % 2) + exif.serialize(tree, at)


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
