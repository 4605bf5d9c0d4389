from __future__ import annotations

import io
import os

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from edgecolor.errors import PictureError
from edgecolor.monochrome import is_monochrome
from edgecolor.sources.images import color_pixels, decode_picture, identify_picture, luma_of, open_picture, upright
from tests import samples

SHADES, DEEP = samples.gray(), samples.gray(np.uint16)
RGB = np.dstack([SHADES] * 3)
ALPHA = 255 - SHADES


EXACT = {
    "png gray": (samples.pillow(SHADES, "PNG"), SHADES),
    "png 16": (samples.pillow(DEEP, "PNG"), DEEP),
    "png rgb": (samples.pillow(RGB, "PNG"), SHADES),
    "png 1 bit": (samples.pillow(Image.fromarray(SHADES > 99), "PNG"), (SHADES > 99) * np.uint8(255)),
    "webp lossless": (samples.pillow(RGB, "WEBP", lossless=True), SHADES),
    "tiff lzw": (samples.pillow(SHADES, "TIFF", compression="tiff_lzw"), SHADES),
    "tiff 16": (samples.tiff(DEEP), DEEP),
    "tiff 16 big-endian": (samples.tiff(DEEP, byteorder=">"), DEEP),
    "tiff 16 tiled": (samples.tiff(DEEP, tile=(16, 16)), DEEP),
    "tiff white is zero": (samples.tiff(255 - SHADES, photometric="miniswhite"), SHADES),
    "tiff white is zero 16": (samples.tiff(65535 - DEEP, photometric="miniswhite"), DEEP),
    "tiff rgb planes": (samples.tiff(np.stack([SHADES] * 3), photometric="rgb", planarconfig="separate"), SHADES),
    "tiff cmyk": (samples.pillow(Image.fromarray(RGB).convert("CMYK"), "TIFF"), SHADES),
    "bmp": (samples.pillow(SHADES, "BMP"), SHADES),
    "bmp rgb": (samples.pillow(RGB, "BMP"), SHADES),
}


@pytest.mark.parametrize("name", EXACT)
def test_luma_of_lossless_gray_is_exact(name):
    content, want = EXACT[name]
    picture = decode_picture(content)
    assert picture.luma.dtype == want.dtype
    assert np.array_equal(picture.luma, want)
    assert picture.alpha is None
    assert is_monochrome(picture.sample)


