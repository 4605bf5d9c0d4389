"""A set of pictures that should stay pale: documents, and places in photographs that truly have no colour.

Snow, fog, asphalt, concrete and clouds are found by measurement: the square window of each photograph with the least
chroma, kept when there is next to none in it. Cut out like that they are harder than in their scene: nothing around them
says what they are. Documents are drawn: lines of words on paper, as an uneven light and a noisy sensor show them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from convert.dataset import PictureFile
from edgecolor.color import rgb_to_lab
from edgecolor.errors import PictureError

_WINDOW, _STRIDE = 128, 16  # pixels
_MOST_CHROMA = 4.0  # mean C*ab of a window that counts as without colour: what JPEG and white balance leave on gray
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


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


def draw_document(rng: np.random.Generator, size: int = 256) -> NDArray[np.uint8]:
    """A gray page (size, size, 3) uint8: lines of random words, turned a little, in uneven light, with noise."""
    page = Image.new("L", (size * 2, size * 2), 255)
    pen = ImageDraw.Draw(page)
    letter = int(rng.integers(14, 40))
    font = ImageFont.load_default(letter)
    for y in range(letter, size * 2, int(letter * 1.5)):
        words = ["".join(rng.choice(_LETTERS, rng.integers(2, 11))) for _ in range(40)]
        pen.text((letter + rng.integers(0, 3) * letter, y), " ".join(words), int(rng.integers(0, 60)), font)
    middle = (size // 2, size // 2, size * 3 // 2, size * 3 // 2)
    turned = page.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=255).crop(middle)
    ramp = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.5, 1), size)
    lit = np.asarray(turned, np.float64) * (ramp[:, None] if rng.random() < 0.5 else ramp[None])
    gray = np.clip(np.rint(lit + rng.normal(0, rng.uniform(0, 5), lit.shape)), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def write_pale_set(pictures: list[PictureFile], out: Path, documents: int, seed: int = 1) -> int:
    """Write the set as PNG files into ``out``; returns how many. Raises PictureError when no picture has a pale window."""
    out.mkdir(parents=True, exist_ok=True)
    written = 0
    for file in pictures:
        found = palest_window(file.read())
        if found is not None and found[1] < _MOST_CHROMA:
            Image.fromarray(found[0]).save(out / f"{Path(file.name).stem}.png")
            written += 1
    if not written:
        raise PictureError(f"none of these {len(pictures)} pictures has a window of {_WINDOW} pixels without colour")
    for number in range(documents):
        Image.fromarray(draw_document(np.random.default_rng((seed, number)))).save(out / f"document-{number:03d}.png")
    return written + documents
