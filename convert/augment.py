"""Random crops and what cameras do to luma, on whatever device the network runs on.

All that is random is drawn on the host, as a few numbers a picture, by a seed; ``render`` is plain arithmetic on
tensors (keras.ops), so that the same code feeds a CPU and a GPU and a resumed run sees the same pictures.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edgecolor.quantization import lightness_input

Draw = dict[str, NDArray[Any]]
_NOISE_TILES = 64
# JPEG's and H.264's coarse steps grow with frequency; this slope is near that of ITU-T T.81's table K.1.
_STEP_SLOPE = 0.35


def draw(rng: np.random.Generator, shapes: NDArray[Any], crop: tuple[float, float], camera: float) -> Draw:
    """Draw what happens to each picture.

    shapes: (N, 2) height and width of the pictures on their canvases. crop: range of the square crop's side, as a share
    of the short side. camera: share of pictures that get camera effects. Every array is (N,) float32, but "tile" int32.
    """
    count = len(shapes)
    side = shapes.min(1) * rng.uniform(*crop, count)
    is_camera = rng.random(count) < camera

    def effect(chance: float, low: float, high: float, idle: float) -> NDArray[Any]:
        return np.where(is_camera & (rng.random(count) < chance), rng.uniform(low, high, count), idle)

    drawn = {
        "height": shapes[:, 0],
        "width": shapes[:, 1],
        "side": side,
        "top": rng.random(count) * (shapes[:, 0] - side),
        "left": rng.random(count) * (shapes[:, 1] - side),
        "flip": rng.random(count) < 0.5,
        "gamma": np.exp(effect(0.6, -0.6, 0.6, 0.0)),
        "contrast": effect(0.5, 0.5, 1.25, 1.0),
        "middle": effect(0.5, -0.1, 0.1, 0.0) + 0.5,
        "blur": effect(0.3, 0.4, 1.6, 0.0),
        "vignette": effect(0.2, 0.1, 0.5, 0.0),
        "gain": effect(0.25, 0.2, 0.8, 1.0),
        "noise": effect(0.6, 0.0, 0.08, 0.0),
        "step": effect(0.3, 0.02, 0.12, 0.0),
    }
    values: Draw = {key: np.asarray(value, np.float32) for key, value in drawn.items()}
    values["tile"] = rng.integers(0, _NOISE_TILES, count).astype(np.int32)
    return values


@functools.cache
def noise_tiles(size: int) -> NDArray[np.float32]:
    """(tiles, size, size) of unit Gaussian noise; which tile a picture gets is drawn."""
    return np.random.default_rng(size).standard_normal((_NOISE_TILES, size, size)).astype(np.float32)


def render(luma: Any, ab: Any, drawn: dict[str, Any], tiles: Any, size: int) -> tuple[Any, Any]:
    """Canvases and a draw -> (network input x (N, size, size, 1) float32, ab target (N, size/4, size/4, 2) float32).

    luma: (N, C, C) uint8. ab: (N, C/2, C/2, 2) int8. tiles: noise_tiles(size). The target is the clean picture's colour.
    """
    luma = ops.cast(luma, "float32") / 255
    ab = ops.cast(ab, "float32")
    top, left, side, flip, height, width = (drawn[key] for key in ("top", "left", "side", "flip", "height", "width"))
    rows, columns = _resampling(top, side, None, height, luma.shape[1], size), _resampling(left, side, flip, width, luma.shape[2], size)
    seen = ops.matmul(ops.matmul(rows, luma), ops.transpose(columns, (0, 2, 1)))
    rows = _resampling(top / 2, side / 2, None, height / 2, ab.shape[1], size // 4)
    columns = _resampling(left / 2, side / 2, flip, width / 2, ab.shape[2], size // 4)
    target = ops.einsum("nij,njkc,nlk->nilc", rows, ab, columns)
    return network_input(camera_luma(seen, drawn, tiles)), target


def camera_luma(luma: Any, drawn: dict[str, Any], tiles: Any) -> Any:
    """Luma (N, H, W) in [0, 1] as a camera shows it: tone, blur, vignetting, low light with shot noise, coarse compression.

    H and W are multiples of 8; tiles: noise_tiles of at least the larger of the two.
    """
    height, width = luma.shape[1:]
    values = {key: value[:, None, None] for key, value in drawn.items()}
    luma = ops.clip(luma, 1e-4, 1) ** values["gamma"]
    luma = (luma - values["middle"]) * values["contrast"] + values["middle"]
    blur = _gaussian(drawn["blur"], height), _gaussian(drawn["blur"], width)
    luma = ops.matmul(ops.matmul(blur[0], luma), ops.transpose(blur[1], (0, 2, 1)))
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) ** 2 for side in (height, width))
    luma = luma * (1 - values["vignette"] * (y[:, None] + x[None]) / 2) * values["gain"]
    noise = ops.take(tiles, drawn["tile"], axis=0)[:, :height, :width]
    luma = luma + noise * values["noise"] * ops.sqrt(ops.clip(luma, 0.02, 1))  # shot noise grows with the root of light
    return _blocks(ops.clip(luma, 0, 1), drawn["step"])


def network_input(luma: Any) -> Any:
    """Luma (N, S, T) in [0, 1], or uint8 codes -> the network's input (N, S, T, 1): L*/50 - 1 of the nearest 8-bit code."""
    codes = luma if keras.backend.standardize_dtype(luma.dtype) == "uint8" else ops.round(ops.clip(luma, 0, 1) * 255)
    return ops.take(ops.convert_to_tensor(lightness_input()), ops.cast(codes, "int32"), axis=0)[..., None]


