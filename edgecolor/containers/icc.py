"""ICC profiles (ICC.1:2010, version 4.3 of the format): which one fits the RGB that is written.

A profile of gray fits no RGB, and without one the tones would be shown as sRGB's. So its tone curve goes into a new profile.
"""

from __future__ import annotations

import struct

_HEADER = 128
_D50 = (63190, 65536, 54061)  # all numbers here in units of 1/65536
# sRGB's primaries (IEC 61966-2-1), adapted from D65 to D50 by the Bradford matrix, and that adaptation; their sum is D50.
_PRIMARIES = {b"rXYZ": (28576, 14581, 912), b"gXYZ": (25239, 46983, 6361), b"bXYZ": (9375, 3972, 46788)}
_ADAPTATION = (68674, 1502, -3291, 1939, 64912, -1119, -606, 988, 49262)
_PARAMETERS = (1, 3, 4, 5, 7)  # of each type of parametric curve


def fitting(profile: bytes | None, *, gray: bool) -> bytes | None:
    """The profile for RGB that is made of a picture with this one, or None.

    One of RGB is kept. One of gray, if the picture is (``gray``), becomes one of RGB with the same tone curve in all channels and
    sRGB's primaries: gray codes are shown as before. None for CMYK, and for gray that is described by tables or in Lab.
    """
    if not profile or len(profile) < _HEADER:
        return None
    space, connection = profile[16:20], profile[20:24]
    if space == b"RGB ":
        return profile
    if not gray or space != b"GRAY" or connection != b"XYZ ":
        return None
    places = _places(profile)
    if b"kTRC" not in places or b"A2B0" in places:
        return None
    at, size = places[b"kTRC"]
    curve = _curve(profile[at : at + size])
    return None if curve is None else _rgb(curve, profile[24:36])


def _places(profile: bytes) -> dict[bytes, tuple[int, int]]:
    """Offset and size of each element, by its signature."""
    count = int.from_bytes(profile[_HEADER : _HEADER + 4])
    table = range(_HEADER + 4, min(_HEADER + 4 + 12 * count, len(profile) - 11), 12)
    return {name: (at, size) for name, at, size in (struct.unpack_from(">4sII", profile, place) for place in table)}


def _curve(element: bytes) -> bytes | None:
    """A tone curve without what may follow it, None when it is none or is cut off."""
    size = len(element) + 1
    if element[:4] == b"curv" and len(element) >= 12:
        size = 12 + 2 * int.from_bytes(element[8:12])
    elif element[:4] == b"para" and len(element) >= 12 and (kind := int.from_bytes(element[8:10])) < len(_PARAMETERS):
        size = 12 + 4 * _PARAMETERS[kind]
    return element[:size] if size <= len(element) else None


def _rgb(curve: bytes, created: bytes) -> bytes:
    """A profile of RGB. created: date and time, as a header has them."""
    elements = {
        b"desc": _text("sRGB primaries, tone curve of the gray original"), b"cprt": _text("none"),
        b"wtpt": _numbers(b"XYZ ", *_D50), b"chad": _numbers(b"sf32", *_ADAPTATION),
        **{name: _numbers(b"XYZ ", *value) for name, value in _PRIMARIES.items()},
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    start = _HEADER + 4 + 12 * len(elements)
    table, body = bytearray(struct.pack(">I", len(elements))), bytearray()
    places: dict[bytes, int] = {}  # what is the same stands once
    for name, element in elements.items():
        if element not in places:
            places[element] = start + len(body)
            body += element + bytes(-len(element) % 4)
        table += struct.pack(">4sII", name, places[element], len(element))
    size = start + len(body)
    header = struct.pack(">III4s4s4s", size, 0, 0x04300000, b"mntr", b"RGB ", b"XYZ ") + created + b"acsp" + bytes(28)
    return (header + struct.pack(">3i", *_D50)).ljust(_HEADER, b"\0") + table + body


def _text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return struct.pack(">4sIII4sII", b"mluc", 0, 1, 12, b"enUS", len(content), 28) + content


def _numbers(kind: bytes, *values: int) -> bytes:
    return struct.pack(f">4sI{len(values)}i", kind, 0, *values)
