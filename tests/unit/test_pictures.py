from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

import edgecolor.pictures as pictures
from edgecolor.color import luma_to_lightness
from edgecolor.containers import inspect
from edgecolor.errors import FrameError, PictureError
from edgecolor.pictures import colorize_image, colorize_picture, fit_gamut, lift_strips, to_8_bits, transcode_picture
from edgecolor.sources.images import decode_picture, open_picture
from tests import samples

WEIGHTS = np.array([0.299, 0.587, 0.114])
DEPTHS = [np.uint8, np.uint16]


@pytest.fixture(scope="module")
def colorizer():
    return samples.strong_colorizer()


def assert_luma_is_kept(rgb, luma):
    """To within half a code; and to less in lightness than half a code of luma makes."""
    top = np.iinfo(luma.dtype).max
    found = rgb.astype(np.float64) @ WEIGHTS
    assert np.abs(found - luma).max() <= 0.5 + 1e-3
    here, step = luma.astype(np.float64) / top, 0.501 / top
    least, most = luma_to_lightness(np.clip(here - step, 0, 1)), luma_to_lightness(np.clip(here + step, 0, 1))
    lightness = luma_to_lightness(found / top)
    assert ((lightness >= least - 1e-4) & (lightness <= most + 1e-4)).all()


def saturation(rgb):
    return (rgb.max(axis=-1).astype(float) - rgb.min(axis=-1)) / np.iinfo(rgb.dtype).max


