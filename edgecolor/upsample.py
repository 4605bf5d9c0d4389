"""Guided upsampling: chroma guessed on a small grid, lifted to any size along the edges of full-resolution luma.

chroma = bilinear(grid) + slope * (luma - bilinear(the grid's own luma)): what the grid says stays as it is, and what luma
has beyond the grid's resolution carries chroma along. The slope is fitted in a small window of grid cells as in the fast
guided filter of He and Sun 2015 (arXiv:1505.00996), but where luma hardly varies it is drawn towards chroma / luma
instead of 0: shading scales R', G' and B' alike, so that on a thing of one colour chroma goes with luma. The filter of
that paper also smooths what the grid says, twice, which pales the picture; `python -m tests.benchmarks.lifting` compares.
It all is one line per cell, chroma = slope * luma + offset, which fits frames too that the network never saw.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float32]  # (h, w, 2) chroma
Lines = NDArray[np.float32]  # (4, h, w) slopes and offsets

RADIUS = 1  # grid cells: the smallest window
EPSILON = 0.001  # variance of luma in [0, 1] below which an edge is taken for noise, and the slope for that of shading
_DARK = 16.0  # codes of luma that are added before dividing by it: near black, chroma / luma is noise


def fit(chroma: Grid, guide: NDArray[np.uint8], radius: int = RADIUS, epsilon: float = EPSILON) -> Lines:
    """Fit chroma as a line over luma in each cell of the grid, from the cells around it.

    chroma: (h, w, 2) float32 on the network's grid. guide: (S, T) uint8, the luma that the network saw.
    Returns (4, h, w) float32: slopes of both channels, then their offsets, for luma in codes 0..255 and chroma in its
    own units.
    """
    height, width = chroma.shape[:2]
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.blur(x, window, borderType=cv2.BORDER_REFLECT)  # type: ignore[return-value]

    luma = cv2.resize(guide, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    mean_luma = mean(luma)
    ridge = np.float32(epsilon * 255**2)
    variance = mean(luma * luma) - mean_luma * mean_luma + ridge
    lines = np.empty((4, height, width), np.float32)
    for channel in range(2):
        value = np.ascontiguousarray(chroma[..., channel])
        mean_value = mean(value)
        shading = mean_value / (mean_luma + np.float32(_DARK))
        lines[channel] = (mean(value * luma) - mean_value * mean_luma + ridge * shading) / variance
        lines[2 + channel] = value - lines[channel] * luma
    return lines


def apply(lines: Lines, luma: NDArray[np.uint8]) -> Grid:
    """Evaluate fitted lines on luma (H, W) uint8 of any size; returns chroma (H, W, 2) float32."""
    value = luma.astype(np.float32)
    chroma = np.empty((*luma.shape, 2), np.float32)
    for channel in range(2):
        slope, offset = np.empty((2, *luma.shape), np.float32)
        _enlarge(lines, channel, slope, offset)
        chroma[..., channel] = slope * value + offset
    return chroma


def apply_to_planes(lines: Lines, luma: NDArray[np.uint8], excursion: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Evaluate fitted lines on luma (H, W) uint8 as two planes of 8-bit codes, 128 + chroma * excursion, (H, W) each.

    The live path: the same as ``apply`` with rounding and saturation, at a fifth of its cost.
    """
    value, slope, offset = _scratch(luma.shape)
    np.copyto(value, luma)
    scaled = lines * np.float32(excursion)
    scaled[2:] += 128
    planes = []
    for channel in range(2):
        _enlarge(scaled, channel, slope, offset)
        planes.append(cv2.add(cv2.multiply(slope, value, dst=slope), offset, dtype=cv2.CV_8U))
    return planes[0], planes[1]


def _enlarge(lines: Lines, channel: int, slope: NDArray[np.float32], offset: NDArray[np.float32]) -> None:
    size = slope.shape[1], slope.shape[0]
    cv2.resize(lines[channel], size, dst=slope, interpolation=cv2.INTER_LINEAR)
    cv2.resize(lines[2 + channel], size, dst=offset, interpolation=cv2.INTER_LINEAR)


_kept = threading.local()


def _scratch(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Three float planes, kept per thread: the page faults of fresh megabytes cost more than the arithmetic on them."""
    if getattr(_kept, "shape", None) != shape:
        _kept.shape, _kept.planes = shape, np.empty((3, *shape), np.float32)
    planes: NDArray[np.float32] = _kept.planes
    return planes
