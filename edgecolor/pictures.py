"""Colorize one picture: an array or a file's content. Luma is kept, chroma is guessed.

JPEG takes planes, so its luma goes through untouched. All other formats take RGB, whose luma can be that of the input
only where the guessed colour fits into the gamut: where it does not, it is pulled towards gray, not clipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecolor import upsample
from edgecolor.color import LUMA_WEIGHTS, ycbcr_to_rgb
from edgecolor.colorizer import Colorizer, Guess, shrink
from edgecolor.containers import Metadata, embed
from edgecolor.containers.exif import ExifDamageError
from edgecolor.containers.exif import upright as upright_exif
from edgecolor.errors import PictureError
from edgecolor.frame import Frame, Matrix, Plane, check_luma
from edgecolor.jpeg import encode_jpeg
from edgecolor.provenance import creator_tool, mark
from edgecolor.sources.images import Picture, color_pixels, luma_of, open_picture

QUALITY = 95
_DEPTH_16 = ("png", "tiff")
_LARGEST_SIDE = {"jpeg": 65500, "webp": 16383}  # libjpeg-turbo, RFC 9649
_STRIP_PIXELS = 1 << 19  # the float part works on this many at a time: some 20 MB


def colorize_image(
    image: str | Path | NDArray[Any], colorizer: Colorizer | None = None, *, model: str | Path = "edgecolor"
) -> NDArray[Any]:
    """A picture with guessed colours: (H, W, 3) RGB, uint8 or uint16 as the input is.

    image: a file (JPEG, PNG, WebP, TIFF, BMP; turned upright, alpha left out), or an array (H, W) of gray or (H, W, 3)
    of RGB, uint8 or uint16, of which the luma is taken. The luma (Rec. 601) of the result is that of the input to
    within half a code. Colours that a picture has already are replaced. colorizer: give one when there are many
    pictures; otherwise one is made of ``model``.

    Raises PictureError (the file), FrameError (the array), and what edgecolor.colorizer.Colorizer raises.
    """
    if isinstance(image, str | Path):
        luma = open_picture(image).luma
    elif isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype in (np.uint8, np.uint16) and image.size:
        luma = luma_of(np.ascontiguousarray(image[..., ::-1]))
    else:
        luma = image
    check_luma(luma)
    colorizer = colorizer or Colorizer(model)
    rgb = np.empty((*luma.shape, 3), luma.dtype)
    paint(luma, colorizer.guess(luma), rgb)
    return rgb


def fit_gamut(luma: Plane, chroma: NDArray[Any], matrix: Matrix = "bt601") -> NDArray[Any]:
    """R'G'B' (H, W, 3) of luma's dtype whose luma is ``luma`` to within half a code, with as much of the chroma as fits.

    luma: (H, W) uint8 or uint16 codes, full range. chroma: (H, W, 2) (Cb, Cr) in [-0.5, 0.5]. Where a channel would
    leave the range of codes, the colour moves on a line towards the gray of the same luma until it fits; luma is
    linear in R'G'B' (BT.601), so that it does not change on the way.
    """
    top = float(np.iinfo(luma.dtype).max)
    # The 24 bits of float32 are too few for half a code of 16.
    gray: NDArray[Any] = luma.astype(np.float32 if luma.dtype == np.uint8 else np.float64)
    offset: NDArray[Any] = ycbcr_to_rgb(np.float32(0), chroma, matrix).astype(gray.dtype) * top
    if gray.dtype == np.float64:
        offset -= (offset @ np.asarray(LUMA_WEIGHTS[matrix]))[..., None]
    room = (top - gray) / np.maximum(offset.max(axis=-1), 1e-6)
    room = np.minimum(room, gray / np.maximum(-offset.min(axis=-1), 1e-6))
    offset *= np.minimum(room, 1)[..., None]
    offset += gray[..., None]
    codes: NDArray[Any] = np.clip(np.rint(offset), 0, top).astype(luma.dtype)
    return codes


def paint(luma: Plane, guess: Guess, rgb: NDArray[Any]) -> None:
    """Write the picture of ``luma`` with guessed chroma into ``rgb`` (H, W, 3) of luma's dtype, strip by strip."""
    for rows, chroma in lift_strips(guess, luma):
        rgb[rows] = fit_gamut(luma[rows], chroma)


