from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from keras import ops

from convert.augment import camera_luma, draw, network_input, noise_tiles, render
from convert.config import DataConfig, StageConfig
from convert.dataset import PictureCache
from convert.sampler import Sampler
from edgecolor.quantization import lightness_input


def still(count: int, side: float, top: float = 0, left: float = 0) -> dict[str, np.ndarray]:
    """A draw that changes nothing but the crop, of pictures that fill their canvases of 96 x 96."""
    drawn = draw(np.random.default_rng(0), np.full((count, 2), 96, np.float32), (side / 96, side / 96), 0.0)
    return {**drawn, "flip": np.zeros(count, np.float32), "top": np.full(count, top, np.float32), "left": np.full(count, left, np.float32)}


def luma_back(x: object) -> np.ndarray:
    return np.interp(np.asarray(x)[..., 0], lightness_input(), np.arange(256))


@pytest.fixture(scope="module")
def canvas() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    luma = cv2.GaussianBlur(rng.integers(0, 256, (96, 96)).astype(np.uint8), (0, 0), 2)
    return luma[None], rng.integers(-60, 60, (1, 48, 48, 2)).astype(np.int8)


def test_a_crop_of_the_whole_picture_at_its_size_is_the_picture(canvas: tuple[np.ndarray, np.ndarray]) -> None:
    x, target = render(*canvas, still(1, 96), noise_tiles(96), 96)
    np.testing.assert_allclose(luma_back(x)[0], canvas[0][0], atol=0.6)
    wanted = canvas[1][0].astype(float).reshape(24, 2, 24, 2, 2).mean((1, 3))
    assert np.asarray(target).shape == (1, 24, 24, 2)
    # A triangle two source pixels wide each way is a little wider than the area mean.
    assert np.corrcoef(np.asarray(target)[0].ravel(), wanted.ravel())[0, 1] > 0.8


def test_a_crop_is_where_it_says_and_flips_both(canvas: tuple[np.ndarray, np.ndarray]) -> None:
    luma, ab = canvas
    drawn = {**still(1, 64, top=10, left=20)}
    x, target = render(luma, ab, drawn, noise_tiles(64), 64)
    np.testing.assert_allclose(luma_back(x)[0], luma[0, 10:74, 20:84], atol=0.6)
    flipped_x, flipped = render(luma, ab, {**drawn, "flip": np.ones(1, np.float32)}, noise_tiles(64), 64)
    np.testing.assert_allclose(np.asarray(flipped_x)[:, :, ::-1], np.asarray(x), atol=0.02)
    np.testing.assert_allclose(np.asarray(flipped)[:, :, ::-1], np.asarray(target), atol=1e-3)


def test_shrinking_averages(canvas: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = render(*canvas, still(1, 96), noise_tiles(32), 32)
    wanted = cv2.resize(canvas[0][0], (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(luma_back(x)[0] - wanted).mean() < 3


def test_nothing_of_the_empty_canvas_is_in_a_crop() -> None:
    luma, ab = np.zeros((8, 96, 96), np.uint8), np.zeros((8, 48, 48, 2), np.int8)
    luma[:, :72, :80], ab[:, :36, :40] = 200, 60
    drawn = draw(np.random.default_rng(0), np.full((8, 2), (72, 80), np.float32), (1.0, 1.0), 0.0)
    x, target = render(luma, ab, {**drawn, "left": 80 - drawn["side"]}, noise_tiles(32), 32)
    np.testing.assert_allclose(np.asarray(target), 60, atol=1e-3)
    np.testing.assert_allclose(luma_back(x), 200, atol=0.6)


def test_network_input_is_that_of_the_runtime() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for given in (ops.convert_to_tensor(codes), ops.convert_to_tensor(codes / np.float32(255))):
        np.testing.assert_allclose(np.asarray(network_input(given)).ravel(), lightness_input(), atol=1e-6)


def test_camera_effects_change_luma_and_keep_it_luma() -> None:
    luma = np.repeat(cv2.GaussianBlur(np.random.default_rng(0).random((48, 64)).astype(np.float32), (0, 0), 3)[None], 200, 0)
    drawn = draw(np.random.default_rng(1), np.full((200, 2), 48, np.float32), (1.0, 1.0), 1.0)
    seen = np.asarray(camera_luma(luma, drawn, noise_tiles(64)))
    assert seen.shape == luma.shape and seen.min() >= 0 and seen.max() <= 1
    change = np.abs(seen - luma).mean((1, 2))
    assert change.min() < 0.02 < 0.2 < change.max()
    idle = draw(np.random.default_rng(1), np.full((200, 2), 48, np.float32), (1.0, 1.0), 0.0)
    np.testing.assert_allclose(np.asarray(camera_luma(luma, idle, noise_tiles(64))), luma, atol=1e-3)


@pytest.mark.parametrize(
    ("key", "value"), [("blur", 1.5), ("noise", 0.08), ("step", 0.12), ("gain", 0.3), ("vignette", 0.5), ("gamma", 1.8)]
)
def test_each_effect_does_its_own_thing(key: str, value: float) -> None:
    luma = np.full((1, 64, 64), 0.5, np.float32)
    luma[:, :, 21:43] = 0.7
    seen = np.asarray(camera_luma(luma, {**still(1, 64), key: np.float32([value])}, noise_tiles(64)))[0]
    edge = np.abs(np.diff(seen[32])).max()
    flat = seen[2:60, 4:18]
    checks = {
        "blur": edge < 0.1 and flat.std() < 1e-3,
        "noise": 0.03 < flat.std() < 0.09,
        "step": edge > 0.02 and 0.001 < np.abs(seen - luma[0]).mean() < 0.1,
        "gain": abs(float(flat.mean()) - 0.15) < 0.01,
        "vignette": seen[2, 2] < 0.8 * seen[32, 10],
        "gamma": abs(float(flat.mean()) - 0.5**1.8) < 0.01,
    }
    assert checks[key]


def test_batches_are_a_function_of_seed_and_step_and_the_same_from_device_memory(data: Path, tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, DataConfig(train=str(data / "pictures"), validation="elsewhere", short_side=48))
    stage = StageConfig(name="s", kind="whole", steps=1, batch=6, size=32, camera=0.5, pixels=10)
    batches = [Sampler(cache, stage, resident).batch(1, 7) for resident in (False, False, True)]
    for x, y in batches[1:]:
        np.testing.assert_allclose(np.asarray(x), np.asarray(batches[0][0]), atol=1e-5)
        np.testing.assert_allclose(np.asarray(y["ab"]), np.asarray(batches[0][1]["ab"]), atol=1e-4)
        assert (y["pixels"] == batches[0][1]["pixels"]).all() and y["pixels"].shape == (6, 10)
    other, _ = Sampler(cache, stage, False).batch(1, 8)
    assert np.abs(np.asarray(other) - np.asarray(batches[0][0])).mean() > 0.05
