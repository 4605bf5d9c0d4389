"""Colours of pictures between two guesses: where things were and will be is known from the ends of one link."""

import cv2
import numpy as np
import pytest

from edgecolor.videos.motion import Link, Motion, Place
from edgecolor.videos.smoothing import Smoothing, Step

SIDE = 48
RNG = np.random.default_rng(5)
TEXTURE = cv2.GaussianBlur(RNG.integers(0, 255, (192, 192), dtype=np.uint8), (0, 0), 5)
TEXTURE = cv2.normalize(TEXTURE, None, 0, 255, cv2.NORM_MINMAX)
OTHER = np.ascontiguousarray(cv2.flip(TEXTURE, -1))


def moved(pixels: float) -> np.ndarray:
    """The texture, that many of the 192 pixels further right."""
    return cv2.warpAffine(TEXTURE, np.float32([[1, 0, pixels], [0, 1, 0]]), (192, 192), borderMode=cv2.BORDER_REPLICATE)


def blob(column: float) -> np.ndarray:
    """A grid (SIDE, SIDE, 2) whose chroma is strong around one column."""
    columns = np.arange(SIDE, dtype=np.float32)
    row = 50 * np.exp(-(((columns - column) / 4) ** 2))
    return np.stack([np.tile(row, (SIDE, 1)), np.zeros((SIDE, SIDE), np.float32)], -1)


def drift(cells: float) -> Link:
    """All that moves, moves right."""
    ahead = np.zeros((2, SIDE, SIDE), np.float32)
    ahead[0] = cells
    sure = np.ones((SIDE, SIDE), np.float32)
    return Link(-ahead, ahead, sure, sure)


def peak(grid: np.ndarray) -> float:
    """Centre of mass of the columns."""
    weights = grid[..., 0].clip(1).sum(0) - SIDE
    return float((weights * np.arange(SIDE)).sum() / weights.sum())


def test_pictures_wait_for_the_end_of_a_link_and_lie_evenly_along_it():
    motion = Motion((SIDE, SIDE))
    assert motion.push(moved(0)) == [Place(None)]
    assert motion.push(moved(1), due=False) == []
    assert motion.push(moved(2), due=False) == []
    places = motion.push(moved(3))
    assert [place.share for place in places] == pytest.approx([1 / 3, 2 / 3, 1])
    link = places[0].link
    assert link is not None and all(place.link is link for place in places)
    inner = np.s_[8:40, 8:40]
    assert np.median(link.ahead[0][inner]) == pytest.approx(3 / 4, abs=0.15)  # 3 of 192 pixels on a grid of 48
    assert np.median(link.back[0][inner]) == pytest.approx(-3 / 4, abs=0.15)
    assert abs(np.median(link.ahead[1][inner])) < 0.1


def test_what_did_not_move_stays():
    motion = Motion((SIDE, SIDE))
    motion.push(moved(0))
    (place,) = motion.push(moved(0))
    assert place.link is not None and place.share == 1
    assert not place.link.ahead.any() and (place.link.sure_back == 1).all()


def test_a_cut_ends_the_link_of_those_that_wait():
    motion = Motion((SIDE, SIDE))
    motion.push(moved(0))
    assert motion.push(moved(1), due=False) == []
    last, first = motion.push(OTHER, due=False)
    assert last.link is not None and last.share == 1
    assert first == Place(None)
    assert motion.rest() == []


def test_those_that_wait_at_the_end_get_places():
    motion = Motion((SIDE, SIDE))
    motion.push(moved(0))
    motion.push(moved(1), due=False)
    motion.push(moved(2), due=False)
    assert [place.share for place in motion.rest()] == [0.5, 1]
    assert motion.rest() == []


def test_where_motion_is_not_even_each_picture_has_its_own_link():
    motion = Motion((SIDE, SIDE))
    flat = np.full((192, 192), 128, np.uint8)

    def ball(at: tuple[int, int]) -> np.ndarray:
        return cv2.GaussianBlur(cv2.circle(flat.copy(), at, 22, 255, -1), (0, 0), 3)

    motion.push(cv2.circle(flat.copy(), (30, 30), 14, 0, -1))
    places: list[Place] = []
    for number, at in enumerate(((40, 150), (150, 150), (150, 40), (100, 100))):
        places += motion.push(ball(at), due=number == 3)
    assert len(places) == 4
    assert all(place.share == 1 for place in places)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_between_two_guesses_chroma_is_where_the_thing_is(share: float):
    link = drift(8)
    steps = [
        Step(0.0, moved(0), Place(None), blob(16)),
        Step(share, moved(0), Place(link, share)),
        Step(1.0, moved(0), Place(link), blob(24)),
    ]
    smoothing = Smoothing(1.0)
    assert smoothing(steps)[24, 16, 0] > 45
    between = smoothing(steps[1:])
    assert peak(between) == pytest.approx(16 + 8 * share, abs=0.3)
    assert between[..., 0].max() == pytest.approx(50, rel=0.05)
    assert peak(smoothing(steps[2:])) == pytest.approx(24, abs=0.3)


def test_a_beginning_between_two_guesses_moves_only_what_is_left_of_the_link():
    link = drift(8)
    steps = [
        Step(0.5, moved(0), Place(None, 0.5), blob(20)),
        Step(0.75, moved(0), Place(link, 0.75)),
        Step(1.0, moved(0), Place(link), blob(24)),
    ]
    smoothing = Smoothing(1.0)
    assert [peak(smoothing(steps[n:])) for n in range(3)] == pytest.approx([20, 22, 24], abs=0.3)


def test_one_look_ahead_serves_a_block_and_says_what_a_new_one_would():
    link = drift(2)
    steps = [Step(0.0, moved(0), Place(None), blob(10))]
    for number in range(1, 13):
        share = (number % 4) / 4 or 1.0
        steps.append(Step(number / 25, moved(0), Place(link, share), blob(10 + number / 2) if share == 1 else None))
    each, blocks = Smoothing(0.3), Smoothing(0.3, block=6)
    for number in range(13):
        np.testing.assert_allclose(each(steps[number:]), blocks(steps[number:]), atol=1e-3)


def test_what_still_waits_is_no_future():
    steps = [Step(0.0, moved(0), Place(None), blob(10)), Step(0.1, moved(0)), Step(0.2, moved(0))]
    np.testing.assert_allclose(Smoothing(1.0)(steps), blob(10), atol=1e-5)