@pytest.mark.parametrize("dtype", DEPTHS)
def test_every_luma_with_every_chroma_keeps_its_luma(dtype):
    top = np.iinfo(dtype).max
    luma = np.unique(np.linspace(0, top, 400).round()).astype(dtype)[:, None].repeat(441, 1)
    cb, cr = np.meshgrid(np.linspace(-0.5, 0.5, 21), np.linspace(-0.5, 0.5, 21))
    chroma = np.stack([cb.ravel(), cr.ravel()], -1).astype(np.float32)[None].repeat(len(luma), 0)
    assert_luma_is_kept(fit_gamut(luma, chroma), luma)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_what_fits_is_not_touched_and_what_does_not_goes_to_the_border(dtype):
    top = np.iinfo(dtype).max
    middle = np.full((1, 1), top // 2, dtype)
    weak = fit_gamut(middle, np.array([[[0.1, -0.05]]], np.float32))[0, 0] / top
    assert weak == pytest.approx(np.array([-0.05 * 1.402, 0.344136 * -0.1 + 0.714136 * 0.05, 0.1 * 1.772]) + 0.5, abs=1.1 / 255)
    strong = fit_gamut(middle, np.array([[[0.5, 0.2]]], np.float32))[0, 0]
    assert strong.max() == top and strong.min() > 0  # blue is full, and nothing was clipped
    # The hue stays: differences from gray have the ratios of the unlimited colour.
    assert (strong[0] - top / 2) / (strong[2] - top / 2) == pytest.approx(0.2 * 1.402 / (0.5 * 1.772), abs=0.02)


def test_black_and_white_have_no_colour():
    ends = np.array([[0, 255]], np.uint8)
    assert np.array_equal(fit_gamut(ends, np.full((1, 2, 2), 0.4, np.float32))[0], [[0] * 3, [255] * 3])


@pytest.mark.parametrize("shape", [(45, 61), (1, 1), (1, 300), (300, 1), (20, 20)])
@pytest.mark.parametrize("pixels", [64, 1000, 1 << 19])
def test_strips_are_the_same_as_lifting_at_once(colorizer, monkeypatch, shape, pixels):
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", pixels)
    luma = samples.gray(shape=shape)
    guess = colorizer.guess(luma)
    strips = list(lift_strips(guess, luma))
    assert [rows.start for rows, _ in strips][1:] == [rows.stop for rows, _ in strips][:-1]
    assert np.concatenate([chroma for _, chroma in strips]) == pytest.approx(guess.lift(luma, luma.shape), abs=2e-5)


# ---- colorize_image


@pytest.mark.parametrize("dtype", DEPTHS)
def test_gray_arrays_get_colour_and_keep_their_luma(colorizer, dtype):
    luma = samples.gray(dtype, (97, 131))
    before = luma.copy()
    rgb = colorize_image(luma, colorizer)
    assert rgb.shape == (97, 131, 3) and rgb.dtype == dtype
    assert np.array_equal(luma, before)
    assert_luma_is_kept(rgb, luma)
    assert saturation(rgb).mean() > 0.1


@pytest.mark.parametrize("dtype", DEPTHS)
def test_colour_arrays_are_colorized_from_their_luma(colorizer, dtype):
    rgb = samples.color(dtype)
    luma = np.floor(rgb.astype(np.float64) @ WEIGHTS + 0.5 + 1e-6).astype(dtype)
    assert_luma_is_kept(colorize_image(rgb, colorizer), luma)
    assert np.array_equal(colorize_image(np.dstack([samples.gray(dtype)] * 3), colorizer), colorize_image(samples.gray(dtype), colorizer))


def test_files_and_strings(colorizer, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(samples.pillow(samples.gray(np.uint16), "PNG"))
    assert np.array_equal(colorize_image(path, colorizer), colorize_image(samples.gray(np.uint16), colorizer))
    assert np.array_equal(colorize_image(str(path), colorizer), colorize_image(path, colorizer))


def test_the_shipped_model_is_the_default():
    rgb = colorize_image(samples.gray(shape=(200, 300)))
    assert_luma_is_kept(rgb, samples.gray(shape=(200, 300)))


@pytest.mark.parametrize("shape", [(4, 5, 4), (4, 5, 1), (0, 5), (0, 5, 3), (3,)])
def test_arrays_of_another_shape_are_refused(colorizer, shape):
    with pytest.raises(FrameError, match="must be a"):
        colorize_image(np.zeros(shape, np.uint8), colorizer)


@pytest.mark.parametrize("image", [np.zeros((4, 5)), np.zeros((4, 5, 3)), np.zeros((4, 5), np.int16), None])
def test_what_is_no_array_of_codes_is_refused(colorizer, image):
    with pytest.raises(FrameError, match="must be a"):
        colorize_image(image, colorizer)


def test_unreadable_files_are_refused(colorizer, tmp_path):
    with pytest.raises(PictureError, match="nothing"):
        colorize_image(tmp_path / "nothing.jpg", colorizer)


# ---- encoded files


@pytest.mark.parametrize("name", samples.good())
def test_every_form_to_every_format(colorizer, name):
    picture = decode_picture(samples.good()[name])
    for kind in ("jpeg", "png", "webp", "tiff", "bmp"):
        if kind == "jpeg" and picture.alpha is not None:
            continue
        header = inspect(encoded := colorize_picture(picture, colorizer, kind, 100))
        assert header.format == kind
        again = decode_picture(encoded)
        assert again.sample is not None and np.ptp(again.sample[1]) > 20
        deep = picture.luma.dtype == np.uint16 and kind in ("png", "tiff")
        assert again.luma.dtype == (np.uint16 if deep else np.uint8)
        want = picture.luma if deep else to_8_bits(picture.luma)
        seen = picture.alpha > 0 if picture.alpha is not None else slice(None)  # WebP drops colour that can not be seen
        assert np.abs(again.luma.astype(int) - want)[seen].max() <= (8 if kind == "jpeg" else 1), kind
        if kind != "bmp":  # OpenCV 4 does not read back the alpha that it writes there, OpenCV 5 does
            assert (again.alpha is None) == (picture.alpha is None), kind
        with Image.open(io.BytesIO(encoded)) as witness:
            witness.load()
            assert witness.size == (samples.WIDTH, samples.HEIGHT)


@pytest.mark.parametrize("shape", [(48, 64), (45, 61), (1, 1), (2, 3)])
def test_jpeg_luma_is_that_of_the_gray_jpeg_of_the_same_plane(colorizer, shape):
    luma = samples.gray(shape=shape)
    encoded = colorize_picture(decode_picture(samples.pillow(luma, "PNG")), colorizer, "jpeg", 90)
    alone = simplejpeg.encode_jpeg_yuv_planes(luma, None, None, 90)
    assert np.array_equal(simplejpeg.decode_jpeg(encoded, colorspace="GRAY"), simplejpeg.decode_jpeg(alone, colorspace="GRAY"))
    assert simplejpeg.decode_jpeg_header(encoded)[2:] == ("YCbCr", "420" if luma.size > 1 else "444")


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("dtype", DEPTHS)
def test_lossless_files_hold_the_luma_exactly_as_the_array_does(colorizer, kind, dtype):
    luma = samples.gray(dtype)
    encoded = colorize_picture(decode_picture(samples.pillow(luma, "PNG")), colorizer, kind)
    rgb = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(rgb, colorize_image(luma, colorizer))


def test_alpha_is_kept(colorizer):
    rgba = np.dstack([samples.gray()] * 3 + [255 - samples.gray()])
    picture = decode_picture(samples.pillow(rgba, "PNG"))
    for kind in ("png", "webp", "tiff"):
        with Image.open(io.BytesIO(colorize_picture(picture, colorizer, kind, 100))) as witness:
            assert witness.mode == "RGBA", kind
            assert np.array_equal(np.asarray(witness)[..., 3], rgba[..., 3]), kind
    with pytest.raises(PictureError, match="transparent in places, which jpeg can not hold"):
        colorize_picture(picture, colorizer, "jpeg")
    opaque = decode_picture(samples.pillow(np.dstack([rgba[..., :3], np.full_like(rgba[..., 3], 255)]), "PNG"))
    assert inspect(colorize_picture(opaque, colorizer, "jpeg")).format == "jpeg"


def test_sides_that_a_format_can_not_hold(colorizer):
    picture = decode_picture(samples.pillow(np.zeros((1, 16384), np.uint8), "PNG"))
    with pytest.raises(PictureError, match=r"16384 pixels .* too many for webp"):
        colorize_picture(picture, colorizer, "webp")
    assert inspect(colorize_picture(picture, colorizer, "jpeg")).width == 16384


def test_quality_counts(colorizer):
    picture = decode_picture(samples.good()["gray.jpg"])
    for kind in ("jpeg", "webp"):
        assert len(colorize_picture(picture, colorizer, kind, 95)) > 1.5 * len(colorize_picture(picture, colorizer, kind, 30))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_metadata_is_carried_over_upright_and_marked(colorizer, source, kind):
    exif = Image.Exif()
    exif.load(samples.exif(6))
    pixels = np.dstack([samples.gray()] * 3) if source == "WEBP" else samples.gray()
    options = {} if source == "WEBP" else {"dpi": (300, 300)}
    content = samples.pillow(pixels, source, exif=exif, icc_profile=samples.TINY_ICC, **options)
    encoded = colorize_picture(decode_picture(content), colorizer, kind)
    with Image.open(io.BytesIO(encoded)) as witness:
        assert witness.size == (samples.HEIGHT, samples.WIDTH)  # turned
        read = witness.getexif()
        assert read.get(0x0112, 1) == 1
        assert read[0x010F] == "Workshop"
        assert read.get_ifd(0x8769)[0x829A] == pytest.approx(0.01)
        assert witness.info["icc_profile"] == samples.TINY_ICC
        if source != "WEBP" and kind != "webp":
            assert [float(n) for n in witness.info["dpi"]] == pytest.approx([300, 300], abs=0.5)
    xmp = inspect(encoded).metadata.xmp
    assert encoded.count(b"<x:xmpmeta") == 1
    assert xmp.count(b"algorithmicallyEnhanced") == 1 and b"EdgeColor" in xmp


@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "tiff"])
def test_tones_of_a_gray_profile_are_kept_as_codes_and_as_a_profile_of_rgb(colorizer, target):
    profile = samples.gray_profile(b"curv" + struct.pack(">IIHxx", 0, 1, round(1.8 * 256)))
    picture = decode_picture(samples.pillow(samples.gray(), "TIFF", icc_profile=profile))
    encoded = colorize_picture(picture, colorizer, target, quality=100)
    assert np.abs(decode_picture(encoded).luma.astype(int) - samples.gray()).max() <= 1
    with Image.open(io.BytesIO(encoded)) as witness:
        assert witness.info["icc_profile"] == picture.header.metadata.icc and witness.info["icc_profile"][16:20] == b"RGB "


