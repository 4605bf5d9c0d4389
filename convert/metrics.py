"""Figures of merit for colorized pictures. Every function takes RGB uint8; sources stand with each.

Protocol: the gray input is the Rec. 601 luma of the original; the runtime colorizes it at the picture's own size; both
pictures are then cut to their centre square and resized by area to 256x256, where everything is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000

from convert.network import build_classifier
from edgecolor.color import rgb_to_lab

SIDE = 256
Picture = NDArray[np.uint8]
Figures = dict[str, NDArray[np.float64]]


def central_square(rgb: Picture) -> Picture:
    """(H, W, 3) -> (256, 256, 3): the centre square, resized by area."""
    h, w = rgb.shape[:2]
    side = min(h, w)
    cut = rgb[(h - side) // 2 :, (w - side) // 2 :][:side, :side]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def colorfulness(rgb: Picture) -> float:
    """Hasler and Suesstrunk 2003, "Measuring colourfulness in natural images", metric M3."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = red - green, 0.5 * (red + green) - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def area_under_curve(distance: NDArray[Any]) -> float:
    """AuC of Zhang et al. 2016 (arXiv:1603.08511): mean over thresholds 0..150 of the share of pixels within each."""
    counts = np.bincount(np.minimum(np.ceil(distance), 151).astype(np.int64).ravel(), minlength=152)
    return float((np.cumsum(counts)[:151] / distance.size).mean())


def compare(original: Picture, result: Picture) -> dict[str, float]:
    """Figures of one pair of pictures of the same shape."""
    error = original.astype(np.float64) - result
    lab, guess = rgb_to_lab(original / np.float32(255)), rgb_to_lab(result / np.float32(255))
    distance = np.linalg.norm(lab[..., 1:] - guess[..., 1:], axis=-1)
    mse = float((error**2).mean())
    return {
        "mse": mse,
        "psnr": 10 * np.log10(255**2 / max(mse, 1e-3)),
        "ab_distance": float(distance.mean()),
        "ciede2000": float(deltaE_ciede2000(lab, guess).mean()),
        "auc": area_under_curve(distance),
        "colorfulness": colorfulness(result),
        "chroma": float(np.linalg.norm(guess[..., 1:], axis=-1).mean()),
    }


@dataclass(frozen=True)
class Seen:
    """What EfficientNet-Lite0 sees: pooled features (N, 320) and class (N,) of each picture."""

    features: NDArray[np.float64]
    classes: NDArray[np.int64]


class Judge:
    """The published ImageNet classifier as a judge. It is never used in a loss."""

    def __init__(self) -> None:
        self._classifier: keras.Model = build_classifier(0, SIDE)

    def look(self, pictures: list[Picture]) -> Seen:
        """pictures: 256x256 RGB."""
        features, classes = [], []
        for first in range(0, len(pictures), 32):
            batch = np.stack(pictures[first : first + 32]).astype(np.float32) / 127.5 - 1
            pooled, logits = self._classifier.predict_on_batch(batch)
            features.append(np.asarray(pooled, np.float64))
            classes.append(np.asarray(logits).argmax(-1))
        return Seen(np.concatenate(features), np.concatenate(classes))


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of features (N, D) under Gaussians (Heusel et al. 2017, arXiv:1706.08500).

    The features here are EfficientNet-Lite0's, so the figures compare among each other and not with Inception's FID.
    """
    mean = a.mean(0) - b.mean(0)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(ca)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cb @ root), 0)).sum()
    return float(mean @ mean + np.trace(ca) + np.trace(cb) - 2 * cross)
