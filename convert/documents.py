"""Documents, drawn: what a colorizer must leave without colour, and what photographs to train on hardly ever show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SOURCE = "document"
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True)
class Document:
    """One drawn page among pictures (see dataset.PictureFile): the same for the same number and seed."""

    number: int
    seed: int = 1

    @property
    def name(self) -> str:
        return f"{SOURCE}-{self.number:06d}"

    @property
    def source(self) -> str:
        return SOURCE

    @property
    def identity(self) -> list[str | int]:
        """As that of a picture on disk."""
        return [self.name, self.seed]

    def read(self) -> NDArray[np.uint8]:
        """RGB (256, 256, 3) uint8, gray."""
        return draw_document(np.random.default_rng((self.seed, self.number)))


def draw_document(rng: np.random.Generator, size: int = 256) -> NDArray[np.uint8]:
    """A gray page (size, size, 3) uint8: lines of words of random letters, turned a little, in uneven light, with noise."""
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
