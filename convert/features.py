"""The frozen encoder's features of many random crops, computed once and kept as uint8, to train on what follows them.

What a teacher says of the same crops is kept beside them.

Each channel is standardized over the data and stored over +-4 deviations. Standardization is folded into the
decoder's first 1x1 convolutions afterwards, so that nothing of it is left in the exported network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.config import StageConfig, TrainConfig
from convert.dataset import PictureCache
from convert.losses import Teacher
from convert.network import build_encoder, with_input_size
from convert.sampler import Sampler, compiled
from convert.weights import copy_weights

_SPAN = 4.0  # standard deviations either side of the mean that a byte covers
_BATCH = 64
_FORMAT = 3  # counts up when the same settings would give other rows
_STATISTICS = 2048  # crops that the mean and deviation are taken over


def _encoder_of(network: keras.Model, size: int) -> keras.Model:
    taps = [network.get_layer(f"lateral{4 << i}").input for i in range(4)]
    encoder = with_input_size(keras.Model(network.input, taps), (size, size))
    copy_weights(network, encoder, missing=False)
    return encoder


def _digest(network: keras.Model) -> str:
    whole = hashlib.sha256()
    for weights in network.get_weights():
        whole.update(np.ascontiguousarray(weights).tobytes())
    return whole.hexdigest()[:16]


class FeatureCache:
    """Rows of (features at strides 4, 8, 16, 32; ab target), memory-mapped. Made resumably; read at random."""

    def __init__(
        self, folder: Path, pictures: PictureCache, config: TrainConfig, stage: StageConfig, network: keras.Model | None = None
    ) -> None:
        """network: whose encoder's features are cached; None: the published one's."""
        own = None if network is None else _encoder_of(network, stage.size)
        self._encoder = build_encoder(config.network.lite, stage.size) if own is None else own
        self.shapes: list[tuple[int, int, int]] = [tuple(tap.shape[1:]) for tap in self._encoder.outputs]
        self.rows = stage.passes * len(pictures)
        key = [_FORMAT, config.seed, config.network.lite, stage.size, stage.crop, stage.camera, sorted(config.data.oversample.items()),
               pictures.digest, int(pictures.labelled.sum()), *([] if own is None else [_digest(own)])]
        self._folder = folder / f"features-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._pictures, self._config, self._weights = pictures, config, pictures.weights()
        self._sampler = Sampler(pictures, stage, config.resident)
        grid = (stage.size // 4, stage.size // 4, 2)
        self._taps = [self._open(f"tap{4 << i}.u8", np.uint8, shape) for i, shape in enumerate(self.shapes)]
        self._targets = self._open("ab.i8", np.int8, grid)
        self._fill()
        statistics = np.load(self._folder / "statistics.npz")
        self.means = [statistics[f"mean{i}"] for i in range(4)]
        self.deviations = [statistics[f"deviation{i}"] for i in range(4)]

    def _open(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
        path, size = self._folder / name, self.rows * int(np.prod(shape))
        with path.open("ab") as stream:
            if stream.tell() < size:  # never cut: a run of fewer passes uses the first rows
                stream.truncate(size)  # sparse until written
        return np.memmap(path, dtype, "r+", shape=(self.rows, *shape))

    def _crops(self, first: int) -> tuple[NDArray[Any], Any, NDArray[np.int8]]:
        """The rows from ``first`` on, as many as a batch: (rows, x, ab)."""
        rows = np.arange(first, min(first + _BATCH, self.rows))
        config, count = self._config, len(self._pictures)
        indices = np.empty(len(rows), np.int64)
        for turn in np.unique(rows // count):
            order = np.random.default_rng((config.seed, int(turn))).choice(count, count, p=self._weights)
            mine = rows // count == turn
            indices[mine] = order[rows[mine] % count]
        x, ab = self._sampler.crops(indices, np.random.default_rng((config.seed, 1, first)))
        return rows, x, np.clip(np.rint(np.asarray(ab)), -127, 127).astype(np.int8)

    def _remaining(self, name: str, what: str) -> Iterator[tuple[NDArray[Any], Any, NDArray[np.int8]]]:
        """Batches of crops that ``name`` has not been made of yet. How far it came is written down after some, so that it is resumed."""
        progress = self._folder / f"{name}.txt"
        start = int(progress.read_text()) if progress.exists() else 0
        with tqdm(total=self.rows, initial=min(start, self.rows), desc=what, unit="crop", disable=start >= self.rows) as bar:
            for first in range(start, self.rows, _BATCH):
                rows, x, ab = self._crops(first)
                yield rows, x, ab
                bar.update(len(rows))
                if first // _BATCH % 50 == 0 or rows[-1] + 1 == self.rows:
                    progress.with_suffix(".part").write_text(str(rows[-1] + 1))
                    progress.with_suffix(".part").rename(progress)

    def _fill(self) -> None:
        statistics: Any = None
        for rows, x, ab in self._remaining("rows", "features"):
            if statistics is None:
                if not (self._folder / "statistics.npz").exists():
                    self._measure()
                statistics = np.load(self._folder / "statistics.npz")
            for i, tap in enumerate(self._encoder.predict_on_batch(x)):
                unit = (np.asarray(tap, np.float32) - statistics[f"mean{i}"]) / statistics[f"deviation{i}"]
                self._taps[i][rows] = np.clip(np.rint(unit * (127.5 / _SPAN) + 127.5), 0, 255).astype(np.uint8)
            self._targets[rows] = ab

    def ask(self, teacher: Teacher) -> None:
        """Have a teacher say the ab of every row; from then on ``said`` gives it."""
        name = f"said-{_digest(teacher.network)}-{teacher.fade:g}"
        self._said = self._open(f"{name}.i8", np.int8, self._targets.shape[1:])
        answer = compiled(lambda x: teacher(x)[0])
        for rows, x, _ in self._remaining(name, "teacher"):
            self._said[rows] = np.clip(np.rint(np.asarray(answer(x))), -127, 127).astype(np.int8)

    def said(self, rows: NDArray[Any]) -> NDArray[np.int8]:
        """ab (N, size/4, size/4, 2) that the teacher, which was asked, gives ``rows``."""
        return np.asarray(self._said[rows])

    def _measure(self) -> None:
        sums: list[Any] = [0.0] * 4
        squares: list[Any] = [0.0] * 4
        counts = [0] * 4
        total = min(_STATISTICS, self.rows)
        for first in range(0, total, _BATCH):
            for i, tap in enumerate(self._encoder.predict_on_batch(self._crops(first)[1])):
                flat = np.asarray(tap, np.float64).reshape(-1, tap.shape[-1])
                sums[i], squares[i], counts[i] = sums[i] + flat.sum(0), squares[i] + (flat**2).sum(0), counts[i] + len(flat)
        table = {}
        for i in range(4):
            mean = sums[i] / counts[i]
            table[f"mean{i}"] = mean.astype(np.float32)
            table[f"deviation{i}"] = np.sqrt(np.maximum(squares[i] / counts[i] - mean**2, 1e-6)).astype(np.float32)
        part = self._folder / "part.npz"
        np.savez(part, **table)
        part.rename(self._folder / "statistics.npz")

    def batch(self, rows: NDArray[Any]) -> tuple[list[NDArray[np.float32]], NDArray[np.int8]]:
        """Standardized features of ``rows``, strides 4 to 32, and ab targets (N, size/4, size/4, 2)."""
        return self._read(rows, 4)

    def _read(self, rows: NDArray[Any], count: int) -> tuple[list[NDArray[np.float32]], NDArray[np.int8]]:
        taps = [(tap[rows].astype(np.float32) - np.float32(127.5)) * np.float32(_SPAN / 127.5) for tap in self._taps[:count]]
        return taps, np.asarray(self._targets[rows])

    def shallow_batch(self, rows: NDArray[Any]) -> tuple[list[NDArray[np.float32]], NDArray[np.int8]]:
        """Features of ``rows`` at strides 4 and 8 as the encoder gives them, and ab targets."""
        taps, ab = self._read(rows, 2)
        return [tap * d + m for tap, d, m in zip(taps, self.deviations, self.means, strict=False)], ab

    def some_colors(self, count: int, seed: int) -> NDArray[np.float32]:
        """(count, 2) ab values drawn from the targets at random."""
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.integers(0, self.rows, count // 16 + 1))
        pixels = rng.integers(0, self._targets.shape[1], (len(rows), 16, 2))
        return np.asarray(self._targets[rows[:, None], pixels[..., 0], pixels[..., 1]].reshape(-1, 2)[:count], np.float32)

    def fold_into(self, network: keras.Model) -> None:
        """Fold the standardization into ``network``'s lateral convolutions: W(x - m)/d + b = (W/d) x + (b - (W/d) m)."""
        for i in range(4):
            lateral = network.get_layer(f"lateral{4 << i}")
            kernel, bias = lateral.get_weights()
            kernel = kernel / self.deviations[i][None, None, :, None]
            lateral.set_weights([kernel, bias - self.means[i] @ kernel[0, 0]])
