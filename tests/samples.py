"""Small pictures of every form, made on the spot by Pillow and tifffile: not by the code under test."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from edgecolor.colorizer import Colorizer

HEIGHT, WIDTH = 45, 61  # odd on purpose
TINY_ICC = bytes(12) + b"mntr" + b"RGB XYZ " + bytes(104)
GRAY_ICC = bytes(12) + b"mntr" + b"GRAYXYZ " + bytes(104)


def gray_profile(curve: bytes, connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of gray with this tone curve, version 4."""
    white = b"XYZ " + struct.pack(">Iiii", 0, 63190, 65536, 54061)
    text = b"mluc" + struct.pack(">III4sII", 0, 1, 12, b"enUS", 8, 28) + "gray".encode("utf-16-be")
    elements = {b"desc": text, b"cprt": text, b"wtpt": white, b"kTRC": curve}
    table, body = struct.pack(">I", len(elements)), b""
    for name, element in elements.items():
        table += struct.pack(">4sII", name, 128 + 4 + 12 * len(elements) + len(body), len(element))
        body += element + bytes(-len(element) % 4)
    header = struct.pack(">I4sI4s4s4s", 128 + len(table + body), b"", 0x04200000, b"mntr", b"GRAY", connection)
    header += struct.pack(">6H4s28x", 2020, 1, 1, 0, 0, 0, b"acsp") + white[8:]
    return header.ljust(128, b"\0") + table + body


class StrongColors:
    """A network whose colours are known and strong: many of them do not fit into the gamut."""

    size = (32, 32)

    def __call__(self, luma: NDArray[np.uint8], color_range: str) -> NDArray[np.float32]:
        a, b = np.meshgrid(np.linspace(-90, 90, 8), np.linspace(-90, 90, 8))
        return np.stack([a, b], axis=-1).astype(np.float32)


def strong_colorizer() -> Colorizer:
    return Colorizer(network=StrongColors())


def gray(dtype: Any = np.uint8, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[Any]:
    """Every tone from black to white, in two directions, with some noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    top = np.iinfo(dtype).max
    tone = (x / shape[1] + y / shape[0]) / 2 + np.random.default_rng(1).normal(0, 0.03, shape)
    return np.clip(np.rint(tone * 1.1 * top), 0, top).astype(dtype)


def color(dtype: Any = np.uint8, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[Any]:
    """RGB that no tint explains: four quarters of different hue and the same range of luma."""
    rgb = np.dstack([gray(dtype, shape)] * 3)
    h, w = shape[0] // 2, shape[1] // 2
    for channel, (rows, columns) in enumerate([(slice(h), slice(w)), (slice(h), slice(w, None)), (slice(h, None), slice(w))]):
        rgb[rows, columns, channel] //= 4
    return rgb


def pillow(pixels: NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_png_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    return png[:33] + png_chunk(kind, body) + png[33:]


def exif(orientation: int = 1, **more: Any) -> bytes:
    """An EXIF blob (without the "Exif" prefix) with orientation, maker and, in the Exif directory, exposure and size."""
    data = Image.Exif()
    data[0x0112], data[0x010F] = orientation, "Workshop"
    data.get_ifd(0x8769).update({0x829A: 0.01, 0xA002: WIDTH, 0xA003: HEIGHT, **more})
    return data.tobytes().removeprefix(b"Exif\0\0")


def good() -> dict[str, bytes]:
    """Sound gray pictures: file name -> content."""
    shades, deep = gray(), gray(np.uint16)
    rgb = np.dstack([shades] * 3)
    return {
        "gray.jpg": pillow(shades, "JPEG", quality=92),
        "ycbcr.jpg": pillow(rgb, "JPEG", quality=92),
        "progressive.jpg": pillow(shades, "JPEG", progressive=True),
        "cmyk.jpg": pillow(Image.fromarray(rgb).convert("CMYK"), "JPEG"),
        "gray.png": pillow(shades, "PNG"),
        "deep.png": pillow(deep, "PNG"),
        "palette.png": pillow(Image.fromarray(rgb).quantize(32), "PNG"),
        "rgba.png": pillow(np.dstack([rgb, 255 - shades]), "PNG"),
        "lossy.webp": pillow(rgb, "WEBP", quality=90),
        "lossless.webp": pillow(rgb, "WEBP", lossless=True),
        "gray.tif": pillow(shades, "TIFF", compression="tiff_lzw"),
        "deep.tiff": tiff(deep),
        "gray.bmp": pillow(shades, "BMP"),
        "rgb.bmp": pillow(rgb, "BMP"),
    }


def bombs() -> dict[str, bytes]:
    """Small files that say they are huge."""
    sound = good()
    png = sound["gray.png"]
    header = struct.pack(">II", 1 << 30, 1 << 30) + png[24:29]
    jpeg = bytearray(sound["gray.jpg"])
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, 65500, 65500)
    webp = bytearray(sound["lossy.webp"])
    struct.pack_into("<HH", webp, webp.index(b"\x9d\x01\x2a") + 3, 16383, 16383)
    bmp = bytearray(sound["gray.bmp"])
    struct.pack_into("<ii", bmp, 18, 60000, 60000)
    struct.pack_into("<I", bmp, 30, 1)  # run-length coded: its size can not be told from its header
    return {
        "bomb.png": png[:8] + png_chunk(b"IHDR", header) + png[33:],
        "bomb.jpg": bytes(jpeg),
        "bomb.webp": bytes(webp),
        "bomb.bmp": bytes(bmp),
        "bomb.tif": patched_tiff(sound["gray.tif"], {256: 1 << 20, 257: 1 << 20}),
    }


def patched_tiff(content: bytes, values: dict[int, int]) -> bytes:
    """A little-endian TIFF with values of its first directory replaced, as LONG."""
    data = bytearray(content)
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, place)
        if tag in values:
            struct.pack_into("<HHII", data, place, tag, 4, 1, values[tag])
    return bytes(data)


def malformed() -> Iterator[tuple[str, bytes]]:
    """More than 200 damaged files (name, content), always the same ones."""
    dice = random.Random(7)
    for name, content in good().items():
        stem, suffix = name.split(".")
        kind = f"{stem}-{suffix}"
        for part in (0, 1, 5, 20, 50, 80, 97):
            yield f"{kind}-cut{part}.{suffix}", content[: len(content) * part // 100]
        yield f"{kind}-cut-end.{suffix}", content[:-1]
        for flip in range(6):
            damaged = bytearray(content)
            # Half of them in the first bytes, where the structure is.
            damaged[dice.randrange(min(120, len(content)) if flip % 2 else len(content))] ^= 1 << dice.randrange(8)
            yield f"{kind}-flip{flip}.{suffix}", bytes(damaged)
        yield f"{kind}-wrong.{'png' if suffix != 'png' else 'jpg'}", content
    yield from bombs().items()
    for name, content in good().items():
        suffix = name.split(".")[1]
        yield f"magic-{name}", content[:12] + dice.randbytes(400)
    yield "zero.png", good()["gray.png"][:8] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 5, 8, 0, 0, 0, 0)) + png_chunk(b"IEND", b"")
    yield "zero.tif", patched_tiff(good()["gray.tif"], {256: 0})
    yield "text.jpg", b"not a picture at all\n"
