"""ab bins and the training loss.

Zhang, Isola and Efros 2016 (arXiv:1603.08511): soft-encoded bins, rebalanced by rarity, decoded by the annealed mean.
The regression head, the only one that is exported, is drawn towards that decoded colour as well as towards the truth:
the truth alone gives the mean of all plausible colours, which is dull.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from convert.config import BinsConfig, StageConfig
from convert.network import build_beholder
from convert.norms import folded
from edgecolor.color import lab_to_rgb_with
from edgecolor.errors import ConfigError

_GRID = 128  # soft targets are tabulated over a* and b* in steps of 2


@dataclass(frozen=True)
class Bins:
    """centers (Q, 2) CIELAB; soft (128*128, Q) target and weight (128*128,) of each tabulated (a*, b*)."""

    centers: NDArray[np.float32]
    soft: NDArray[np.float32]
    weight: NDArray[np.float32]


def find_centers(ab: NDArray[Any], count: int, seed: int) -> NDArray[np.float32]:
    """(count, 2) bin centres by k-means (Lloyd's iterations) over sample colours ab (N, 2)."""
    rng = np.random.default_rng(seed)
    points = np.asarray(ab, np.float64)
    points = points[rng.choice(len(points), min(len(points), 40_000), replace=False)]
    # Seeds spread over the occupied cells of a coarse grid, so that rare colours have bins of their own.
    cells = np.unique(np.rint(points / 6), axis=0) * 6
    centers = cells[rng.choice(len(cells), count, replace=len(cells) < count)]
    for _ in range(40):
        nearest = ((points[:, None] - centers[None]) ** 2).sum(-1).argmin(1)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, points[:, axis], count) for axis in range(2)], axis=1)
        centers = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centers)
    return np.asarray(centers, np.float32)


def make_bins(ab: NDArray[Any], centers: NDArray[np.float32], config: BinsConfig) -> Bins:
    """Soft targets over ``centers`` and rebalancing weights (mean 1 over the sample colours ``ab`` (N, 2))."""
    axis = np.arange(_GRID, dtype=np.float32) * 2 - 128
    table = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    distance = ((table[:, None] - centers[None]) ** 2).sum(-1)
    nearest = np.argsort(distance, 1)[:, : config.neighbours]
    near = np.take_along_axis(distance, nearest, 1)
    closeness = np.exp((near[:, :1] - near) / (2 * config.sigma**2))
    soft = np.zeros((len(table), config.count), np.float32)
    np.put_along_axis(soft, nearest, closeness / closeness.sum(1, keepdims=True), 1)
    frequency = soft[_table_index(ab)].mean(0)
    share = (1 - config.rebalance) * frequency + config.rebalance / config.count
    rarity = 1 / np.maximum(share, share[share > 0].min())  # without any uniform share an empty bin weighs as the rarest one
    rarity /= (frequency * rarity).sum()
    return Bins(centers.astype(np.float32), soft, (soft @ rarity).astype(np.float32))


def _table_index(ab: NDArray[Any]) -> NDArray[np.int64]:
    cell = np.clip(np.rint((ab + 128) / 2), 0, _GRID - 1).astype(np.int64)
    return np.asarray(cell[..., 0] * _GRID + cell[..., 1], np.int64)


def annealed_mean(logits: Any, centers: Any, temperature: float) -> Any:
    """Logits (..., Q) -> (a*, b*) (..., 2): the mean under the distribution sharpened to ``temperature``."""
    return ops.matmul(ops.softmax(logits / temperature, axis=-1), centers)


def certainty(logits: Any, centers: Any, fade: float) -> Any:
    """Logits (..., Q) -> (..., 1) in 0..1: how much of a guess to show, by how widely the bins spread around their mean.

    Mean^2 / (mean^2 + fade * variance): Wiener's filter, with a variance that the network itself states of each pixel. A mean
    of colours that differ is none of them, and looks brownish; where they agree it stays as it is.
    """
    probability = ops.softmax(logits, axis=-1)
    power = ops.sum(ops.matmul(probability, centers) ** 2, axis=-1, keepdims=True)
    variance = ops.matmul(probability, ops.sum(centers**2, axis=-1, keepdims=True)) - power
    return power / (power + fade * ops.maximum(variance, 0.0) + 1e-6)


