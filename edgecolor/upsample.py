"""Guided upsampling: chroma guessed on a small grid, lifted to any size along the edges of full-resolution luma.

The fast guided filter of He and Sun 2015 (arXiv:1505.00996): in every small window chroma is a line over luma,
chroma = slope * luma + offset. Slope and offset are fitted on a small copy of the luma, smoothed, enlarged, and
applied to the luma of the frame at hand; so a chroma edge lands where the luma edge is, on frames too that the network
never saw. Constant chroma stays constant: its slope is 0.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float32]

# Chosen on the validation pictures (see models/README.md): the window is about one grid cell of the networks.
RADIUS = 4  # pixels of the fitting size
EPSILON = 0.002  # variance of luma in [0, 1] below which an edge is taken for noise


def fit(chroma: Grid, guide: NDArray[np.uint8], radius: int = RADIUS, epsilon: float = EPSILON) -> Grid:
    """Fit chroma as a line over luma around each pixel of a small guide.

    chroma: (h, w, 2) float32 on the network's grid. guide: (S, T) uint8, the luma that the network saw.
    Returns (S, T, 4) float32: slopes of both channels, then offsets, for luma in codes 0..255 and chroma in its own units.
    """
    size = guide.shape[1], guide.shape[0]
    window = (2 * radius + 1, 2 * radius + 1)
    luma = guide.astype(np.float32) * np.float32(1 / 255)
    value = cv2.resize(chroma, size, interpolation=cv2.INTER_LINEAR)

    def mean(x: NDArray[Any]) -> NDArray[Any]:
        return cv2.blur(x, window, borderType=cv2.BORDER_REFLECT)

    mean_luma = mean(luma)
    mean_value = mean(value)
    variance = mean(luma * luma) - mean_luma * mean_luma
    covariance = mean(value * luma[..., None]) - mean_value * mean_luma[..., None]
    slope = covariance / (variance + np.float32(epsilon))[..., None]
    offset = mean_value - slope * mean_luma[..., None]
    return mean(np.concatenate([slope * np.float32(1 / 255), offset], axis=-1))


def apply(lines: Grid, luma: NDArray[np.uint8]) -> Grid:
    """Evaluate fitted lines on luma (H, W) uint8 of any size; returns chroma (H, W, 2) float32."""
    h, w = luma.shape
    enlarged = cv2.resize(lines, (w, h), interpolation=cv2.INTER_LINEAR)
    return enlarged[..., :2] * luma[..., None] + enlarged[..., 2:]
