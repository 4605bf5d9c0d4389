from __future__ import annotations

import numpy as np
import pytest
from skimage import color as witness

from edgecolor import color

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
