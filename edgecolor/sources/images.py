"""Picture files to planes: luma as stored, upright, with what the file says about itself.

Nothing is decoded before its size and completeness have been checked from its bytes; the decoders (libjpeg-turbo for
JPEG, OpenCV for the rest) fail silently on some damaged files, so most damage is found by edgecolor.containers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edgecolor.color import LUMA_WEIGHTS, chroma_planes, rgb_to_chroma, rgb_to_luma
from edgecolor.containers import MAGIC_BYTES, NOT_A_PICTURE, Header, identify, inspect, png, tiff
from edgecolor.errors import PictureError
from edgecolor.frame import Plane

MAX_MEGAPIXELS = 200.0
_SAMPLE_PIXELS = 1 << 16
_STRIP_PIXELS = 1 << 19  # converted at a time, to keep intermediate arrays small
_logging: Any = getattr(cv2.utils, "logging", cv2)  # where OpenCV 5 keeps the functions, and 4
_SILENT = 0
_SMALLEST_LIMIT = 64 << 20  # bytes a file may have in any case: metadata is not counted in pixels
_BYTES_A_PIXEL = 8  # RGBA with 16 bits, not compressed


@dataclass(frozen=True)
class Picture:
    """A decoded picture, turned upright.

    luma: (H, W) uint8 or uint16, full range, Rec. 601: gray or JPEG luma exactly as stored, else the weighted sum of
    R'G'B' rounded to the same depth. alpha: (H, W) of luma's dtype or None. sample: (y, cb, cr) uint8, at most some
    65,000 pixels of the picture and for judging its colours only; None when the file holds gray only.
    data: the encoded file.
    """

    header: Header
    data: bytes
    luma: Plane
    alpha: Plane | None = None
    sample: tuple[Plane, Plane, Plane] | None = None


def open_picture(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """Read and decode a picture file. Raises PictureError, whose message begins with the path."""
    try:
        return decode_picture(_read(Path(path), max_megapixels), max_megapixels)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error


def read_picture(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """The bytes of a picture file, not decoded. Raises PictureError: unreadable, or more bytes than so many pixels can have."""
    try:
        return _read(Path(path), max_megapixels)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error


def identify_picture(path: str | Path) -> str:
    """The format of a file by its first bytes ("jpeg", "png", ...). Raises PictureError: unreadable, empty or no picture."""
    try:
        with _opened(Path(path)) as file:
            start = file.read(MAGIC_BYTES)
        if not start:
            raise PictureError("the file is empty")
        if (name := identify(start)) is None:
            raise PictureError(NOT_A_PICTURE)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    return name


def decode_picture(data: bytes, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """Decode an encoded picture (JPEG, PNG, WebP, TIFF, BMP).

    Raises PictureError: damaged, truncated, of an unsupported form, or of more than ``max_megapixels`` million pixels.
    """
    header = inspect(data)
    if header.width * header.height > max_megapixels * 1e6:
        raise PictureError(
            f"{header.width} x {header.height} pixels are more than the limit of {max_megapixels:g} megapixels; "
            "raise it with --max-megapixels if the file can be trusted"
        )
    with _decoding(header.format):
        if header.format == "tiff":
            _check_strips(data)
        if header.format == "jpeg":
            luma, alpha, sample = _jpeg_planes(data, header)
        else:
            luma, alpha, sample = _planes(_bgr(data, header), header)
            if header.format == "png" and alpha is None and (key := png.transparent_gray(data)) is not None:
                alpha = np.where(luma == key, 0, np.iinfo(luma.dtype).max).astype(luma.dtype)
    if luma.shape != (header.height, header.width):
        found = f"{luma.shape[1]} x {luma.shape[0]}"
        raise PictureError(f"damaged: {found} pixels were decoded, its header says {header.width} x {header.height}")
    upright_alpha = None if alpha is None else upright(alpha, header.orientation)
    return Picture(header, data, upright(luma, header.orientation), upright_alpha, sample)


def color_pixels(picture: Picture) -> NDArray[Any]:
    """The picture's own pixels, upright: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16. Raises PictureError."""
    with _decoding(picture.header.format):
        return upright(_bgr(picture.data, picture.header), picture.header.orientation)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H, W, ...) as stored -> as seen, by EXIF orientation 1..8 (CIPA DC-008, tag 274); contiguous."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def luma_of(pixels: NDArray[Any]) -> Plane:
    """Luma (H, W) of BGR or BGRA pixels (H, W, 3 or 4), Rec. 601, rounded to their dtype (uint8 or uint16)."""
    red, green, blue = (np.uint32(round(1000 * weight)) for weight in LUMA_WEIGHTS["bt601"])
    luma = np.empty(pixels.shape[:2], pixels.dtype)
    step = max(1, _STRIP_PIXELS // pixels.shape[1])
    for start in range(0, len(pixels), step):
        part = pixels[start : start + step].astype(np.uint32)
        # In whole thousandths, because the 24 bits of float32 round some 16-bit codes the wrong way.
        luma[start : start + step] = (part[..., 2] * red + part[..., 1] * green + part[..., 0] * blue + np.uint32(500)) // np.uint32(1000)
    return luma


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # Without blocking, because opening a FIFO waits for its writer; the check comes after, on what was opened.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise PictureError("not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as error:
        raise PictureError(f"can not be read: {error.strerror}") from error


def _read(path: Path, max_megapixels: float) -> bytes:
    limit = max(_SMALLEST_LIMIT, int(max_megapixels * 1e6 * _BYTES_A_PIXEL))
    with _opened(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > limit:
            raise PictureError(f"{size} bytes are more than a picture of {max_megapixels:g} megapixels can have")
        return file.read(limit)


@contextmanager
def _decoding(format_name: str) -> Iterator[None]:
    """Turns what the decoders raise into PictureError, and keeps OpenCV from writing about it to stderr."""
    level = _logging.getLogLevel()
    _logging.setLogLevel(_SILENT)
    try:
        yield
    except PictureError:
        raise
    except (cv2.error, SystemError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        what = "truncated" if "Premature end" in reason else f"damaged, or of a form that can not be decoded ({reason})"
        raise PictureError(f"{what}: a {format_name.upper()} decoder refused it") from error
    except MemoryError as error:
        raise PictureError("there is not enough memory to decode it") from error
    finally:
        _logging.setLogLevel(level)


def _jpeg_planes(data: bytes, header: Header) -> tuple[Plane, Plane | None, tuple[Plane, Plane, Plane] | None]:
    space = simplejpeg.decode_jpeg_header(data)[2]
    if space in ("CMYK", "YCCK"):
        return _planes(_bgr(data, header), header)
    # Luma as it is stored: no way through RGB, and so no rounding.
    luma = simplejpeg.decode_jpeg(data, colorspace="GRAY")[..., 0]
    if space == "Gray":
        return luma, None, None
    # Reduced by the decoder. At least fourfold where there are enough pixels, because subsampled chroma does not follow
    # luma at edges: of 580 tinted JPEGs 556 were judged right so, against 336 at full size.
    factor = min(8, max(4, isqrt(header.width * header.height // _SAMPLE_PIXELS))) if min(luma.shape) >= 64 else 1
    height, width = (-(-side // factor) for side in luma.shape)
    return luma, None, _sample(simplejpeg.decode_jpeg(data, colorspace="BGR", min_height=height, min_width=width))


def _check_strips(data: bytes) -> None:
    """Raises PictureError: a strip or tile of a TIFF ends too soon, or makes no sense to its decompressor.

    What CCITT or JPEG has packed is not checked.
    """
    tiff.check_deflate(data)
    for paired in tiff.paired(data):
        if cv2.imdecode(np.frombuffer(paired, np.uint8), cv2.IMREAD_UNCHANGED) is None:
            raise PictureError("damaged: pixels of the TIFF can not be decompressed")


def _bgr(data: bytes, header: Header) -> NDArray[Any]:
    """Pixels as stored: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16."""
    if header.format == "jpeg":
        if simplejpeg.decode_jpeg_header(data)[2] not in ("CMYK", "YCCK"):
            pixels: NDArray[Any] = simplejpeg.decode_jpeg(data, colorspace="BGR")
            return pixels
        ink = simplejpeg.decode_jpeg(data, colorspace="CMYK")
        return _cmyk_to_bgr(ink if header.adobe else 255 - ink)
    if header.format == "png":
        data = png.pixels_only(data)
    elif header.format == "tiff":
        data = tiff.plain(data)
    decoded: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise PictureError(f"damaged, or of a form that can not be decoded: a {header.format.upper()} decoder refused it")
    if decoded.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"samples of type {decoded.dtype} are not supported; save it with 8 or 16 bits")
    if header.photometric == tiff.MIN_IS_WHITE and decoded.dtype == np.uint16:
        decoded = np.invert(decoded)  # OpenCV does so for 8 bits only
    if header.photometric == tiff.CMYK and decoded.ndim == 3:
        decoded = decoded[..., :3]  # already RGB; the fourth sample was ink, not alpha
    if header.alpha == "none" and decoded.ndim == 3:
        decoded = decoded[..., :3]
    if header.alpha == "premultiplied" and decoded.ndim == 3 and decoded.shape[2] == 4:
        _divide_by_alpha(decoded)
    return decoded


def _divide_by_alpha(pixels: NDArray[Any]) -> None:
    """Premultiplied BGRA (H, W, 4), uint8 or uint16 -> straight alpha, in place; rounded. What is wholly transparent stays as it is."""
    top = np.uint32(np.iinfo(pixels.dtype).max)
    step = max(1, _STRIP_PIXELS // pixels.shape[1])
    for start in range(0, len(pixels), step):
        part = pixels[start : start + step].astype(np.uint32)
        alpha = part[..., 3:]
        alpha = np.where(alpha == 0, top, alpha)
        pixels[start : start + step, :, :3] = np.minimum((part[..., :3] * top + alpha // 2) // alpha, top)


def _cmyk_to_bgr(inverted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Inverted CMYK (H, W, 4), 255 for no ink -> BGR (H, W, 3): colour times black, since there is no profile to go by."""
    bgr = np.empty((*inverted.shape[:2], 3), np.uint8)
    for target, ink in enumerate((2, 1, 0)):
        bgr[..., target] = cv2.multiply(inverted[..., ink], inverted[..., 3], scale=1 / 255)
    return bgr


def _planes(pixels: NDArray[Any], header: Header) -> tuple[Plane, Plane | None, tuple[Plane, Plane, Plane] | None]:
    if pixels.ndim == 2:
        return pixels, None, None
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return luma_of(pixels), alpha, _sample(pixels)


def _sample(pixels: NDArray[Any]) -> tuple[Plane, Plane, Plane]:
    """Evenly spaced pixels of BGR(A) as (y, cb, cr) uint8."""
    step = 1 + isqrt(pixels.shape[0] * pixels.shape[1] // _SAMPLE_PIXELS)
    spaced = pixels[::step, ::step, 2::-1].astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    cb, cr = chroma_planes(rgb_to_chroma(spaced), np.uint8, "full")
    return np.rint(rgb_to_luma(spaced) * 255).astype(np.uint8), cb, cr
