"""TIFF stacks: files of several pages, as microscopes and scanners write them. Colour comes beside the data, never instead of it.

The output begins with the input's own bytes, of which only the link of the last page changes: it leads on to the colour pages,
one for each gray page, in the same order. Source: TIFF 6.0 (2-1 directories, 14 the predictor), Adobe's Deflate compression (8).
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecolor.colorizer import Colorizer
from edgecolor.containers import exif, identify
from edgecolor.containers.tiff import PIXELS
from edgecolor.errors import PictureError
from edgecolor.monochrome import is_monochrome
from edgecolor.pictures import paint
from edgecolor.provenance import creator_tool, mark
from edgecolor.sources.images import MAX_MEGAPIXELS, decode_picture

_SUBFILE, _PREVIEW_OR_MASK = 254, 0b101
_POINTERS = (exif.EXIF_POINTER, exif.GPS_POINTER)
_OLD_JPEG = 513  # points to pixels that no strip holds (TIFF 6.0, 22)
_MOST_PAGES = 10_000
_LARGEST = (1 << 32) - 1  # offsets have 32 bits
_STRIP_BYTES = 1 << 20
_ASCII, _SHORT, _LONG, _BYTE = 2, 3, 4, 1


def stack_pages(data: bytes) -> list[int]:
    """Offsets of the pages of a TIFF, previews and masks left out; [] when it is no TIFF or its first page is damaged.

    Raises PictureError: more pages than are handled.
    """
    return [offset for offset, kind, _ in _chain(data) if not kind & _PREVIEW_OR_MASK]


def colorize_stack(
    data: bytes, colorizer: Colorizer, *, force: bool = False, max_megapixels: float = MAX_MEGAPIXELS
) -> bytes | None:
    """The stack with a colour page, RGB with the page's own depth, for each gray page; None when all pages are in colour.

    force: for pages in colour too, from their luma. Raises PictureError: a page that can not be decoded, which is named, or
    a result beyond TIFF's 4 GiB.
    """
    chain = list(_chain(data))
    order = exif.byte_order(data)
    stack = bytearray(data)
    link = chain[-1][2]
    tool = creator_tool(getattr(colorizer.network, "model", None))
    added = 0
    for number, offset in enumerate(stack_pages(data), 1):
        try:
            page = decode_picture(_alone(data, offset, order), max_megapixels)
        except PictureError as error:
            raise PictureError(f"page {number}: {error}") from error
        if not force and not is_monochrome(page.sample):
            continue
        pixels = np.empty((*page.luma.shape, 3), page.luma.dtype)
        paint(page.luma, colorizer.guess(page.luma), pixels)
        link = _append(stack, link, pixels, order, f"Colours of page {number}, guessed by {tool}; not measured data", mark(None, tool))
        added += 1
    return bytes(stack) if added else None


def _chain(data: bytes) -> list[tuple[int, int, int]]:
    """(offset, kind of subfile, where the link to the next stands) of each directory that can be read.

    Raises PictureError: there are more than are handled.
    """
    if identify(data[:12]) != "tiff" or data[2:4] in (b"+\0", b"\0+"):
        return []
    found: list[tuple[int, int, int]] = []
    try:
        order, offset = exif.byte_order(data), exif.first_offset(data)
        seen: set[int] = set()
        while offset and offset not in seen:
            if len(found) == _MOST_PAGES:
                raise PictureError(f"a TIFF of more than {_MOST_PAGES:,} pages is not supported; split it")
            seen.add(offset)
            entries, following = exif.entries(data, offset)
            kind = exif.integers(entries.get(_SUBFILE), order) or (0,)
            (count,) = struct.unpack_from(order + "H", data, offset)
            found.append((offset, kind[0], offset + 2 + 12 * count))
            offset = following
    except exif.ExifDamageError:
        pass
    return found


def _alone(data: bytes, offset: int, order: str) -> bytes:
    """A file with this page for its only one: its directory, and its pixels alone, lest a stack be copied as often as it has pages."""
    found, _ = exif.entries(data, offset)
    values = {tag: (entry.kind, entry.count, entry.value) for tag, entry in found.items() if tag not in _POINTERS}
    pixels = bytearray()
    for places_tag, sizes_tag in PIXELS:
        places, sizes = (exif.integers(found.get(tag), order) for tag in (places_tag, sizes_tag))
        if sum(sizes) > len(data) or _OLD_JPEG in found:
            return _first(data, offset, order)
        moved = []
        for place, size in zip(places, sizes, strict=False):
            moved.append(8 + len(pixels) if place + size <= len(data) else _LARGEST)  # what lies outside the one lies outside the other
            pixels += data[place : place + size]
        if moved:
            values[places_tag] = (_LONG, len(moved), struct.pack(f"{order}{len(moved)}I", *moved))
    pixels += bytes(len(pixels) % 2)
    at = 8 + len(pixels)
    return data[:4] + struct.pack(order + "I", at) + pixels + _directory(values, at, order)


def _first(data: bytes, offset: int, order: str) -> bytes:
    """The whole file with this page for its only one, for pages whose pixels can not be taken out."""
    single = bytearray(data)
    struct.pack_into(order + "I", single, 4, offset)
    (count,) = struct.unpack_from(order + "H", data, offset)
    single[offset + 2 + 12 * count : offset + 6 + 12 * count] = bytes(4)
    return bytes(single)


def _append(stack: bytearray, link: int, pixels: NDArray[Any], order: str, description: str, xmp: bytes) -> int:
    """Put a page of RGB pixels (H, W, 3) at the end and link to it; returns where its own link stands."""
    height, width = pixels.shape[:2]
    rows = max(1, _STRIP_BYTES // (pixels.itemsize * 3 * width))
    offsets, counts = [], []
    for start in range(0, height, rows):
        part = pixels[start : start + rows]
        part = np.concatenate([part[:, :1], part[:, 1:] - part[:, :-1]], axis=1)  # differences, modulo the codes: the predictor
        strip = zlib.compress(part.astype(part.dtype.newbyteorder("<" if order == "<" else ">")).tobytes())
        stack += bytes(len(stack) % 2)
        offsets.append(len(stack))
        counts.append(len(strip))
        stack += strip
    stack += bytes(len(stack) % 2)
    at, text = len(stack), description.encode("ascii", "replace") + b"\0"
    if at + 8 * len(offsets) + len(text) + len(xmp) + 1024 > _LARGEST:
        raise PictureError("with its colours the stack has more than the 4 GiB that a TIFF can have; split it")
    bits = 8 * pixels.itemsize
    numbers = {
        254: (_LONG, [0]), 256: (_LONG, [width]), 257: (_LONG, [height]), 258: (_SHORT, [bits] * 3), 259: (_SHORT, [8]),
        262: (_SHORT, [2]), 273: (_LONG, offsets), 277: (_SHORT, [3]), 278: (_LONG, [rows]), 279: (_LONG, counts), 284: (_SHORT, [1]),
        317: (_SHORT, [2]),
    }  # fmt: skip
    values = {270: (_ASCII, len(text), text), 700: (_BYTE, len(xmp), xmp)}
    for tag, (kind, value) in numbers.items():
        values[tag] = (kind, len(value), struct.pack(f"{order}{len(value)}{'H' if kind == _SHORT else 'I'}", *value))
    stack += _directory(values, at, order)
    struct.pack_into(order + "I", stack, link, at)
    return at + 2 + 12 * len(values)


def _directory(values: dict[int, tuple[int, int, bytes]], at: int, order: str) -> bytes:
    """A directory of tag -> (type, count, value in this byte order) that will stand at offset ``at``; no other follows."""
    table, body = bytearray(struct.pack(order + "H", len(values))), bytearray()
    for tag, (kind, count, value) in sorted(values.items()):
        table += struct.pack(order + "HHI", tag, kind, count)
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", at + 2 + 12 * len(values) + 4 + len(body))
            body += value + bytes(len(value) % 2)
    return bytes(table + bytes(4) + body)
