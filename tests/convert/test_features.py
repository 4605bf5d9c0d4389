"""The cache of an encoder's features, on pictures of one colour each, so that its targets tell whose they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convert.config import DataConfig, StageConfig, TrainConfig
from convert.dataset import PictureCache
from convert.features import FeatureCache

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