@pytest.mark.parametrize(("cut", "turned", "maker"), [(20, False, None), (34, True, None), (50, True, None), (59, True, "Workshop")])
def test_of_cut_exif_what_is_there_counts(colorizer, cut, turned, maker):
    png = samples.with_png_chunk(samples.good()["gray.png"], b"eXIf", samples.exif(6)[:cut])
    with Image.open(io.BytesIO(colorize_picture(decode_picture(png), colorizer, "jpeg"))) as witness:
        assert witness.size == ((samples.HEIGHT, samples.WIDTH) if turned else (samples.WIDTH, samples.HEIGHT))
        assert witness.getexif().get(0x0112, 1) == 1 and witness.getexif().get(0x010F) == maker


def test_transcoding_keeps_colour_and_marks_nothing(tmp_path):
    rgb = samples.color(np.uint8, (120, 160))
    (tmp_path / "x.png").write_bytes(samples.with_png_chunk(samples.pillow(rgb, "PNG"), b"eXIf", samples.exif(6)))
    encoded = transcode_picture(open_picture(tmp_path / "x.png"), "tiff")
    with Image.open(io.BytesIO(encoded)) as witness:
        assert np.array_equal(np.asarray(witness), np.rot90(rgb, -1))
        assert witness.getexif()[0x010F] == "Workshop"
    assert b"algorithmicallyEnhanced" not in encoded


def test_16_bits_to_8():
    codes = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    assert to_8_bits(codes).tolist() == [[0, 0, 1, 1, 128, 255]]


def test_the_module_loads_neither_cameras_nor_servers():
    heavy = ("av", "aiohttp", "PIL", "ai_edge_litert", "tflite_runtime")
    code = f"import sys, edgecolor.pictures; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "[]\n"
