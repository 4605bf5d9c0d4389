"""The cache of an encoder's features, on pictures of one colour each, so that its targets tell whose they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from convert.config import DataConfig, StageConfig, TrainConfig
from convert.dataset import PictureCache
from convert.features import FeatureCache
from convert.losses import Teacher

STAGE = StageConfig("features", "features", 1, batch=2, size=32, passes=2)


def pictures_of(folder: Path, color: tuple[int, int, int]) -> PictureCache:
    (folder / "pictures").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (48, 48), color).save(folder / "pictures" / f"{number}.png")
    return PictureCache(folder.parent / "cache", DataConfig(str(folder / "pictures"), "elsewhere", short_side=36))


def features_of(pictures: PictureCache, folder: Path, stage: StageConfig = STAGE) -> FeatureCache:
    return FeatureCache(folder / "cache", pictures, TrainConfig("none", data=DataConfig(short_side=36)), stage)


def test_features_of_other_pictures_are_not_taken(tmp_path: Path) -> None:
    red, blue = pictures_of(tmp_path / "red", (200, 30, 30)), pictures_of(tmp_path / "blue", (30, 30, 200))
    reds, blues = (features_of(pictures, tmp_path).some_colors(100, 1).mean(0) for pictures in (red, blue))
    assert reds[1] > 20 and blues[1] < -50


def test_fewer_passes_take_the_first_rows_and_leave_the_others_whole(tmp_path: Path) -> None:
    red = pictures_of(tmp_path / "red", (200, 30, 30))
    assert features_of(red, tmp_path).rows == 6
    first = features_of(red, tmp_path, replace(STAGE, passes=1))
    assert first.rows == 3 and len(first.batch(np.arange(3))[1]) == 3
    taps, ab = features_of(red, tmp_path).batch(np.arange(6))
    assert ab[..., 0].min() > 20 and all(np.ptp(tap[3:]) > 0 for tap in taps)


def test_statistics_cut_off_while_they_were_written_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    red = pictures_of(tmp_path / "red", (200, 30, 30))

    def cut(path: Path, **_: object) -> None:
        Path(path).write_bytes(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(np, "savez", cut)
        features_of(red, tmp_path)
    assert features_of(red, tmp_path).rows == 6


def dark_or_light(ab: float) -> Teacher:
    """A teacher that says red of what is dark and blue of what is light: a* is this many units times -x."""
    x = keras.Input((None, None, 1))
    head = keras.layers.Conv2D(2, 1, name="ab")
    bins = keras.layers.Conv2D(3, 1, kernel_initializer="zeros", name="bins")
    small = keras.layers.AveragePooling2D(4)(x)
    network = keras.Model(x, {"ab": head(small), "bins": bins(small)})
    head.set_weights([np.float32([-ab, 0]).reshape(1, 1, 1, 2), np.float32([0, 0])])
    return Teacher(network, np.zeros((3, 2)))


def test_a_teacher_is_asked_once_of_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    for number, gray in enumerate((20, 128, 235)):
        Image.new("RGB", (48, 48), (gray, gray, gray)).save(tmp_path / "pictures" / f"{number}.png")
    pictures = PictureCache(tmp_path / "cache", DataConfig(str(tmp_path / "pictures"), "elsewhere", short_side=36))
    cache = features_of(pictures, tmp_path, replace(STAGE, passes=40, camera=0.0))
    asked = []

    def counted(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        def count(x: np.ndarray) -> np.ndarray:
            asked.append(len(x))
            if len(asked) == 2 and cut:
                raise KeyboardInterrupt
            return function(x)

        return count

    monkeypatch.setattr("convert.features.compiled", counted)
    cut = True
    with pytest.raises(KeyboardInterrupt):
        cache.ask(dark_or_light(50.0))
    cut = False
    cache.ask(dark_or_light(50.0))
    assert asked == [64, 56, 56], "it goes on where it was"
    cache.ask(dark_or_light(50.0))
    assert len(asked) == 3, "it has answered"
    rows = np.random.default_rng(0).permutation(cache.rows)[:60]
    taps, ab = cache.batch(rows)
    said = cache.said(rows).astype(np.float32)
    assert said.shape == ab.shape and np.abs(said[..., 1]).max() == 0
    brightness = taps[0].reshape(len(taps[0]), -1)
    for one in range(60):  # rows that have the same features have the same answer: both come in one order
        alike = [other for other in range(60) if np.abs(brightness[one] - brightness[other]).max() < 0.1]
        assert np.ptp(said[alike][..., 0]) <= 2, (one, alike)
    assert len(np.unique(said[:, 4, 4, 0])) == 3
    cache.ask(dark_or_light(-50.0))
    np.testing.assert_allclose(cache.said(rows), -said, atol=1)
