"""A set of pictures that should stay pale: documents, and places in photographs that truly have no colour.

Snow, fog, asphalt, concrete and clouds are found by measurement: the square window of each photograph with the least
chroma, kept when there is next to none in it. Cut out like that they are harder than in their scene: nothing around them
says what they are. Documents are drawn (see documents.py), other ones than those of training.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convert.dataset import PictureFile
from convert.documents import Document
from edgecolor.color import rgb_to_lab
from edgecolor.errors import ConfigError, PictureError

_WINDOW, _STRIDE = 128, 16  # pixels
_MOST_CHROMA = 4.0  # mean C*ab of a window that counts as without colour: what JPEG and white balance leave on gray


def palest_window(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float] | None:
    """The square window with the least mean chroma of an RGB picture, and that chroma; None when the picture is smaller."""
    height, width = rgb.shape[:2]
    if min(height, width) < _WINDOW:
        return None
    chroma = np.hypot(*np.moveaxis(rgb_to_lab(rgb / np.float32(255))[..., 1:], -1, 0))
    sums = cv2.integral(chroma, sdepth=cv2.CV_64F)
    total = sums[_WINDOW:, _WINDOW:] - sums[:-_WINDOW, _WINDOW:] - sums[_WINDOW:, :-_WINDOW] + sums[:-_WINDOW, :-_WINDOW]
    means = total[::_STRIDE, ::_STRIDE] / _WINDOW**2
    y, x = (int(i) * _STRIDE for i in np.unravel_index(means.argmin(), means.shape))
    return rgb[y : y + _WINDOW, x : x + _WINDOW], float(means.min())


def write_pale_set(pictures: list[PictureFile], out: Path, documents: int, seed: int = 2) -> int:
    """Write the set as PNG files into ``out``; returns how many.

    Raises PictureError when no picture has a pale window, ConfigError when ``out`` has pictures already: they would be taken for the set's.
    """
    out.mkdir(parents=True, exist_ok=True)
    if left := next(out.glob("*.png"), None):
        raise ConfigError(f"{out} has pictures already, such as {left.name}; remove them, or choose another folder")
    pages = [Document(number, seed) for number in range(documents)]
    taken = {page.name for page in pages}
    for file in pictures:
        found = palest_window(file.read())
        if found is not None and found[1] < _MOST_CHROMA:
            name = _free_name(Path(file.name).stem, taken)
            taken.add(name)
            Image.fromarray(found[0]).save(out / f"{name}.png")
    if len(taken) == documents:
        raise PictureError(f"none of these {len(pictures)} pictures has a window of {_WINDOW} pixels without colour")
    for page in pages:
        Image.fromarray(page.read()).save(out / f"{page.name}.png")
    return len(taken)


def _free_name(stem: str, taken: set[str]) -> str:
    """The stem, or with a number behind it where pictures of several folders have one name."""
    return next(name for name in itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2))) if name not in taken)
