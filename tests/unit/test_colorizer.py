from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from edgecolor import Colorizer, Frame
from edgecolor.benchmark import demo_luma
from edgecolor.color import chroma_planes
from edgecolor.colorizer import TfliteNetwork, shrink
from edgecolor.errors import FrameError


class Painter:
    """A network that paints everything in one colour."""

    size = (64, 96)

    def __init__(self, a: float, b: float) -> None:
        self.ab = np.float32([a, b])
        self.seen: tuple[np.ndarray, str] | None = None

    def __call__(self, luma: np.ndarray, color_range: str) -> np.ndarray:
        self.seen = luma, color_range
        return np.broadcast_to(self.ab, (luma.shape[0] // 4, luma.shape[1] // 4, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(threads=1)


@pytest.mark.parametrize("shape", [(480, 640), (481, 643), (1, 1), (2, 900), (300, 40), (37, 37)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_fit_the_luma_which_is_not_touched(colorizer: Colorizer, shape: tuple[int, int], dtype: type) -> None:
    luma = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    before = luma.copy()
    cb, cr = colorizer(luma)
    assert cb.shape == cr.shape == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    assert cb.dtype == cr.dtype == dtype
    assert (luma == before).all()


def test_a_frame_keeps_its_own_luma_array(colorizer: Colorizer) -> None:
    frame = Frame(np.full((48, 64), 99, np.uint8), color_range="limited", matrix="bt709", pts=1.5, sequence=7)
    colored = colorizer.colorize(frame)
    assert colored.y is frame.y and colored.cb is not None
    assert (colored.pts, colored.sequence, colored.captured, colored.matrix) == (1.5, 7, frame.captured, "bt709")
    assert (frame.origin, colored.origin) == ("camera", "guess"), "these are not the camera's own colours"


def test_a_gray_guess_gives_the_middle_code_in_every_depth_and_range() -> None:
    for dtype, middle in ((np.uint8, 128), (np.uint16, 32768)):
        for color_range in ("full", "limited"):
            cb, cr = Colorizer(network=Painter(0, 0))(np.full((40, 60), 77, dtype), color_range)  # type: ignore[arg-type]
            assert (cb == middle).all() and (cr == middle).all()


def test_warm_colors_raise_cr_and_lower_cb() -> None:
    luma = np.full((40, 60), 128, np.uint8)
    cb, cr = Colorizer(network=Painter(20, 40))(luma)
    assert cr.min() > 140 and cb.max() < 116
    limited_cb, _ = Colorizer(network=Painter(20, 40))(luma, "limited")
    assert abs(int(limited_cb[0, 0]) - 128) < abs(int(cb[0, 0]) - 128)


def test_the_network_sees_a_small_copy_and_the_range() -> None:
    painter = Painter(0, 0)
    gradient = np.repeat(np.linspace(0, 255, 960).astype(np.uint8)[None], 640, 0)
    Colorizer(network=painter)(gradient, "limited")
    assert painter.seen is not None and painter.seen[1] == "limited"
    np.testing.assert_allclose(painter.seen[0], shrink(gradient, (96, 64)), atol=0)
    assert painter.seen[0].shape == (64, 96)


def test_wrong_luma_is_a_typed_error(colorizer: Colorizer) -> None:
    for wrong in (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 3), np.uint8)):
        with pytest.raises(FrameError):
            colorizer(wrong)


@pytest.mark.parametrize("shape", [(720, 1280), (480, 640), (1080, 1920), (433, 769)])
def test_shrink_is_close_to_one_resize_by_area(shape: tuple[int, int]) -> None:
    luma = demo_luma((shape[1], shape[0]))
    wanted = cv2.resize(luma, (192, 192), interpolation=cv2.INTER_AREA).astype(int)
    error = np.abs(shrink(luma, (192, 192)) - wanted).mean()
    plain = np.abs(cv2.resize(luma, (192, 192), interpolation=cv2.INTER_LINEAR).astype(int) - wanted).mean()
    assert error < 0.6 and error < 0.6 * plain


def test_shrink_of_16_bits_keeps_the_high_byte() -> None:
    luma = np.full((64, 64), 0xABCD, np.uint16)
    assert (shrink(luma, (32, 32)) == 0xAB).all()


def test_chroma_planes_saturate() -> None:
    cb, cr = chroma_planes(np.float32([[[0.9, -0.9]]]), np.uint8, "full")
    assert cb[0, 0] == 255 and cr[0, 0] == 0


def test_int8_and_both_color_ranges_see_the_same_scene(colorizer: Colorizer) -> None:
    """A picture in limited range is the same picture: the guess must not depend on how its luma is coded."""
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8), (0, 0), 9)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    limited = np.rint(16 + picture * (219 / 255)).astype(np.uint8)
    full_grid, limited_grid = colorizer.guess(picture).grid, colorizer.guess(limited, "limited").grid
    assert np.abs(full_grid - limited_grid).mean() < 0.01


def test_a_network_that_threads_share_gives_each_its_own_guess() -> None:
    network = TfliteNetwork("edgecolor-tiny", None, 1, None)
    pictures = np.random.default_rng(0).integers(0, 256, (4, *network.size)).astype(np.uint8)
    alone = [network(picture, "full") for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        shared = list(threads.map(lambda turn: network(pictures[turn % 4], "full"), range(200)))
    assert all(np.array_equal(guess, alone[turn % 4]) for turn, guess in enumerate(shared))
