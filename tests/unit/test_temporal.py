"""Smoothing of small synthetic scenes whose right colours are known."""

from __future__ import annotations

import numpy as np
import pytest

from edgecolor.temporal import Smoother

GRID, GUIDE = (16, 16), (64, 64)


def texture(seed: int, shape: tuple[int, int] = GUIDE) -> np.ndarray:
    """A still scene: smooth shapes between 40 and 200."""
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0] * 2 * np.pi
    phase = np.random.default_rng(seed).uniform(0, 6, 4)
    wave = np.sin(x * 2 + phase[0]) + np.sin(y * 3 + phase[1]) + np.sin(x + 2 * y + phase[2]) + np.sin(3 * x - y + phase[3])
    return 120 + 20 * wave


def seen(luma: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.clip(np.rint(luma + np.random.default_rng(seed).normal(0, noise, luma.shape)), 0, 255).astype(np.uint8)


def flat(value: float) -> np.ndarray:
    return np.full((*GRID, 2), value, np.float32)


def flickering(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(0.1, 0.02, (*GRID, 2)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0])
def test_a_still_scene_stops_flickering_however_noisy(noise: float) -> None:
    smoother, scene = Smoother(1.0), texture(0)
    out = [smoother(flickering(n), seen(scene, noise, n), n / 25) for n in range(100)]
    raw = np.abs(np.diff([flickering(n) for n in range(50, 100)], axis=0)).mean()
    assert np.abs(np.diff(out[50:], axis=0)).mean() < raw / 8
    assert np.mean(out[-1]) == pytest.approx(0.1, abs=0.003)


@pytest.mark.parametrize("rate", [2, 5, 25])
def test_colours_settle_in_the_same_time_at_any_rate(rate: int) -> None:
    smoother, scene = Smoother(1.0), seen(texture(0))
    smoother(flat(0.0), scene, 10.0)
    for n in range(1, rate + 1):
        out = smoother(flat(0.2), scene, 10.0 + n / rate)
    np.testing.assert_allclose(out, 0.2 * (1 - np.exp(-1)), atol=1e-3)


def test_what_moved_gets_its_colour_at_once_and_the_rest_keeps_its_own() -> None:
    smoother, scene = Smoother(1.0), texture(0)
    for n in range(50):
        smoother(flat(0.0), seen(scene, 1.0, n), n / 25)
    moved = scene.copy()
    moved[24:40, 24:40] = 250 - moved[24:40, 24:40]
    out = smoother(flat(0.2), seen(moved, 1.0, 99), 2.0)
    assert (out[6:10, 6:10] > 0.19).all()
    far = np.ones(GRID, bool)
    far[3:13, 3:13] = False
    assert (out[far] < 0.02).all()


def test_what_creeps_by_is_seen_to_move() -> None:
    smoother = Smoother(1.0)
    for n in range(100):
        scene = np.full(GUIDE, 60.0)
        edge = n * 0.5
        scene[:, : int(edge)] = 200
        scene[:, int(edge)] = 60 + 140 * (edge % 1)
        color = flat(0.0)
        color[:, : int(edge / 4)] = 0.2
        out = smoother(color, seen(scene), n / 25)
    behind = int(99 * 0.5 / 4)
    assert (out[:, : behind - 2] > 0.1).all(), "the colour follows the edge"
    assert (out[:, behind + 2 :] < 0.02).all()


def test_what_brightens_a_little_each_time_is_seen_to_change() -> None:
    smoother, scene = Smoother(1.0), texture(0)
    for n in range(100):
        scene[:, :20] += 0.5  # an eighth of what counts as motion at once
        color = flat(0.0)
        color[:, :5] = 0.002 * n
        out = smoother(color, seen(scene), n / 25)
    assert (color[:, :4] - out[:, :4]).mean() < 0.02, "a mean over the last second would lag by 0.05"


def test_a_pan_over_the_whole_picture_does_not_smear() -> None:
    wide = texture(5, (64, 64))
    smoother = Smoother(1.0)
    for n in range(60):
        smoother(flat(0.0), seen(np.roll(wide, 3 * n, axis=1)), n / 25)
    out = smoother(flat(0.2), seen(np.roll(wide, 180, axis=1)), 60 / 25)
    assert np.mean(out) > 0.15


def test_a_cut_starts_anew() -> None:
    smoother = Smoother(1.0)
    for n in range(25):
        smoother(flat(0.2), seen(texture(0), 1.0, n), n / 25)
    out = smoother(flat(-0.2), seen(texture(7), 1.0, 99), 1.0)
    assert smoother.cuts == 1
    np.testing.assert_array_equal(out, flat(-0.2))


@pytest.mark.parametrize(
    "light", [lambda y: 1.3 * y, lambda y: 0.6 * y, lambda y: y + 40, lambda y: 255 * (y / 255) ** 0.6, lambda y: np.clip(1.8 * y, 0, 255)]
)
def test_a_change_of_light_is_no_cut_and_colours_stay_steady(light) -> None:
    smoother, scene = Smoother(1.0), texture(0)
    for n in range(50):
        smoother(flat(0.0), seen(scene, 1.0, n), n / 25)
    for n in range(50, 53):
        out = smoother(flat(0.2), seen(light(scene), 1.0, n), n / 25)
    assert smoother.cuts == 0
    assert np.mean(out) < 0.06, "three frames of a second's mean"


def test_the_light_goes_out_and_comes_on_again() -> None:
    smoother, scene = Smoother(1.0), texture(0)
    for n, luma in enumerate([scene, np.full(GUIDE, 5.0), scene, scene]):
        out = smoother(flat(n / 10), seen(luma, 1.0, n), n / 25)
        assert np.isfinite(out).all()


def test_another_size_starts_anew() -> None:
    smoother = Smoother(1.0)
    smoother(flat(0.2), seen(texture(0)), 0.0)
    other = np.full((8, 12, 2), -0.1, np.float32)
    assert smoother(other, np.full((32, 48), 90, np.uint8), 0.04) is other
    assert smoother(flat(0.1), seen(texture(0)), 0.08)[0, 0, 0] == np.float32(0.1)


def test_forgetting_and_no_smoothing() -> None:
    scene = seen(texture(0))
    smoother = Smoother(1.0)
    smoother(flat(0.0), scene, 0.0)
    smoother.forget()
    assert smoother(flat(0.2), scene, 0.04)[0, 0, 0] == np.float32(0.2)
    off = Smoother(0.0)
    off(flat(0.0), scene, 0.0)
    assert off(flat(0.2), scene, 0.04)[0, 0, 0] == np.float32(0.2)


def test_after_a_long_pause_the_past_weighs_nothing_and_time_never_runs_backwards() -> None:
    smoother, scene = Smoother(1.0), seen(texture(0))
    smoother(flat(0.0), scene, 0.0)
    np.testing.assert_allclose(smoother(flat(0.2), scene, 60.0), 0.2, atol=1e-6)
    assert np.isfinite(smoother(flat(0.1), scene, 30.0)).all()


def test_the_grids_given_are_not_written_to() -> None:
    smoother, scene = Smoother(1.0), seen(texture(0))
    first, second = flat(0.0), flat(0.2)
    smoother(first, scene, 0.0)
    smoother(second, scene, 0.04)
    smoother(flat(0.4), scene, 0.08)
    assert (first == 0).all() and (second == np.float32(0.2)).all()
