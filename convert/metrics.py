"""Figures of merit for colorized pictures. Pictures are RGB uint8; sources stand with each function.

Protocol: the gray input is the Rec. 601 luma of the original; the runtime colorizes it at the picture's own size; both
pictures are then cut to their centre square and resized by area to 256x256, where everything is measured.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from convert.network import build_classifier
from edgecolor.color import rgb_to_lab

SIDE = 256
BATCH = 32
Picture = NDArray[np.uint8]


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


def ciede2000(lab: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """CIEDE2000 colour difference of CIELAB (..., 3) from CIELAB (..., 3) -> (...,), with k_L = k_C = k_H = 1.

    Sharma, Wu and Dalal 2005, "The CIEDE2000 Color-Difference Formula", equations 2 to 22. Works in the inputs' own
    precision: float32 is within 0.001 of float64 and takes a third of its time.
    """
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(lab, -1, 0), np.moveaxis(other, -1, 0)
    full = 2 * np.pi
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _chroma_weight(mean_chroma)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.arctan2(b1, a1) % full, np.arctan2(b2, a2) % full
    colored = c1 * c2 > 0  # without chroma there is no hue: differences are 0 and the mean hue is the sum
    turn = h2 - h1
    turn = np.where(colored, turn - full * np.rint(turn / full), 0)  # the short way round
    hue = np.where(colored, (h1 + turn / 2) % full, h1 + h2)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    delta_l, delta_c, delta_h = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(turn / 2)
    degrees = np.pi / 180
    weight = (
        1 - 0.17 * np.cos(hue - 30 * degrees) + 0.24 * np.cos(2 * hue) + 0.32 * np.cos(3 * hue + 6 * degrees)
        - 0.20 * np.cos(4 * hue - 63 * degrees)
    )
    middle = (light - 50) ** 2
    s_l = 1 + 0.015 * middle / np.sqrt(20 + middle)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * weight
    blue_turn = 60 * degrees * np.exp(-(((hue / degrees - 275) / 25) ** 2))
    rotation = -np.sin(blue_turn) * 2 * _chroma_weight(chroma)
    l_part, c_part, h_part = delta_l / s_l, delta_c / s_c, delta_h / s_h
    return np.asarray(np.sqrt(np.maximum(l_part**2 + c_part**2 + h_part**2 + rotation * c_part * h_part, 0)))


def _chroma_weight(chroma: NDArray[Any]) -> NDArray[Any]:
    """sqrt(C^7 / (C^7 + 25^7)), written so that float32 neither overflows nor raises to a costly power."""
    ratio = chroma / 25
    seventh = ratio * np.square(ratio * ratio * ratio)
    return np.asarray(np.sqrt(seventh / (seventh + 1)))


@dataclass(frozen=True)
class Original:
    """A picture to compare with, (256, 256, 3), and what is needed of it for every comparison."""

    rgb: Picture
    lab: NDArray[np.float32]
    colorfulness: float

    @classmethod
    def of(cls, rgb: Picture) -> Original:
        return cls(rgb, rgb_to_lab(rgb / np.float32(255)), colorfulness(rgb))

    @property
    def chroma(self) -> float:
        """Mean C*ab over all pixels."""
        return float(np.hypot(self.lab[..., 1], self.lab[..., 2]).mean())


def compare(original: Original, result: Picture) -> dict[str, float]:
    """Figures of one colorized picture beside its original of the same shape. PSNR is that of RGB, in dB."""
    guess = rgb_to_lab(result / np.float32(255))
    apart = original.lab[..., 1:] - guess[..., 1:]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    error = original.rgb.astype(np.int32) - result
    mse = float((error * error).mean())
    vivid = colorfulness(result)
    return {
        "mse": mse,
        "psnr": 10 * float(np.log10(255**2 / max(mse, 1e-3))),
        "ab_distance": float(distance.mean()),
        "ciede2000": float(ciede2000(original.lab, guess).mean()),
        "auc": area_under_curve(distance),
        "colorfulness": vivid,
        "colorfulness_difference": abs(vivid - original.colorfulness),
        "chroma": float(np.hypot(guess[..., 1], guess[..., 2]).mean()),
    }


def ab_difference(first: Picture, second: Picture) -> float:
    """Mean distance in the (a*, b*) plane of two pictures of the same shape (H, W, 3), at whatever size they have."""
    apart = rgb_to_lab(first / np.float32(255))[..., 1:] - rgb_to_lab(second / np.float32(255))[..., 1:]
    return float(np.hypot(apart[..., 0], apart[..., 1]).mean())


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
        for first in range(0, len(pictures), BATCH):
            batch = np.stack(pictures[first : first + BATCH]).astype(np.float32) / 127.5 - 1
            pooled, logits = self._classifier.predict_on_batch(batch)
            features.append(np.asarray(pooled, np.float64))
            classes.append(np.asarray(logits).argmax(-1))
        return Seen(np.concatenate(features), np.concatenate(classes))


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of features (N, D) under Gaussians (Heusel et al. 2017, arXiv:1706.08500).

    The features here are EfficientNet-Lite0's, so the figures compare among each other and not with Inception's FID.
    """
    return Gaussian.of(a).distance(Gaussian.of(b))


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) of N features, and their deviations from it over sqrt(N - 1): (N, D), a root of the covariance."""

    mean: NDArray[np.float64]
    deviations: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float64]) -> Gaussian:
        """features: (N, D)."""
        mean = features.mean(0)
        return cls(mean, (features - mean) / np.sqrt(max(1, len(features) - 1)))

    @functools.cached_property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D)."""
        return np.asarray(self.deviations.T @ self.deviations)

    @functools.cached_property
    def _root(self) -> NDArray[np.float64]:
        """R with R^T R = covariance, as few rows as there can be; made once, however many sets it is compared with."""
        if len(self.deviations) <= len(self.mean):
            return self.deviations
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray(np.sqrt(np.maximum(values, 0))[:, None] * vectors.T)

    def distance(self, other: Gaussian) -> float:
        """Squared Frechet (2-Wasserstein) distance; R C R^T has the eigenvalues of the product of both covariances."""
        apart = self.mean - other.mean
        cross = np.sqrt(np.maximum(np.linalg.eigvalsh(self._root @ other.covariance @ self._root.T), 0)).sum()
        return float(apart @ apart + np.trace(self.covariance) + np.trace(other.covariance) - 2 * cross)
