"""The TIFF 6.0 structure: directories of tagged entries, in TIFF files and, as EXIF (CIPA DC-008), in all others.

An entry of an unknown type, or whose value lies outside the data, is passed over; the others count, as other readers have it.
So is one whose value, with those before it, would be more than all the data: those overlap to fill the memory.

Two ways to keep EXIF. ``upright`` patches a blob in place, so that maker notes, which hold offsets of their own, stay
true. ``directories`` and ``serialize`` take the tags out and lay them anew, for going to or from a TIFF file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

ORIENTATION, EXIF_POINTER, GPS_POINTER, INTEROP_POINTER = 274, 34665, 34853, 40965
PIXEL_X, PIXEL_Y = 40962, 40963
# Tags of the first directory that describe the picture rather than how its samples are stored.
DESCRIPTIVE = frozenset(
    {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432, 33723, 40091, 40092, 40093, 40094, 40095}
)
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}  # 129: UTF-8, of Exif 3.0
_ELEMENT_SIZES = {**_TYPE_SIZES, 5: 4, 10: 4}  # a rational is two elements: what byte order applies to
_UNSIGNED = {1: "B", 3: "H", 4: "I"}  # struct's codes of BYTE, SHORT and LONG
_LARGEST_VALUE = 16 << 20


class ExifDamageError(ValueError):
    """A directory lies outside the data, or there is none. Never leaves edgecolor.containers: EXIF is dropped instead."""


@dataclass(frozen=True)
class Entry:
    """One tag: its TIFF type, how many, the value's bytes in the file's byte order, and where the entry's 12 bytes stand."""

    kind: int
    count: int
    value: bytes
    place: int = 0


Directory = dict[int, "Entry | Directory"]


def byte_order(data: bytes) -> str:
    """struct's sign for the byte order: "<" or ">". Raises ExifDamageError when it is not a TIFF structure."""
    if len(data) < 8 or data[:4] not in (b"II*\0", b"MM\0*"):
        raise ExifDamageError("not a TIFF structure")
    return "<" if data[:2] == b"II" else ">"


def first_offset(data: bytes) -> int:
    """Offset of the first directory."""
    return int(struct.unpack_from(byte_order(data) + "I", data, 4)[0])


def entries(data: bytes, offset: int, *, whole: bool = True) -> tuple[dict[int, Entry], int]:
    """One directory: tag -> Entry, and the offset of the next directory (0: none).

    whole: of a directory that is cut off not even those entries are taken that are there. Raises ExifDamageError.
    """
    order = byte_order(data)
    if offset < 8 or offset + 2 > len(data):
        raise ExifDamageError("a directory lies outside the data")
    (number,) = struct.unpack_from(order + "H", data, offset)
    end = offset + 2 + 12 * number
    if end > len(data):
        if whole:
            raise ExifDamageError("a directory is cut off")
        end = offset + 2 + (len(data) - offset - 2) // 12 * 12
    found: dict[int, Entry] = {}
    room = len(data)
    for place in range(offset + 2, end, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, place)
        size = _TYPE_SIZES.get(kind, 0) * count
        position = place + 8 if size <= 4 else int(struct.unpack_from(order + "I", data, place + 8)[0])
        if kind in _TYPE_SIZES and tag not in found and size <= min(room, _LARGEST_VALUE) and position + size <= len(data):
            found[tag] = Entry(kind, count, data[position : position + size], place)
            room -= size
    following = int(struct.unpack_from(order + "I", data, end)[0]) if end + 4 <= len(data) else 0
    return found, following


def integers(entry: Entry | None, order: str) -> tuple[int, ...]:
    """The values of an entry of BYTE, SHORT or LONG type; () for any other and for None."""
    if entry is None or entry.kind not in _UNSIGNED:
        return ()
    return tuple(np.frombuffer(entry.value, order + _UNSIGNED[entry.kind]).tolist())


def rational(entry: Entry | None, order: str) -> float:
    """The value of an entry of RATIONAL type; 0.0 for any other, for None and for a zero denominator."""
    if entry is None or entry.kind != 5 or entry.count != 1:
        return 0.0
    numerator, denominator = struct.unpack(order + "II", entry.value)
    return numerator / denominator if denominator else 0.0


def orientation_of(found: dict[int, Entry], order: str) -> int:
    """EXIF orientation 1..8; 1 when it is absent or nonsense."""
    values = integers(found.get(ORIENTATION), order)
    return values[0] if len(values) == 1 and 1 <= values[0] <= 8 else 1


def checked(blob: bytes | None) -> tuple[bytes | None, int]:
    """The blob and its orientation 1..8, or (None, 1) when there is none or its first directory lies outside it."""
    if blob is None:
        return None, 1
    try:
        return blob, orientation_of(entries(blob, first_offset(blob), whole=False)[0], byte_order(blob))
    except ExifDamageError:
        return None, 1