def lift_strips(guess: Guess, luma: Plane) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Guess.lift at full resolution in strips of rows: (rows, (Cb, Cr) (n, W, 2)); the same values, in bounded memory."""
    height, width = luma.shape
    lines = guess.lines
    step = max(1, _STRIP_PIXELS // width)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        # Where the middles of these rows lie between the rows of the small grid, as in bilinear enlargement.
        place = np.clip((np.arange(rows.start, rows.stop) + 0.5) * lines.shape[1] / height - 0.5, 0, lines.shape[1] - 1)
        below = np.minimum(place.astype(np.intp), lines.shape[1] - 2) if lines.shape[1] > 1 else place.astype(np.intp)
        weight = (place - below).astype(np.float32)[:, None]
        upper = lines[:, np.minimum(below + 1, lines.shape[1] - 1)]
        between = lines[:, below] * (1 - weight) + upper * weight
        yield rows, upsample.apply(np.ascontiguousarray(between), shrink(luma[rows], (width, rows.stop - rows.start)))


def colorize_picture(picture: Picture, colorizer: Colorizer, format_name: str, quality: int = QUALITY) -> bytes:
    """The encoded file of a picture with guessed colours, marked as such, with the input's metadata.

    format_name: "jpeg", "png", "webp", "tiff" or "bmp"; 16-bit luma stays so in PNG and TIFF. quality: 1..100 for JPEG
    and WebP (100: lossless WebP). Raises PictureError when the format can not hold the picture.
    """
    _check_fits(picture, format_name)
    luma = picture.luma if format_name in _DEPTH_16 else to_8_bits(picture.luma)
    guess = colorizer.guess(luma)
    if format_name == "jpeg":
        encoded = encode_jpeg(Frame(luma, *guess.planes(luma)), quality)
    else:
        pixels = np.empty((*luma.shape, 3 if picture.alpha is None else 4), luma.dtype)
        paint(luma, guess, pixels[..., 2::-1])  # OpenCV encodes BGR
        if picture.alpha is not None:
            pixels[..., 3] = picture.alpha if format_name in _DEPTH_16 else to_8_bits(picture.alpha)
        encoded = _encode(pixels, format_name, quality)
    metadata = _upright_metadata(picture)
    model = getattr(colorizer.network, "model", None)
    return embed(format_name, encoded, replace(metadata, xmp=mark(metadata.xmp, creator_tool(model))))


def transcode_picture(picture: Picture, format_name: str, quality: int = QUALITY) -> bytes:
    """The picture as it is, its own colours kept, encoded in another format. Raises PictureError."""
    _check_fits(picture, format_name)
    pixels = color_pixels(picture)
    if format_name not in _DEPTH_16:
        pixels = to_8_bits(pixels)
    return embed(format_name, _encode(pixels, format_name, quality), _upright_metadata(picture))


def to_8_bits(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 or uint16 codes -> uint8 of the same value, rounded."""
    return codes if codes.dtype == np.uint8 else ((codes.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _check_fits(picture: Picture, format_name: str) -> None:
    side, limit = max(picture.luma.shape), _LARGEST_SIDE.get(format_name)
    if limit is not None and side > limit:
        raise PictureError(f"{side} pixels in a row or column are too many for {format_name}, which can hold {limit}; choose png or tiff")
    if format_name == "jpeg" and picture.alpha is not None and picture.alpha.min() < np.iinfo(picture.alpha.dtype).max:
        raise PictureError("it is transparent in places, which jpeg can not hold; choose png, webp or tiff")


def _encode(pixels: NDArray[Any], format_name: str, quality: int) -> bytes:
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        # Above 100 OpenCV takes the lossless coder.
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality if quality < 100 else 101],
    }.get(format_name, [])
    try:
        done, encoded = cv2.imencode(f".{format_name}", pixels, options)
    except cv2.error as error:
        raise PictureError(f"can not be encoded as {format_name}: {str(error).strip().splitlines()[-1]}") from error
    if not done:
        raise PictureError(f"can not be encoded as {format_name}")
    return bytes(encoded)


def _upright_metadata(picture: Picture) -> Metadata:
    """The input's metadata for pixels that have been turned upright."""
    metadata, (width, height) = picture.header.metadata, picture.header.upright_size
    if metadata.dpi and picture.header.orientation >= 5:
        metadata = replace(metadata, dpi=metadata.dpi[::-1])
    try:
        return replace(metadata, exif=upright_exif(metadata.exif, width, height)) if metadata.exif else metadata
    except ExifDamageError:
        return replace(metadata, exif=None)
