"""How a network does while it is trained: quick figures and a contact sheet of a fixed set of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from convert.augment import network_input
from convert.config import TrainConfig
from convert.dataset import luma_of, resize, validation_pictures
from edgecolor.color import ab_to_chroma, rgb_to_lab, ycbcr_to_rgb


class Validation:
    """A fixed set of pictures, stretched to the network's square, compared on the output grid.

    Raises ConfigError or PictureError when there are none.
    """

    def __init__(self, config: TrainConfig, count: int = 256) -> None:
        files = validation_pictures(config.data)
        step = max(1, len(files) // count)
        self._pictures = [f.read() for f in files[::step][:count]]

    def run(self, network: keras.Model, size: int, sheet: Path) -> dict[str, float]:
        """Mean ab distance and mean chroma relative to the originals', in CIELAB units; writes a contact sheet."""
        square = np.stack([resize(p, (size, size)) for p in self._pictures])
        small = np.stack([resize(p, (size // 4, size // 4)) for p in self._pictures])
        luma = np.stack([luma_of(p) for p in square])
        guess = np.concatenate(
            [np.asarray(network.predict_on_batch(network_input(luma[i : i + 32]))["ab"], np.float32) for i in range(0, len(luma), 32)]
        )
        truth = rgb_to_lab(small / np.float32(255))[..., 1:]
        self._draw(square[:32], luma[:32], guess[:32], sheet)
        chroma = float(np.linalg.norm(guess, axis=-1).mean() / np.linalg.norm(truth, axis=-1).mean())
        gray, mine = np.linalg.norm(truth, axis=-1).mean(), np.linalg.norm(guess - truth, axis=-1).mean()
        return {"val_ab": float(mine), "val_ab_to_gray": float(mine / gray), "val_chroma": chroma}

    @staticmethod
    def _draw(original: Any, luma: Any, guess: Any, sheet: Path) -> None:
        rows = []
        for rgb, y, ab in zip(original, luma, guess, strict=True):
            light = y / np.float32(255)
            planes = [Image.fromarray(np.ascontiguousarray(ab[..., c])).resize(y.shape[::-1], Image.Resampling.BILINEAR) for c in range(2)]
            lifted = np.stack([np.asarray(plane) for plane in planes], axis=-1)
            guessed = np.clip(ycbcr_to_rgb(light, ab_to_chroma(light, lifted)), 0, 1)
            rows.append(np.hstack([np.repeat(y[..., None], 3, 2), np.rint(guessed * 255).astype(np.uint8), rgb]))
        height = len(rows) // 4
        picture = np.hstack([np.vstack(rows[i * height : (i + 1) * height]) for i in range(4)]) if height else np.vstack(rows)
        Image.fromarray(picture).save(sheet, quality=90)
