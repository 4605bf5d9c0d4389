from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from convert.config import BinsConfig, StageConfig
from convert.losses import ColorModel, Perception, annealed_mean, certainty, find_centers, gradient_difference, huber, make_bins
from edgecolor.color import lab_to_rgb, lab_to_rgb_with
from edgecolor.errors import ConfigError


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


def test_rebalancing_is_by_rarity_at_0_and_none_at_1_and_empty_bins_weigh_as_the_rarest(colors: np.ndarray) -> None:
    centers = np.float32([[5, 10], [60, 40], [-100, -100]])  # nothing is near the last one
    common, rare, empty = (round((a + 128) / 2) * 128 + round((b + 128) / 2) for a, b in centers)
    by_rarity, none = (make_bins(colors, centers, BinsConfig(3, 1, rebalance=rebalance)).weight for rebalance in (0.0, 1.0))
    assert by_rarity[rare] == pytest.approx(30 * by_rarity[common], rel=0.01) and by_rarity[empty] == by_rarity[rare]
    np.testing.assert_allclose(none, 1, atol=1e-5)


def test_the_annealed_mean_sharpens() -> None:
    centers = np.float32([[0, 0], [40, 0]])
    logits = np.log(np.float32([[0.4, 0.6]]))
    plain, sharp = (float(np.asarray(annealed_mean(logits, centers, t))[0, 0]) for t in (1.0, 0.38))
    assert plain == pytest.approx(24) and sharp > 28


def test_certainty_falls_with_the_spread_of_what_may_be() -> None:
    centers = np.float32([[40, 0], [-40, 0], [20, 0]])
    logits = np.log(np.float32([[1, 1e-9, 1e-9], [0.5, 1e-9, 0.5], [0.75, 0.25, 1e-9], [0.5, 0.5, 1e-9]]))
    sure, near, doubtful, opposite = np.asarray(certainty(logits, centers, 0.5))[:, 0]
    assert sure == pytest.approx(1) and near == pytest.approx(900 / (900 + 0.5 * 100), rel=1e-3)
    assert doubtful == pytest.approx(400 / (400 + 0.5 * 1200), rel=1e-3) and opposite == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(np.asarray(certainty(logits[:3], centers, 0.0)), 1, atol=1e-3)


def test_what_can_not_be_told_is_aimed_at_paler(colors: np.ndarray) -> None:
    bins = make_bins(colors, np.float32([[40, 0], [-40, 0]]), BinsConfig(2, neighbours=1))
    x = ops.zeros((1, 8, 8, 1))
    truth = {"ab": ops.zeros((1, 2, 2, 2)), "pixels": ops.convert_to_tensor(np.arange(4)[None], "int32")}

    def loss(chroma: float, fade: float, odds: float) -> float:
        model = ColorModel(shown := keras.Input((8, 8, 1)), shown)
        model.set_loss(StageConfig("s", "whole", 1, annealed_share=1.0, fade=fade), bins, 1.0)
        logits = ops.convert_to_tensor(np.broadcast_to(np.log(np.float32([odds, 1 - odds])), (1, 2, 2, 2)))
        guess = ops.convert_to_tensor(np.broadcast_to(np.float32([chroma, 0]), (1, 2, 2, 2)))
        return float(model.compute_loss(x, truth, {"ab": guess, "bins": logits}))

    # Nine to one: a mean of 32 and a variance of 576, of which a fade of 1 leaves 20.5.
    assert loss(32.0, 0.0, 0.9) < loss(20.5, 0.0, 0.9) and loss(20.5, 1.0, 0.9) < loss(32.0, 1.0, 0.9)
    assert loss(40.0, 1.0, 0.99999) < loss(30.0, 1.0, 0.99999)


def test_huber_is_quadratic_then_linear() -> None:
    values = np.asarray(huber(ops.convert_to_tensor([0.0, 2.0, 4.0, 14.0])))
    np.testing.assert_allclose(values, [0, 0.5, 2, 12], atol=1e-6)


def test_color_maths_are_the_runtimes_on_tensors_too() -> None:
    lab = np.random.default_rng(0).uniform((0, -80, -80), (100, 80, 80), (5, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(lab_to_rgb_with(ops.convert_to_tensor(lab), ops)), lab_to_rgb(lab), atol=1e-4)


def test_look_and_recognition_grow_with_the_colors_distance() -> None:
    perceive = Perception(1)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    truth = rng.uniform(-30, 30, (2, 16, 16, 2)).astype(np.float32)
    guesses = (truth, truth * 0.9, -truth)
    for same, near, far in zip(*([float(loss) for loss in perceive(x, guess, truth)] for guess in guesses), strict=True):
        assert same == pytest.approx(0, abs=1e-6) and 0 < near < far


def test_the_judge_never_teaches() -> None:
    with pytest.raises(ConfigError, match="Lite0 judges"):
        Perception(0)


def test_the_gradient_loss_ignores_a_constant_shift_and_sees_bleeding() -> None:
    truth = np.zeros((1, 8, 8, 2), np.float32)
    truth[:, :, 4:] = 40
    bleeding = truth.copy()
    bleeding[:, :, 3:5] = 20
    assert float(gradient_difference(truth + 7, truth)) == pytest.approx(0, abs=1e-5)
    assert float(gradient_difference(bleeding, truth)) > 1
