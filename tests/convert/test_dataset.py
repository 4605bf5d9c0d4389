from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convert.config import DataConfig, TrainConfig, load_config
from convert.dataset import PictureCache, PictureFile, list_pictures, split, training_pictures, validation_pictures
from convert.validation import Validation
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


def test_damaged_pictures_and_zips_are_named(tmp_path: Path) -> None:
    picture = Image.effect_noise((64, 64), 50).convert("RGB")
    picture.save(tmp_path / "whole.png")
    with zipfile.ZipFile(tmp_path / "shard.zip", "w") as archive:
        archive.write(tmp_path / "whole.png", "inside.png")
    for name, place in (("whole.png", 37), ("shard.zip", 400)):  # the length of the first chunk behind the header; a pixel
        raw = bytearray((tmp_path / name).read_bytes())
        raw[place] ^= 255
        (tmp_path / name).write_bytes(raw)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "exif.webp", exif=exif)
    raw = (tmp_path / "exif.webp").read_bytes()
    (tmp_path / "exif.webp").write_bytes(raw.replace(b"II*\0" if b"II*\0" in raw else b"MM\0*", b"XXXX"))
    for file in list_pictures(tmp_path):
        with pytest.raises(PictureError, match=rf"{file.name}: not a picture.* take it away"):
            file.read()
    (tmp_path / "no.zip").write_bytes(b"PK")
    with pytest.raises(PictureError, match=r"no\.zip: not a readable zip"):
        list_pictures(tmp_path)


