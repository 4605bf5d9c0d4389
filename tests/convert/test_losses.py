from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from convert.config import BinsConfig
from convert.losses import annealed_mean, find_centers, huber, make_bins


@pytest.fixture(scope="module")
def colors() -> np.ndarray:
    rng = np.random.default_rng(0)
    common = rng.normal((5, 10), 4, (9000, 2))
    rare = rng.normal((60, 40), 4, (300, 2))
    return np.concatenate([common, rare]).astype(np.float32)


def test_soft_targets_are_distributions_over_near_bins(colors: np.ndarray) -> None:
    bins = make_bins(colors, find_centers(colors, 24, 1), BinsConfig(count=24))
    assert bins.centers.shape == (24, 2)
    np.testing.assert_allclose(bins.soft.sum(1), 1, atol=1e-5)
    assert ((bins.soft > 0).sum(1) <= 5).all()
    index = round((60 + 128) / 2) * 128 + round((40 + 128) / 2)
    assert np.linalg.norm(bins.soft[index] @ bins.centers - (60, 40)) < 5


def test_rare_colors_weigh_more_and_the_mean_weight_is_one(colors: np.ndarray) -> None:
    bins = make_bins(colors, find_centers(colors, 24, 1), BinsConfig(count=24))
    cell = np.rint((colors + 128) / 2).astype(int)
    weights = bins.weight[cell[:, 0] * 128 + cell[:, 1]]
    assert weights.mean() == pytest.approx(1, abs=0.02)
    assert weights[9000:].mean() > 1.3 * weights[:9000].mean()


def test_the_annealed_mean_sharpens() -> None:
    centers = np.float32([[0, 0], [40, 0]])
    logits = np.log(np.float32([[0.4, 0.6]]))
    plain, sharp = (float(np.asarray(annealed_mean(logits, centers, t))[0, 0]) for t in (1.0, 0.38))
    assert plain == pytest.approx(24) and sharp > 28


def test_huber_is_quadratic_then_linear() -> None:
    values = np.asarray(huber(ops.convert_to_tensor([0.0, 2.0, 4.0, 14.0])))
    np.testing.assert_allclose(values, [0, 0.5, 2, 12], atol=1e-6)
