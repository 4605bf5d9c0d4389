from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000

from convert.metrics import Original, ab_difference, area_under_curve, central_square, ciede2000, colorfulness, compare, frechet_distance

# Sharma, Wu and Dalal 2005, table 1: pairs chosen to find mistakes (hue across 0 and 180 degrees, no chroma, blue).
# Left out: the two pairs whose hues are exactly 180 degrees apart, where rounding decides (in scikit-image too).
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 2.8361, -74.0200), (50.0, 0.0, -82.7485), 3.4412),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, -1.1848, -84.8006), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, -0.9009, -85.5211), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, -1.0, 2.0), (50.0, 0.0, 0.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0012), 7.2195),
    ((50.0, -0.0010, 2.4900), (50.0, 0.0009, -2.4900), 4.8045),
    ((50.0, -0.0010, 2.4900), (50.0, 0.0011, -2.4900), 4.7461),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((50.0, 2.5, 0.0), (50.0, 3.1736, 0.5854), 1.0000),
    ((50.0, 2.5, 0.0), (50.0, 3.2972, 0.0), 1.0000),
    ((50.0, 2.5, 0.0), (50.0, 1.8634, 0.5757), 1.0000),
    ((50.0, 2.5, 0.0), (50.0, 3.2592, 0.3350), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((61.2901, 3.7196, -5.3901), (61.4292, 2.2480, -4.9620), 1.8731),
    ((35.0831, -44.1164, 3.7933), (35.0232, -40.0716, 1.5901), 1.8645),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((36.4612, 47.8580, 18.3852), (36.2715, 50.5065, 21.2231), 1.4146),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def test_central_square_is_cut_then_resized() -> None:
    rgb = np.zeros((300, 500, 3), np.uint8)
    rgb[:, 100:400] = 200
    square = central_square(rgb)
    assert square.shape == (256, 256, 3) and (square == 200).all()


def test_equal_pictures_are_perfect() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    figures = compare(Original.of(rgb), rgb)
    assert figures["mse"] == figures["ab_distance"] == figures["ciede2000"] == figures["colorfulness_difference"] == 0
    assert figures["auc"] == 1 and figures["chroma"] == pytest.approx(Original.of(rgb).chroma)


def test_psnr_of_a_known_error() -> None:
    rgb = np.full((32, 32, 3), 100, np.uint8)
    assert compare(Original.of(rgb), rgb + 10)["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-6)


def test_colorfulness_of_gray_is_zero_and_of_two_colors_is_known() -> None:
    assert colorfulness(np.full((8, 8, 3), 77, np.uint8)) == 0
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = (255, 0, 0)  # rg = 255, yb = 127.5; black: 0, 0
    assert colorfulness(picture) == pytest.approx(np.hypot(127.5, 63.75) + 0.3 * np.hypot(127.5, 63.75))
    gray = np.full((8, 8, 3), 77, np.uint8)
    assert compare(Original.of(gray), picture)["colorfulness_difference"] == pytest.approx(colorfulness(picture))


def test_area_under_curve_of_a_constant_error() -> None:
    # Error 30 everywhere: thresholds 30..150 of 0..150 are met.
    assert area_under_curve(np.full((5, 5), 30.0)) == pytest.approx(121 / 151)
    assert area_under_curve(np.full((5, 5), 999.0)) == 0


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 5e-5), (np.float32, 2e-3)])
def test_ciede2000_of_the_published_pairs(dtype: type, tolerance: float) -> None:
    first, second, wanted = (np.array(column) for column in zip(*SHARMA, strict=True))
    if dtype is np.float32:  # pairs that differ by less than float32 can tell apart sit on the edge of a case
        keep = np.abs(np.abs(first[:, 1] + second[:, 1]) + np.abs(first[:, 2] + second[:, 2])) > 1e-3
        first, second, wanted = first[keep], second[keep], wanted[keep]
    found = ciede2000(first.astype(dtype), second.astype(dtype))
    assert found.dtype == dtype and len(found) >= 24
    np.testing.assert_allclose(found, wanted, atol=tolerance)
    np.testing.assert_allclose(ciede2000(second.astype(dtype), first.astype(dtype)), wanted, atol=tolerance)


def test_ciede2000_is_that_of_scikit_image_on_many_colors_in_float32() -> None:
    rng = np.random.default_rng(0)
    lab = rng.uniform(-1, 1, (200, 100, 3)) * (50, 110, 110) + (50, 0, 0)
    other = lab + rng.normal(0, 15, lab.shape)
    lab[:20, :, 1:] = 0
    other[10:30, :, 1:] = 0
    found = ciede2000(lab.astype(np.float32), other.astype(np.float32))
    np.testing.assert_allclose(found, deltaE_ciede2000(lab, other), atol=1e-3)


def test_ab_difference_is_the_mean_distance_in_the_ab_plane() -> None:
    one, two = np.full((9, 7, 3), (200, 40, 40), np.uint8), np.full((9, 7, 3), (40, 80, 200), np.uint8)
    a, b = Original.of(one).lab[0, 0], Original.of(two).lab[0, 0]
    assert ab_difference(one, two) == pytest.approx(np.linalg.norm((a - b)[1:]), rel=1e-5) and ab_difference(one, one) == 0


def test_frechet_distance_of_known_gaussians() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20000, 3))
    shifted, scaled = a + np.array([3.0, 0, 0]), a * 2
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, shifted) == pytest.approx(9, rel=1e-6)
    assert frechet_distance(a, scaled) == pytest.approx(3, rel=0.05)  # sum of (2 - 1)^2 over three axes


def test_frechet_distance_of_fewer_pictures_than_features_and_of_turned_axes() -> None:
    rng = np.random.default_rng(0)
    few = rng.standard_normal((20, 50))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-5)
    a = rng.standard_normal((5000, 2)) * (3, 1)
    # Covariances diag(9, 1) and diag(1, 9) commute: (3 - 1)^2 + (1 - 3)^2.
    assert frechet_distance(a, a[:, ::-1]) == pytest.approx(8, rel=0.05)
