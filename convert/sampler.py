"""Training batches: which picture, which crop, which camera, all a function of (seed, number); rendered on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from convert.augment import draw, noise_tiles, render
from convert.config import StageConfig
from convert.dataset import PictureCache


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors for the backend in use; Keras has no public way to."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)  # type: ignore[no-any-return]
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True)  # type: ignore[no-any-return]


class Sampler:
    """Random crops of a picture cache.

    resident: keep all canvases in the device's memory (55 kB a picture), so that a batch costs a few numbers to send.
    """

    def __init__(self, cache: PictureCache, stage: StageConfig, resident: bool) -> None:
        self._cache, self._stage = cache, stage
        self._weights = cache.weights(unlabelled=bool(stage.teacher))
        self._tiles = ops.convert_to_tensor(noise_tiles(stage.size))
        self._all = (ops.convert_to_tensor(cache.luma[:]), ops.convert_to_tensor(cache.ab[:])) if resident else None
        size = stage.size

        def sample(luma: Any, ab: Any, drawn: dict[str, Any], tiles: Any) -> tuple[Any, Any]:
            return render(luma, ab, drawn, tiles, size)

        def pick(luma: Any, ab: Any, indices: Any, drawn: dict[str, Any], tiles: Any) -> tuple[Any, Any]:
            return render(ops.take(luma, indices, axis=0), ops.take(ab, indices, axis=0), drawn, tiles, size)

        self._sample, self._pick = compiled(sample), compiled(pick)

    def crops(self, indices: NDArray[Any], rng: np.random.Generator) -> tuple[Any, Any]:
        """Crops of the pictures at ``indices``: x (N, size, size, 1) and ab (N, size/4, size/4, 2), tensors on the device."""
        stage = self._stage
        drawn = draw(rng, self._cache.shapes[indices], stage.crop, stage.camera)
        if self._all is None:
            luma, ab = self._cache.take(indices)
            return self._sample(luma, ab, drawn, self._tiles)  # type: ignore[no-any-return]
        return self._pick(*self._all, indices.astype(np.int32), drawn, self._tiles)  # type: ignore[no-any-return]

    def batch(self, seed: int, step: int) -> tuple[Any, dict[str, Any]]:
        """A step's batch: x, and the targets that ColorModel wants."""
        rng = np.random.default_rng((seed, 4, step))
        indices = rng.choice(len(self._cache), self._stage.batch, p=self._weights)
        x, ab = self.crops(indices, rng)
        targets = {"ab": ab, "pixels": some_pixels(rng, len(indices), self._stage)}
        if self._stage.teacher:
            targets["labelled"] = self._cache.labelled[indices].astype(np.float32)
        return x, targets


def some_pixels(rng: np.random.Generator, count: int, stage: StageConfig) -> NDArray[np.int32]:
    """(count, K) indices into the output grid of the pixels that count in a step."""
    grid = (stage.size // 4) ** 2
    if not stage.pixels or stage.pixels >= grid:
        return np.tile(np.arange(grid, dtype=np.int32), (count, 1))
    return rng.integers(0, grid, (count, stage.pixels)).astype(np.int32)