def _resampling(start: Any, side: Any, flip: Any, end: Any, source: int, target: int) -> Any:
    """(N, target, source) weights that resample [start, start + side) to ``target`` pixels: a triangle as wide as a pixel
    of the coarser grid, so that shrinking averages and enlarging interpolates. Nothing is taken from ``end`` on, where the
    canvas is empty."""
    scale = side / target
    place = (np.arange(target, dtype=np.float32)[None] + 0.5) * scale[:, None]
    if flip is not None:
        place = ops.where(flip[:, None] > 0.5, side[:, None] - place, place)
    center = start[:, None] + place - 0.5
    pixel = np.arange(source, dtype=np.float32)[None, None]
    weight = ops.relu(1 - ops.abs(center[:, :, None] - pixel) / ops.maximum(scale, 1.0)[:, None, None])
    weight = ops.where(pixel < end[:, None, None], weight, 0.0)
    return weight / ops.sum(weight, axis=-1, keepdims=True)


def _gaussian(sigma: Any, size: int) -> Any:
    """(N, size, size) blur matrices; sigma 0 leaves the picture alone."""
    axis = np.arange(size, dtype=np.float32)
    square = (axis[:, None] - axis[None]) ** 2
    weight = ops.exp(-square[None] / (2 * ops.maximum(sigma, 0.05)[:, None, None] ** 2))
    return weight / ops.sum(weight, axis=-1, keepdims=True)


def _dct() -> NDArray[np.float32]:
    """Orthonormal DCT-II of 8 samples, (frequency, sample)."""
    k, n = np.mgrid[:8, :8]
    basis = np.sqrt(2 / 8) * np.cos(np.pi * (2 * n + 1) * k / 16)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)


def _blocks(luma: Any, step: Any) -> Any:
    """Quantize 8x8 DCT blocks of luma (N, H, W) by ``step`` (N,), in units of luma; 0 leaves a picture alone."""
    (height, width), basis = luma.shape[1:], _dct()
    blocks = ops.reshape(luma, (-1, height // 8, 8, width // 8, 8))
    spectrum = ops.einsum("uy,naybx,vx->naubv", basis, blocks, basis)
    u, v = np.mgrid[:8, :8]
    growth = (1 + _STEP_SLOPE * (u + v)).astype(np.float32)[:, None, :]
    steps = ops.maximum(step, 1e-6)[:, None, None, None, None] * growth
    coarse = ops.einsum("uy,naubv,vx->naybx", basis, ops.round(spectrum / steps) * steps, basis)
    coarse = ops.reshape(coarse, (-1, height, width))
    return ops.clip(ops.where(step[:, None, None] > 0, coarse, luma), 0, 1)