def huber(error: Any, beta: float = 4.0) -> Any:
    """Huber loss of a difference in CIELAB units, in units: quadratic up to ``beta``, linear beyond."""
    size = ops.abs(error)
    return ops.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


class Perception:
    """How different two colourings of the same lightness are to an ImageNet classifier: how they look, and what it sees.

    ``look``: as LPIPS without its learned weights (Zhang et al. 2018, arXiv:1801.03924): features of each tap, every
    pixel's vector scaled to unit length, squared difference, mean over pixels and taps. ``recognition``: Kullback-Leibler
    divergence, in nats, of its class probabilities. Not a Keras object: the model must not own it.
    """

    def __init__(self, lite: int) -> None:
        if lite == 0:
            raise ConfigError("perceptual_lite is 0: EfficientNet-Lite0 judges the results and must not teach them")
        self._beholder = folded(build_beholder(lite))

    def _see(self, lightness: Any, ab: Any) -> tuple[list[Any], Any]:
        size = lightness.shape[1:3]
        lifted = ops.image.resize(ab, size, interpolation="bilinear")
        rgb = ops.clip(lab_to_rgb_with(ops.concatenate([lightness, lifted], axis=-1), ops), 0, 1)
        *taps, logits = [ops.cast(output, "float32") for output in self._beholder(rgb * 2 - 1, training=False)]
        return [tap / ops.sqrt(ops.sum(tap * tap, axis=-1, keepdims=True) + 1e-6) for tap in taps], ops.log_softmax(logits)

    def __call__(self, x: Any, guess: Any, truth: Any) -> tuple[Any, Any]:
        """x: network input (N, S, S, 1); guess, truth: ab (N, S/4, S/4, 2). Returns two scalars: look, recognition."""
        lightness = (ops.cast(x, "float32") + 1) * 50
        (mine, said), (original, right) = self._see(lightness, guess), self._see(lightness, truth)
        look = sum(ops.mean(ops.sum((a - ops.stop_gradient(b)) ** 2, axis=-1)) for a, b in zip(mine, original, strict=True)) / 4
        right = ops.stop_gradient(right)
        return look, ops.mean(ops.sum(ops.exp(right) * (right - said), axis=-1))


class Teacher:
    """A trained network with both heads that says what a picture's colours might be, as far as it is certain of them.

    fade: see ``certainty``; 0: it says all that it guesses. Not a Keras object: the model must not own it.
    """

    def __init__(self, network: keras.Model, centers: NDArray[Any], fade: float = 0.0) -> None:
        self.network, self.fade = folded(network), fade
        self._centers = ops.convert_to_tensor(np.asarray(centers, np.float32))

    def __call__(self, x: Any) -> tuple[Any, Any]:
        """x: network input -> ab (N, h, w, 2) and logits of the bins (N, h, w, Q)."""
        said = self.network(x, training=False)
        ab, logits = ops.cast(said["ab"], "float32"), ops.cast(said["bins"], "float32")
        if self.fade:
            ab = ab * certainty(logits, self._centers, self.fade)
        return ops.stop_gradient(ab), ops.stop_gradient(logits)


def gradient_difference(guess: Any, truth: Any) -> Any:
    """Huber loss between the neighbour differences of two ab grids (N, h, w, 2): colour must change where it does."""
    across = huber((guess[:, :, 1:] - guess[:, :, :-1]) - (truth[:, :, 1:] - truth[:, :, :-1]))
    down = huber((guess[:, 1:] - guess[:, :-1]) - (truth[:, 1:] - truth[:, :-1]))
    return ops.mean(across) + ops.mean(down)


