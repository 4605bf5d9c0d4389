from __future__ import annotations

import numpy as np
import pytest

from convert.metrics import area_under_curve, central_square, colorfulness, compare, frechet_distance


def test_central_square_is_cut_then_resized() -> None:
    rgb = np.zeros((300, 500, 3), np.uint8)
    rgb[:, 100:400] = 200
    square = central_square(rgb)
    assert square.shape == (256, 256, 3) and (square == 200).all()


def test_equal_pictures_are_perfect() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    figures = compare(rgb, rgb)
    assert figures["mse"] == figures["ab_distance"] == figures["ciede2000"] == 0
    assert figures["auc"] == 1


def test_psnr_of_a_known_error() -> None:
    rgb = np.full((32, 32, 3), 100, np.uint8)
    assert compare(rgb, rgb + 10)["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-6)


def test_colorfulness_of_gray_is_zero_and_of_two_colors_is_known() -> None:
    assert colorfulness(np.full((8, 8, 3), 77, np.uint8)) == 0
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = (255, 0, 0)  # rg = 255, yb = 127.5; black: 0, 0
    assert colorfulness(picture) == pytest.approx(np.hypot(127.5, 63.75) + 0.3 * np.hypot(127.5, 63.75))


def test_area_under_curve_of_a_constant_error() -> None:
    # Error 30 everywhere: thresholds 30..150 of 0..150 are met.
    assert area_under_curve(np.full((5, 5), 30.0)) == pytest.approx(121 / 151)
    assert area_under_curve(np.full((5, 5), 999.0)) == 0


def test_frechet_distance_of_known_gaussians() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20000, 3))
    shifted, scaled = a + np.array([3.0, 0, 0]), a * 2
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, shifted) == pytest.approx(9, rel=1e-6)
    assert frechet_distance(a, scaled) == pytest.approx(3, rel=0.05)  # sum of (2 - 1)^2 over three axes
