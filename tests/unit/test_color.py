from __future__ import annotations

import numpy as np
import pytest
from skimage import color as witness

from edgecolor import color
from edgecolor.bt601 import to_bt601
from edgecolor.frame import Frame

# Sharma, Wu and Dalal do not list sRGB; these are the sRGB primaries' L*a*b* (D65) as published by Bruce Lindbloom's calculator.
PRIMARIES = {
    (1, 0, 0): (53.24, 80.09, 67.20),
    (0, 1, 0): (87.73, -86.18, 83.18),
    (0, 0, 1): (32.30, 79.19, -107.86),
    (1, 1, 1): (100.0, 0.0, 0.0),
    (0, 0, 0): (0.0, 0.0, 0.0),
}


@pytest.fixture
def colors() -> np.ndarray:
    return np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize(("rgb", "lab"), PRIMARIES.items())
def test_lab_of_primaries(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    np.testing.assert_allclose(color.rgb_to_lab(np.array(rgb)), lab, atol=0.06)


def test_lab_agrees_with_scikit_image(colors: np.ndarray) -> None:
    np.testing.assert_allclose(color.rgb_to_lab(colors), witness.rgb2lab(colors), atol=0.03)


def test_lab_round_trip(colors: np.ndarray) -> None:
    np.testing.assert_allclose(color.lab_to_rgb(color.rgb_to_lab(colors)), colors, atol=2e-4)


def test_gray_has_no_chroma_and_the_lightness_of_its_luma() -> None:
    luma = color.luma_codes(np.uint8)
    lab = color.rgb_to_lab(np.repeat(luma[:, None], 3, axis=1))
    np.testing.assert_allclose(lab[:, 0], color.luma_to_lightness(luma), atol=2e-3)
    assert np.abs(lab[:, 1:]).max() < 2e-3
    np.testing.assert_allclose(color.lightness_to_luma(color.luma_to_lightness(luma)), luma, atol=1e-5)


def test_luma_and_chroma_agree_with_scikit_image(colors: np.ndarray) -> None:
    # scikit-image gives BT.601 in limited range: 16 + 219 Y, 128 + 224 C.
    ycbcr = witness.rgb2ycbcr(colors)
    np.testing.assert_allclose(16 + 219 * color.rgb_to_luma(colors), ycbcr[..., 0], atol=0.01)
    np.testing.assert_allclose(128 + 224 * color.rgb_to_chroma(colors), ycbcr[..., 1:], atol=0.01)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_ycbcr_round_trip(colors: np.ndarray, matrix: color.Matrix) -> None:
    back = color.ycbcr_to_rgb(color.rgb_to_luma(colors, matrix), color.rgb_to_chroma(colors, matrix), matrix)
    np.testing.assert_allclose(back, colors, atol=1e-5)


def test_bt709_differs_where_it_should() -> None:
    green = np.array([0.0, 1.0, 0.0])
    assert color.rgb_to_luma(green, "bt601") == pytest.approx(0.587)
    assert color.rgb_to_luma(green, "bt709") == pytest.approx(0.7152)


def test_ab_to_chroma_finds_the_color_of_that_luma(colors: np.ndarray) -> None:
    # Start from true colours: their own luma and their own a*, b* must lead back to their own Cb, Cr.
    colors = 0.15 + 0.7 * colors
    chroma = color.ab_to_chroma(color.rgb_to_luma(colors), color.rgb_to_lab(colors)[..., 1:])
    error = np.abs(chroma - color.rgb_to_chroma(colors))
    assert np.median(error) < 0.002
    assert np.percentile(error, 99) < 0.02


def test_ab_to_chroma_of_gray_is_zero() -> None:
    luma = color.luma_codes(np.uint8)
    assert np.abs(color.ab_to_chroma(luma, np.zeros((256, 2)))).max() < 1e-5


def test_range_tables_hit_the_ends_of_bt601() -> None:
    luma = color.range_table("limited", "full", "luma")
    assert (luma[16], luma[235], luma[0], luma[255]) == (0, 255, 0, 255)
    chroma = color.range_table("limited", "full", "chroma")
    assert (chroma[16], chroma[128], chroma[240]) == (0, 128, 255) or (chroma[16], chroma[128], chroma[240]) == (1, 128, 255)
    assert (color.range_table("full", "limited", "luma")[[0, 255]] == [16, 235]).all()
    assert (color.range_table("full", "full", "chroma") == np.arange(256)).all()


def test_range_tables_invert_each_other_within_a_code() -> None:
    there, back = color.range_table("limited", "full", "luma"), color.range_table("full", "limited", "luma")
    codes = np.arange(16, 236)
    assert np.abs(back[there[codes]].astype(int) - codes).max() == 0


def test_luma_codes_of_limited_range() -> None:
    codes = color.luma_codes(np.uint8, "limited")
    assert codes[16] == 0 and codes[235] == 1 and codes[0] == 0 and codes[255] == 1
    assert codes[125] == pytest.approx((125 - 16) / 219, abs=1e-6)
    assert color.luma_codes(np.uint16).shape == (65536,)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("color_range", ["full", "limited"])
def test_luma_code_inverts_luma_codes(dtype: type, color_range: str) -> None:
    codes = np.arange(np.iinfo(dtype).max + 1)
    inside = codes if color_range == "full" else codes[len(codes) * 16 // 255 + 1 : len(codes) * 235 // 256]
    np.testing.assert_array_equal(color.luma_code(color.luma_codes(dtype, color_range)[inside], dtype, color_range), inside)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("color_range", ["full", "limited"])
def test_to_bt601_shows_the_same_colours(dtype: type, color_range: str) -> None:
    rgb = np.random.default_rng(3).uniform(0.25, 0.75, (5, 7, 3)).astype(np.float32).repeat(8, 0).repeat(8, 1)
    y = color.luma_code(color.rgb_to_luma(rgb, "bt709"), dtype, color_range)
    cb, cr = color.chroma_planes(color.rgb_to_chroma(rgb[::2, ::2], "bt709"), dtype, color_range)
    frame = Frame(y, cb, cr, color_range, "bt709", pts=2.0, sequence=5)
    done = to_bt601(frame)
    assert (done.matrix, done.color_range, done.pts, done.sequence, done.y.dtype) == ("bt601", color_range, 2.0, 5, dtype)
    # In the middle of the patches, away from where chroma is interpolated.
    inner = (slice(4, None, 8), slice(4, None, 8))
    half = (slice(2, None, 4), slice(2, None, 4))
    code = 1.01 if dtype == np.uint8 else 12
    want_y = color.luma_code(color.rgb_to_luma(rgb, "bt601"), dtype, color_range)[inner].astype(int)
    want_cb, want_cr = (p[half].astype(int) for p in color.chroma_planes(color.rgb_to_chroma(rgb[::2, ::2]), dtype, color_range))
    assert np.abs(y[inner] - want_y).max() > 4 * code, "the test would see nothing"
    assert np.abs(done.y[inner] - want_y).max() <= code
    assert np.abs(done.cb[half] - want_cb).max() <= code and np.abs(done.cr[half] - want_cr).max() <= code


def test_to_bt601_leaves_alone_what_needs_nothing() -> None:
    y, gray = np.arange(63, dtype=np.uint8).reshape(9, 7), np.full((5, 4), 128, np.uint8)
    same = Frame(y, gray, gray)
    assert to_bt601(same) is same
    without = to_bt601(Frame(y, matrix="bt709"))
    assert without.matrix == "bt601" and without.y is y
    done = to_bt601(Frame(y, gray, gray, matrix="bt709"))
    assert (done.y == y).all() and (done.cb == 128).all() and (done.cr == 128).all(), "gray is the same under both"


def test_to_bt601_saturates() -> None:
    y, chroma = np.full((4, 4), 250, np.uint8), np.full((2, 2), 255, np.uint8)
    assert (to_bt601(Frame(y, chroma, chroma, matrix="bt709")).y == 255).all()


def test_faint_guesses_fade_and_clear_ones_stay() -> None:
    ab = np.float32([[0, 0], [3, 4], [-30, 40]])
    shown = color.settle(ab, 5.0, 1.0)
    np.testing.assert_allclose(shown, [[0, 0], [1.5, 2], [-30 * 2500 / 2525, 40 * 2500 / 2525]], rtol=1e-6)
    assert shown.dtype == np.float32
    np.testing.assert_allclose(color.settle(ab, 0.0, 1.1), ab * np.float32(1.1))
    np.testing.assert_array_equal(color.settle(ab, 0.0, 1.0), ab)
