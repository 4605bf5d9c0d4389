"""FITS files (extra ``fits``): an extension with a colour picture beside the data, which stays as it is, byte for byte.

Measured values have no luma. What is shown, and so what is coloured, is a stretch of them: from the 0.5th to the 99.5th percentile
by an inverse hyperbolic sine (Lupton et al. 1999), which opens the faint parts. The bounds stand in the extension's header.
Source: FITS standard 4.0.
"""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecolor.colorizer import Colorizer
from edgecolor.errors import PictureError, RuntimeMissingError
from edgecolor.pictures import paint
from edgecolor.provenance import DIGITAL_SOURCE_TYPE, creator_tool

EXTENSION = "EDGECOLOR"
_BLOCK = 2880
_PERCENTILES = (0.5, 99.5)
_SOFTENING = 10.0


def colorize_fits(data: bytes, colorizer: Colorizer, *, max_megapixels: float = 200.0) -> bytes:
    """The file with an image extension EDGECOLOR behind all others for each image: uint16 (3, H, W), or (N, 3, H, W) of a cube.

    The planes are R', G', B' (sRGB). Raises PictureError: damaged, without images, or more than so many million values in one;
    RuntimeMissingError: no astropy.
    """
    try:
        fits: Any = importlib.import_module("astropy.io.fits")
    except ImportError as error:
        raise RuntimeMissingError(f"astropy can not be loaded ({error}); pip install '.[fits]' in a checkout") from error
    if not data.startswith(b"SIMPLE  =") or len(data) % _BLOCK:
        raise PictureError("not a FITS file, or cut off: its length is no multiple of 2880")
    tool = creator_tool(getattr(colorizer.network, "model", None))
    extensions = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that are not to the letter; they are kept as they are
        for number, values in _images(fits, data, max_megapixels):
            whole = io.BytesIO()
            fits.HDUList([fits.PrimaryHDU(), _extension(fits, values, number, colorizer, tool)]).writeto(whole)
            extensions.write(whole.getvalue()[_BLOCK:])  # behind the primary header, which a file must begin with
    if not extensions.tell():
        raise PictureError("there is no image in it")
    return data + extensions.getvalue()


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Values of any type -> luma 0..65535; what is not finite is black."""
    share = np.clip((values.astype(np.float64) - low) / max(high - low, sys.float_info.min), 0, 1)
    luma = np.arcsinh(_SOFTENING * np.nan_to_num(share)) / np.arcsinh(_SOFTENING)
    codes: NDArray[np.uint16] = np.rint(luma * 65535).astype(np.uint16)
    return codes


def _images(fits: Any, data: bytes, max_megapixels: float) -> Iterator[tuple[int, NDArray[Any]]]:
    """Each image's number among the units, and its values."""
    try:
        with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=False) as units:
            for number, unit in enumerate(units):
                if unit.header.get("EXTNAME") == EXTENSION:
                    raise PictureError("its colours are in it already, in the extension EDGECOLOR")
                if (values := _values(unit, number, max_megapixels)) is not None:
                    yield number, values
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # damaged files make astropy raise whatever it comes upon
        raise PictureError(f"damaged: not readable as FITS ({' '.join(str(error).split())})") from error


def _values(unit: Any, number: int, max_megapixels: float) -> NDArray[Any] | None:
    """The values (N, H, W) of an image or a cube, None for a table or an empty unit."""
    shape = unit.shape if unit.is_image else ()
    if len(shape) < 2 or 0 in shape:
        return None
    if len(shape) > 3:
        raise PictureError(f"unit {number}: images of {len(shape)} axes are not supported; take planes or cubes out of it")
    if np.prod(shape) > max_megapixels * 1e6:
        raise PictureError(f"unit {number}: {' x '.join(map(str, shape))} values are more than the limit of {max_megapixels:g} million")
    values: NDArray[Any] = unit.data
    return values.reshape(-1, *shape[-2:])


def _extension(fits: Any, values: NDArray[Any], number: int, colorizer: Colorizer, tool: str) -> Any:
    finite = values[np.isfinite(values)]
    low, high = (float(bound) for bound in np.percentile(finite, _PERCENTILES)) if finite.size else (0.0, 0.0)
    colors = np.empty((len(values), 3, *values.shape[1:]), np.uint16)
    for plane, color in zip(values, colors, strict=True):
        luma = np.ascontiguousarray(stretch(plane, low, high)[::-1])  # the first row is the lowest one
        pixels = np.empty((*luma.shape, 3), np.uint16)
        paint(luma, colorizer.guess(luma), pixels)
        color[...] = pixels[::-1].transpose(2, 0, 1)
    extension = fits.ImageHDU(colors if len(colors) > 1 else colors[0], name=EXTENSION)
    extension.header["EXTVER"] = number + 1
    extension.header["SRCUNIT"] = (number, "number of the unit whose colours these are")
    extension.header["CSTRETCH"] = ("ASINH", "inverse hyperbolic sine between the bounds")
    extension.header["CLOW"], extension.header["CHIGH"] = low, high
    extension.header["CREATOR"] = tool
    extension.header["COMMENT"] = "Guessed colours (planes R', G', B'), not measured data."
    extension.header["COMMENT"] = DIGITAL_SOURCE_TYPE
    return extension