class ColorModel(keras.Model):
    """A network with an ``ab`` head and perhaps a ``bins`` head, and the loss over them.

    Targets: {"ab": (N, h, w, 2), "pixels": (N, K) int32}, the indices into h*w of the pixels that count in this step; with a teacher
    also "labelled": (N,) float32, 0 where the teacher alone is to be believed; or "said": (N, h, w, 2), when it was asked before.
    """

    _critic: keras.Model | None = None

    def set_loss(
        self, stage: StageConfig, bins: Bins | None, temperature: float, critic: keras.Model | None = None, teacher: Teacher | None = None
    ) -> None:
        """What a step minimizes. critic: whose score counts too (see convert.critic); it is trained elsewhere."""
        self._stage, self._temperature, self._critic, self._teacher = stage, temperature, critic, teacher
        self._perceive = Perception(stage.perceptual_lite) if stage.perceptual or stage.recognition else None
        self._tables = None if bins is None else tuple(ops.convert_to_tensor(t) for t in (bins.centers, bins.soft, bins.weight))

    # The critic's variables are part of the state of a step (a compiled step would take what is not for a constant), but
    # are not trained by it. Keras asks by either name.

    @property
    def trainable_variables(self) -> list[Any]:
        mine = {id(v) for v in self._critic.variables} if self._critic is not None else set()
        return [v for v in super().trainable_variables if id(v) not in mine]

    @property
    def non_trainable_variables(self) -> list[Any]:
        critics = self._critic.trainable_variables if self._critic is not None else []
        return [*super().non_trainable_variables, *critics]

    @property
    def trainable_weights(self) -> list[Any]:
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list[Any]:
        return self.non_trainable_variables

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        true_grid, grid = ops.cast(y["ab"], "float32"), ops.cast(y_pred["ab"], "float32")
        pixels = y["pixels"][:, :, None]
        said = None
        if self._teacher is not None:
            taught_grid, taught_logits = self._teacher(x)
            labelled = y["labelled"][:, None, None]
            true_grid = labelled[..., None] * true_grid + (1 - labelled[..., None]) * taught_grid
            said = ops.take_along_axis(_flat(taught_grid), pixels, axis=1), ops.take_along_axis(_flat(taught_logits), pixels, axis=1)
        truth = ops.take_along_axis(_flat(true_grid), pixels, axis=1)
        guess = ops.take_along_axis(_flat(grid), pixels, axis=1)
        if self._tables is None:
            return ops.mean(huber(guess - truth))
        extra = 0.0
        if self._stage.gradient:
            extra = extra + self._stage.gradient * 0.1 * gradient_difference(grid, true_grid)
        if self._perceive is not None:
            seen = self._stage.perceived or None  # batches are drawn at random, so that the first ones are any ones
            look, recognition = self._perceive(x[:seen], grid[:seen], true_grid[:seen])
            extra = extra + self._stage.perceptual * look + self._stage.recognition * recognition
        if self._critic is not None:
            extra = extra - self._stage.adversarial * ops.mean(self._critic([x, grid], training=False))
        centers, soft, weight = self._tables
        logits = ops.take_along_axis(_flat(ops.cast(y_pred["bins"], "float32")), pixels, axis=1)
        cell = ops.cast(ops.clip(ops.round((truth + 128) / 2), 0, _GRID - 1), "int32")
        index = cell[..., 0] * _GRID + cell[..., 1]
        entropy = -ops.sum(ops.take(soft, index, axis=0) * ops.log_softmax(logits, axis=-1), axis=-1)
        each = ops.take(weight, index) * entropy
        share = self._stage.annealed_share
        aim = share * ops.stop_gradient(annealed_mean(logits, centers, self._temperature)) + (1 - share) * truth
        if self._stage.fade:
            aim = aim * ops.stop_gradient(certainty(logits, centers, self._stage.fade))
        if said is not None:  # learn from another network's doubts too (Hinton et al. 2015, arXiv:1503.02531)
            taught = 1 - labelled * (1 - self._stage.taught)
            aim = taught * said[0] + (1 - taught) * aim
            each = (1 - taught[..., 0]) * each - taught[..., 0] * ops.sum(ops.softmax(said[1]) * ops.log_softmax(logits), axis=-1)
        if "said" in y:
            answer = ops.take_along_axis(_flat(ops.cast(y["said"], "float32")), pixels, axis=1)
            aim = self._stage.taught * answer + (1 - self._stage.taught) * aim
        classification = ops.mean(each)
        # A tenth: cross entropy is about 3, the Huber loss of ab about 10.
        return self._stage.bins_weight * classification + 0.1 * ops.mean(huber(guess - aim)) + extra


def _flat(x: Any) -> Any:
    _, h, w, c = x.shape
    return ops.reshape(x, (-1, h * w, c))