def test_gray_of_16_bits_keeps_its_tones(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "i16.png")
    Image.fromarray(ramp.astype(np.int32)).save(tmp_path / "i32.tif")
    Image.fromarray((ramp // 256).astype(np.int32)).save(tmp_path / "low.tif")
    for file in list_pictures(tmp_path):
        assert np.abs(file.read()[..., 1] - ramp / 257).max() < 1.1, file.name


def test_the_split_depends_on_each_name_alone() -> None:
    files = [PictureFile(Path(f"a/{i}.jpg")) for i in range(2000)]
    train, validation = split(files, 0.1)
    assert 140 < len(validation) < 260 and not {f.name for f in train} & {f.name for f in validation}
    assert {f.name for f in split(files[::-1][:900], 0.1)[1]} <= {f.name for f in validation}


def test_source_is_what_stands_before_the_last_dash() -> None:
    assert PictureFile(Path("x"), "gtsdb-b00136.webp").source == "gtsdb"
    assert PictureFile(Path("x"), "plain.webp").source == ""


def test_the_cache_holds_luma_and_color_of_upright_cut_pictures(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    rgb = np.zeros((40, 100, 3), np.uint8)
    rgb[:, :50], rgb[:, 50:] = (200, 40, 40), (40, 80, 200)
    Image.fromarray(rgb).save(tmp_path / "p" / "wide.png")
    turned = Image.new("RGB", (60, 45), (90, 140, 60))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned.save(tmp_path / "p" / "turned.png", exif=exif)
    cache = PictureCache(tmp_path / "cache", DataConfig(train=str(tmp_path / "p"), validation="elsewhere", short_side=36))
    assert cache.canvas == 48 and cache.shapes.tolist() == [[48, 36], [36, 48]]
    luma, ab = cache.take(np.array([1]))
    assert luma.dtype == np.uint8 and ab.dtype == np.int8 and luma.shape == (1, 48, 48) and ab.shape == (1, 24, 24, 2)
    assert {int(luma[0, 18, 2]), int(luma[0, 18, 45])} == {88, 82} and (luma[0, 36:] == 0).all()
    sides = [tuple(np.rint(rgb_to_lab(np.float32(c) / 255)[1:]).astype(int)) for c in ((200, 40, 40), (40, 80, 200))]
    assert [tuple(ab[0, 9, 2]), tuple(ab[0, 9, 21])] == sides


def test_the_cache_is_made_once(data: Path, tmp_path: Path) -> None:
    config = DataConfig(train=str(data / "pictures"), validation="elsewhere", short_side=48)
    first = PictureCache(tmp_path, config)
    stamps = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert len(first) == 4 and (PictureCache(tmp_path, config).luma == first.luma).all()
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == stamps


def test_other_pictures_of_the_same_names_are_decoded_anew(tmp_path: Path) -> None:
    def reddest(folder: Path) -> int:
        cache = PictureCache(tmp_path / "cache", DataConfig(train=str(folder), validation="elsewhere", short_side=36))
        return int(cache.ab[..., 0].max())

    for name, color in (("red", (200, 30, 30)), ("gray", (90, 90, 90))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (48, 48), color).save(tmp_path / name / "1.png")
        (tmp_path / f"{name}-packed").mkdir()
        with zipfile.ZipFile(tmp_path / f"{name}-packed" / "shard.zip", "w") as archive:
            archive.write(tmp_path / name / "1.png", "1.png")
    for suffix in ("", "-packed"):
        assert reddest(tmp_path / f"red{suffix}") > 50 > reddest(tmp_path / f"gray{suffix}")
    before = (tmp_path / "red" / "1.png").stat()
    Image.new("RGB", (48, 48), (30, 200, 30)).save(tmp_path / "red" / "1.png")
    assert (tmp_path / "red" / "1.png").stat().st_size == before.st_size, "the time alone tells it"
    assert reddest(tmp_path / "red") <= 0


def test_oversampling_weighs_sources(tmp_path: Path, data: Path) -> None:
    for name in ("cctv-1.jpg", "dogs-1.jpg", "dogs-2.jpg"):
        (tmp_path / name).write_bytes((data / "pictures" / "coffee.jpg").read_bytes())
    cache = PictureCache(tmp_path / "cache", DataConfig(train=str(tmp_path), validation="x", short_side=32, oversample={"cctv": 4.0}))
    np.testing.assert_allclose(cache.weights(), [4 / 6, 1 / 6, 1 / 6])


@pytest.mark.parametrize(("section", "key"), [
    ("", "checkpoint_every = 0"), ("", "ema = 1.5"), ("[data]", "short_side = 145"), ("[data]", "validation_share = 0.0"),
    ("[data]", "oversample = { site = 0.0 }"), ("[network]", "lite = 3"), ("[network]", "channels = [0, 16, 8]"),
    ("[bins]", "rebalance = 2.0"),
    ("[bins]", "sigma = 0.0"), ("[decoding]", "gain = 9.0"), ("[[stage]]", "size = 100"), ("[[stage]]", "crop = [0.9, 0.6]"),
    ("[[stage]]", "batch = 0"), ("[[stage]]", "perceptual_lite = 0"), ("[[stage]]", "name = '../up'"),
])
def test_a_value_that_can_not_be_is_named(tmp_path: Path, section: str, key: str) -> None:
    path = tmp_path / "run.toml"
    whole = 'kind = "whole"\nsteps = 1\n' + ("" if "name" in key else 'name = "a"\n')
    path.write_text(f'out = "x"\n{section}\n{whole if "stage" in section else ""}{key}\n')
    with pytest.raises(ConfigError, match=rf"run\.toml:\d+: .*{key.split()[0]}"):
        load_config(path)


def test_a_seed_network_has_no_features_to_cache(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('out = "x"\n[network]\nkind = "seed"\n[[stage]]\nname = "a"\nkind = "deep"\nsteps = 1\n')
    with pytest.raises(ConfigError, match="its stages are of kind whole"):
        load_config(path)


def test_too_few_pictures_to_set_some_aside_are_said_to_be(tmp_path: Path) -> None:
    Image.new("RGB", (48, 48), (200, 30, 30)).save(tmp_path / "1.png")
    config = DataConfig(str(tmp_path), short_side=36)
    for read in (training_pictures, validation_pictures, lambda config: Validation(TrainConfig("out", data=config))):
        with pytest.raises(ConfigError, match="1 pictures are too few to set 2% of them aside for validation; give"):
            read(config)


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
