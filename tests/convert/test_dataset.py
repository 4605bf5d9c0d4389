from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from convert.config import DataConfig, load_config
from convert.dataset import PictureCache, PictureFile, camera_luma, list_pictures, random_sample, sample_batch, split
from edgecolor.color import rgb_to_lab
from edgecolor.errors import ConfigError, PictureError


def test_folders_and_zips_hold_the_same_pictures(data: Path, tmp_path: Path) -> None:
    files = list_pictures(data / "pictures")
    assert [f.name for f in files] == ["astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg"]
    with zipfile.ZipFile(tmp_path / "shard.zip", "w") as archive:
        for file in files:
            archive.write(file.path, file.name)
    packed = list_pictures(tmp_path)
    assert [f.name for f in packed] == [f.name for f in files]
    assert (packed[1].read() == files[1].read()).all()


def test_no_pictures_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no pictures"):
        list_pictures(tmp_path)
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(PictureError, match="not a picture"):
        list_pictures(tmp_path)[0].read()


def test_the_split_depends_on_each_name_alone() -> None:
    files = [PictureFile(Path(f"a/{i}.jpg")) for i in range(2000)]
    train, validation = split(files, 0.1)
    assert 140 < len(validation) < 260 and not {f.name for f in train} & {f.name for f in validation}
    assert {f.name for f in split(files[::-1][:900], 0.1)[1]} <= {f.name for f in validation}


def test_source_is_what_stands_before_the_last_dash() -> None:
    assert PictureFile(Path("x"), "gtsdb-b00136.webp").source == "gtsdb"
    assert PictureFile(Path("x"), "plain.webp").source == ""


def test_a_sample_is_luma_and_the_mean_color_of_each_output_pixel() -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:, :32] = (200, 40, 40)
    rgb[:, 32:] = (40, 80, 200)
    for seed in range(8):
        luma, ab = random_sample(rgb, 32, (1.0, 1.0), 0.0, np.random.default_rng(seed))
        assert luma.shape == (32, 32) and luma.dtype == np.uint8
        assert ab.shape == (8, 8, 2) and ab.dtype == np.int8
        sides = {tuple(np.rint(rgb_to_lab(np.float32(c) / 255)[1:]).astype(int)) for c in ((200, 40, 40), (40, 80, 200))}
        assert {tuple(ab[0, 0]), tuple(ab[0, 7])} == sides
        assert {int(luma[0, 0]), int(luma[0, 31])} == {88, 82}


def test_samples_are_a_function_of_their_seed(data: Path, tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, DataConfig(train=str(data / "pictures"), validation="elsewhere", short_side=64))
    assert len(cache) == 4 and min(cache[0].shape[:2]) == 64
    with ThreadPoolExecutor(2) as pool:
        batches = [sample_batch(cache, np.arange(4), np.arange(4), 32, (0.6, 1.0), 1.0, pool) for _ in range(2)]
    assert (batches[0][0] == batches[1][0]).all() and (batches[0][1] == batches[1][1]).all()
    assert (PictureCache(tmp_path, DataConfig(train=str(data / "pictures"), validation="elsewhere", short_side=64))[2] == cache[2]).all()


def test_oversampling_weighs_sources(tmp_path: Path, data: Path) -> None:
    for name in ("cctv-1.jpg", "dogs-1.jpg", "dogs-2.jpg"):
        (tmp_path / name).write_bytes((data / "pictures" / "coffee.jpg").read_bytes())
    cache = PictureCache(tmp_path / "cache", DataConfig(train=str(tmp_path), validation="x", short_side=32, oversample={"cctv": 4.0}))
    np.testing.assert_allclose(cache.weights, [4 / 6, 1 / 6, 1 / 6])


def test_camera_luma_stays_luma() -> None:
    luma = np.random.default_rng(0).random((48, 64)).astype(np.float32)
    seen = np.stack([camera_luma(luma, np.random.default_rng(seed)) for seed in range(60)])
    assert seen.dtype == np.float32 and seen.min() >= 0 and seen.max() <= 1
    assert seen.mean((1, 2)).min() < 0.35 and np.abs(seen - luma).mean((1, 2)).max() > 0.1


def test_a_wrong_key_names_the_near_one(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('out = "x"\n[data]\ntrian = "y"\n')
    with pytest.raises(ConfigError, match=r"data: unknown key 'trian'; did you mean 'train'"):
        load_config(path)
    path.write_text('out = "x"\n[network]\nkind = "big"\n')
    with pytest.raises(ConfigError, match="big"):
        load_config(path)
    path.write_text("out = ")
    with pytest.raises(ConfigError, match=r"run\.toml"):
        load_config(path)