def test_jpeg_luma_is_the_stored_one():
    # A tinted JPEG: RGB of it would be clipped in places, its luma plane is not.
    shades = samples.gray(shape=(48, 64))
    cb = np.full((24, 32), 70, np.uint8)
    tinted = simplejpeg.encode_jpeg_yuv_planes(shades, cb, 255 - cb, 100)
    alone = simplejpeg.encode_jpeg_yuv_planes(shades, None, None, 100)
    stored = np.asarray(Image.open(io.BytesIO(alone)))
    assert np.array_equal(decode_picture(tinted).luma, stored)
    assert np.array_equal(decode_picture(alone).luma, stored)
    assert is_monochrome(decode_picture(tinted).sample)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpeg_with_and_without_adobes_inversion(adobe):
    content = samples.pillow(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=100, subsampling=0)
    want = SHADES
    if not adobe:
        at = content.index(b"\xff\xee")
        content = content[:at] + content[at + 16 :]
        want = np.zeros_like(SHADES)  # the stored 255 of "no black" is then full black
    assert np.abs(decode_picture(content).luma.astype(int) - want).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_and_the_colour_beneath_it_are_kept(kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = decode_picture(samples.pillow(np.dstack([RGB, ALPHA]), kind, **options))
    assert np.array_equal(picture.luma, SHADES)
    assert np.array_equal(picture.alpha, ALPHA)


def test_gray_with_alpha_and_with_a_transparent_tone():
    both = decode_picture(samples.pillow(Image.fromarray(np.dstack([SHADES, ALPHA]), "LA"), "PNG"))
    assert np.array_equal(both.luma, SHADES) and np.array_equal(both.alpha, ALPHA)
    tone = int(SHADES[20, 20])
    keyed = decode_picture(samples.pillow(SHADES, "PNG", transparency=tone))
    assert np.array_equal(keyed.luma, SHADES)
    assert np.array_equal(keyed.alpha == 0, tone == SHADES)


def test_16_bit_alpha():
    deep = np.dstack([DEEP] * 3 + [65535 - DEEP])
    picture = decode_picture(cv2.imencode(".png", deep)[1].tobytes())
    assert np.array_equal(picture.luma, DEEP) and np.array_equal(picture.alpha, 65535 - DEEP)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_luma_of_colour_is_rec_601(dtype):
    rgb = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (50, 60, 3), endpoint=True).astype(dtype)
    found = luma_of(np.ascontiguousarray(rgb[..., ::-1]))
    assert found.dtype == dtype
    assert np.abs(found - (rgb.astype(np.float64) @ [0.299, 0.587, 0.114])).max() <= 0.5 + 1e-9
    encoded = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    assert np.array_equal(decode_picture(encoded).luma, found)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colour_is_seen_as_colour_and_its_pixels_can_be_had(kind):
    options = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}[kind]
    picture = decode_picture(samples.pillow(samples.color(shape=(301, 400)), kind, **options))
    assert not is_monochrome(picture.sample)
    difference = np.abs(color_pixels(picture)[..., ::-1].astype(int) - samples.color(shape=(301, 400)))
    assert difference.mean() < (0.001 if kind == "PNG" else 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_pillow_applies_it(orientation):
    blob = samples.exif(orientation)
    exif = Image.Exif()
    exif.load(blob)
    contents = {
        "jpeg": samples.pillow(SHADES, "JPEG", quality=95, exif=exif),
        "png": samples.pillow(SHADES, "PNG", exif=exif),
        "webp": samples.pillow(RGB, "WEBP", lossless=True, exif=exif),
        "tiff": samples.pillow(SHADES, "TIFF", tiffinfo={274: orientation}),
        "tiff 16": samples.tiff(DEEP, extratags=[(274, 3, 1, orientation, True)]),
    }
    for name, content in contents.items():
        picture = decode_picture(content)
        with Image.open(io.BytesIO(content)) as stored:
            want = np.asarray(ImageOps.exif_transpose(stored))
        want = want[..., 0] if want.ndim == 3 else want
        assert picture.header.orientation == orientation, name
        assert np.array_equal(picture.luma, want), name
        assert picture.header.upright_size == (want.shape[1], want.shape[0])


@pytest.mark.parametrize("kind", [1, 4], ids=["BYTE", "LONG"])
@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_the_orientation_of_a_tiff_is_obeyed_once_whatever_its_type(orientation, kind):
    value = bytes([orientation]) if kind == 1 else orientation
    picture = decode_picture(samples.tiff(SHADES, extratags=[(274, kind, 1, value, True)]))
    assert picture.header.orientation == orientation and np.array_equal(picture.luma, upright(SHADES, orientation))


def test_upright_leaves_channels_alone():
    assert np.array_equal(upright(RGB, 6), np.rot90(RGB, -1))


# ---- refusals


def test_a_jpeg_cut_in_the_middle_is_refused_not_filled_with_gray():
    for kind in ("gray.jpg", "ycbcr.jpg", "progressive.jpg", "cmyk.jpg"):
        content = samples.good()[kind]
        with pytest.raises(PictureError, match="truncated"):
            decode_picture(content[: len(content) * 3 // 4])
        with pytest.raises(PictureError, match="truncated"):
            decode_picture(content[:-2])


@pytest.mark.parametrize("name", samples.bombs())
def test_bombs_are_refused_before_decoding(name, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the decoder was asked"))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("the decoder was asked"))
    with pytest.raises(PictureError, match="more than the limit of 200 megapixels; raise it with --max-megapixels"):
        decode_picture(samples.bombs()[name])


def test_the_limit_can_be_set():
    with pytest.raises(PictureError, match=r"limit of 0\.002 megapixels"):
        decode_picture(samples.good()["gray.png"], max_megapixels=0.002)
    decode_picture(samples.good()["gray.png"], max_megapixels=0.01)


def test_a_png_with_too_few_rows_is_refused():
    import zlib

    png = samples.good()["gray.png"]
    short = zlib.compress(bytes(20 * (samples.WIDTH + 1)))
    crafted = png[:33] + samples.png_chunk(b"IDAT", short) + samples.png_chunk(b"IEND", b"")
    with pytest.raises(PictureError, match="damaged"):
        decode_picture(crafted)


def test_messages_name_the_file(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"text, not pixels")
    for function in (open_picture, identify_picture):
        with pytest.raises(PictureError, match=f"^{tmp_path}/x.jpg: not a picture in JPEG"):
            function(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(PictureError, match="the file is empty"):
        identify_picture(tmp_path / "x.jpg")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    for name, reason in (("pipe", "not a regular file"), ("folder", "not a regular file"), ("link", "No such file")):
        with pytest.raises(PictureError, match=reason):
            open_picture(tmp_path / f"{name}.jpg")
    with pytest.raises(PictureError, match="not a regular file"):
        open_picture("/dev/zero")


def test_a_file_far_larger_than_its_limit_is_not_read(tmp_path):
    with (tmp_path / "sparse.tif").open("wb") as file:
        file.write(samples.good()["gray.tif"][:8])
        file.truncate(40 << 30)
    with pytest.raises(PictureError, match="bytes are more than a picture of 200 megapixels"):
        open_picture(tmp_path / "sparse.tif")


def test_no_malformed_picture_raises_anything_but_picture_error(capfd):
    logging = getattr(cv2.utils, "logging", cv2)
    level = logging.getLogLevel()
    count = refused = 0
    for name, content in samples.malformed():
        count += 1
        try:
            picture = decode_picture(content)
            assert picture.luma.shape[::-1] == picture.header.upright_size, name
        except PictureError as error:
            refused += 1
            assert "\n" not in str(error)
    assert count >= 200 and refused >= 150
    assert logging.getLogLevel() == level
    assert capfd.readouterr().err == ""