def resolution(found: dict[int, Entry], order: str) -> tuple[float, float]:
    """(x, y) pixels per inch of a directory's resolution tags; zeros when there are none."""
    unit = integers(found.get(296), order) or (2,)
    scale = {2: 1.0, 3: 2.54}.get(unit[0], 0.0)
    return rational(found.get(282), order) * scale, rational(found.get(283), order) * scale


def upright(blob: bytes, width: int, height: int) -> bytes:
    """EXIF of a picture that has been turned upright: orientation 1, its size, no thumbnail, and no entry that can not be read.

    The thumbnail is unlinked (its directory is the second one), since it shows the picture as it was. All values stay
    where they are. Raises ExifDamageError when there is no entry in the first directory.
    """
    order, start = byte_order(blob), first_offset(blob)
    found, _ = entries(blob, start, whole=False)
    if not found:
        raise ExifDamageError("there is no entry that can be read")
    patched = bytearray(blob)
    _patch(patched, found.get(ORIENTATION), 1, order)
    pointer = found.get(EXIF_POINTER)
    if inner := _inner(blob, pointer, order):
        _patch(patched, inner.get(PIXEL_X), width, order)
        _patch(patched, inner.get(PIXEL_Y), height, order)
        _reduce(patched, integers(pointer, order)[0], inner, order, 0)
    _reduce(patched, start, found, order, 4)
    return bytes(patched)


def _patch(blob: bytearray, entry: Entry | None, value: int, order: str) -> None:
    if entry is not None and entry.count == 1 and entry.kind in _UNSIGNED:
        code = _UNSIGNED[entry.kind]
        struct.pack_into(order + code, blob, entry.place + 8, min(value, (1 << 8 * struct.calcsize(order + code)) - 1))


def _reduce(blob: bytearray, offset: int, found: dict[int, Entry], order: str, link: int) -> None:
    """Leave these entries in the directory at an offset, and no other; no directory follows."""
    (number,) = struct.unpack_from(order + "H", blob, offset)
    if len(found) == number and not link:
        return
    end = min(offset + 2 + 12 * number + link, len(blob))
    table = b"".join(blob[entry.place : entry.place + 12] for entry in found.values())
    blob[offset:end] = (struct.pack(order + "H", len(found)) + table + bytes(4)).ljust(end - offset, b"\0")


def directories(data: bytes, keep: Iterable[int] = DESCRIPTIVE) -> Directory:
    """The kept tags of the first directory with its EXIF, GPS and interoperability directories, all little-endian.

    Entries and directories that lie outside the data are left out. Raises ExifDamageError when there is no directory.
    """
    order = byte_order(data)
    found, _ = entries(data, first_offset(data), whole=False)
    tree: Directory = {tag: _little(found[tag], order) for tag in keep if tag in found}
    for pointer in (EXIF_POINTER, GPS_POINTER):
        if inner := _inner(data, found.get(pointer), order):
            branch: Directory = {tag: _little(e, order) for tag, e in inner.items() if tag != INTEROP_POINTER}
            if pointer == EXIF_POINTER and (leaf := _inner(data, inner.get(INTEROP_POINTER), order)):
                branch[INTEROP_POINTER] = {tag: _little(e, order) for tag, e in leaf.items()}
            tree[pointer] = branch
    return tree


def _inner(data: bytes, pointer: Entry | None, order: str) -> dict[int, Entry]:
    offsets = integers(pointer, order)
    try:
        return entries(data, offsets[0], whole=False)[0] if offsets else {}
    except ExifDamageError:
        return {}


def _little(entry: Entry, order: str) -> Entry:
    size = _ELEMENT_SIZES[entry.kind]
    if order == "<" or size == 1:
        return Entry(entry.kind, entry.count, entry.value)
    return Entry(entry.kind, entry.count, np.frombuffer(entry.value, f">u{size}").astype(f"<u{size}").tobytes())


def serialize(tree: Directory, base: int) -> bytes:
    """Lay a little-endian directory out as bytes that will stand at offset ``base`` of a file; no directory follows."""
    table = bytearray(struct.pack("<H", len(tree)))
    start = base + 2 + 12 * len(tree) + 4
    body = bytearray()
    for tag in sorted(tree):
        item = tree[tag]
        at = start + len(body)
        if isinstance(item, dict):
            table += struct.pack("<HHII", tag, 4, 1, at)
            body += serialize(item, at)
        elif len(item.value) <= 4:
            table += struct.pack("<HHI4s", tag, item.kind, item.count, item.value)
        else:
            table += struct.pack("<HHII", tag, item.kind, item.count, at)
            body += item.value
        body += bytes(len(body) % 2)  # values start on even offsets
    return bytes(table + bytes(4) + body)


def standalone(tree: Directory) -> bytes:
    """A directory as an EXIF blob of its own."""
    return b"II*\0" + struct.pack("<I", 8) + serialize(tree, 8)
