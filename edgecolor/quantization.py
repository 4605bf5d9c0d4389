"""Affine quantization as TFLite does it (Jacob et al. 2018, arXiv:1712.05877): real = scale * (code - zero_point)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecolor.color import luma_codes, luma_to_lightness
from edgecolor.frame import ColorRange


def quantize(real: ArrayLike, scale: float, zero_point: int, dtype: Any = np.int8) -> NDArray[Any]:
    """real (...,) -> codes (...,) of an integer dtype: round half to even, then clip to the dtype's range."""
    info = np.iinfo(dtype)
    codes = np.rint(np.asarray(real, np.float64) / scale) + zero_point
    return np.asarray(np.clip(codes, info.min, info.max), dtype)


def dequantize(codes: ArrayLike, scale: float, zero_point: int) -> NDArray[np.float32]:
    """codes (...,) -> real values (...,) float32."""
    return ((np.asarray(codes, np.float32) - np.float32(zero_point)) * np.float32(scale)).astype(np.float32)


def lightness_input(color_range: ColorRange = "full") -> NDArray[np.float32]:
    """(256,) float32: what the networks take for each 8-bit luma code, x = L*/50 - 1, in [-1, 1]."""
    return (luma_to_lightness(luma_codes(np.uint8, color_range)) / np.float32(50) - np.float32(1)).astype(np.float32)


def input_table(scale: float, zero_point: int, color_range: ColorRange = "full") -> NDArray[np.int8]:
    """(256,) int8: 8-bit luma code -> quantized network input, in one look-up: range, L* and quantization fused."""
    return quantize(lightness_input(color_range), scale, zero_point)
