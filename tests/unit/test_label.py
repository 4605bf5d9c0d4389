"""What is burnt into a picture: where it lies, that it can be read, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from edgecolor.frame import Frame, chroma_shape
from edgecolor.label import TEXT, burn, letters
from edgecolor.placeholder import placeholder

POSITIONS = ("top-left", "top-right", "bottom-left", "bottom-right")


def plain(shape: tuple[int, int], dtype: type = np.uint8, color_range: str = "full", luma: float = 0.5) -> Frame:
    top = np.iinfo(dtype).max
    chroma = np.full(chroma_shape(shape), top // 3, dtype)
    return Frame(np.full(shape, round(luma * top), dtype), chroma, chroma.copy(), color_range, captured=3.0, sequence=4, origin="guess")


def box(plane: np.ndarray, before: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(plane != before)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize("shape", [(720, 1280), (240, 320), (1081, 1921), (33, 47)])
@pytest.mark.parametrize("position", POSITIONS)
def test_it_lies_in_its_corner_with_neutral_chroma_below_on_copies(shape: tuple[int, int], position: str) -> None:
    given = plain(shape)
    burnt = burn(given, position)
    assert (given.y == 128).all() and (given.cb == 85).all(), "the frame itself stays as it is"
    assert (burnt.captured, burnt.sequence, burnt.origin) == (3.0, 4, "guess")
    top, bottom, left, right = box(burnt.y, given.y)
    assert (top == 0) if "top" in position else (bottom >= shape[0] - 1)
    assert (left == 0) if "left" in position else (right >= shape[1] - 1)
    assert bottom - top <= max(22, shape[0] / 20), "small"
    below = (slice(top // 2, (bottom + 1) // 2), slice(left // 2, (right + 1) // 2))
    for after in (burnt.cb, burnt.cr):
        assert (after[below] == 128).all()
        assert np.count_nonzero(after == 128) == after[below].size


@pytest.mark.parametrize("luma", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("color_range", ["full", "limited"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_it_can_be_read_on_any_ground_and_stays_in_range(luma: float, color_range: str, dtype: type) -> None:
    given = plain((480, 640), dtype, color_range, luma)
    burnt = burn(given, "bottom-left")
    label = burnt.y[480 - 16 :, :80].astype(float) / np.iinfo(dtype).max
    assert label.min() < 0.2 and label.max() > 0.7
    assert label.min() >= 16 / 255 - 1e-3 if color_range == "limited" else label.min() > 0
    assert 0.02 < np.mean(label > 0.6) < 0.5, "letters, neither nothing nor a block"


def test_luma_alone_is_labelled_too_and_strided_planes_are_no_problem() -> None:
    given = Frame(np.full((200, 400), 128, np.uint8)[:, :300])
    burnt = burn(given, "top-left")
    assert burnt.cb is None and burnt.y.shape == (200, 300) and (burnt.y != given.y).any()


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 90), (90, 3)])
def test_pictures_too_small_for_it_stay_pictures(shape: tuple[int, int]) -> None:
    for position in POSITIONS:
        assert burn(plain(shape), position).y.shape == shape


def test_another_text_is_another_label_and_letters_beyond_ascii_do_no_harm() -> None:
    given = plain((240, 320))
    first, second = burn(given, "top-left", TEXT), burn(given, "top-left", "Tür 3")
    assert (first.y != second.y).any()
    assert (second.y == burn(given, "top-left", "T?r 3").y).all()


def test_letters_keep_to_their_room() -> None:
    for height, width in ((16, 1000), (16, 40), (60, 200)):
        drawn = letters("a long line of words", height, width)
        assert drawn.shape[0] <= height + 3 and drawn.shape[1] <= width
        assert 0.5 < drawn.max() <= 1 and drawn.min() == 0


LINES = ("porch", "No picture since 12:30:00", "rtsp://porch/stream: the camera sent nothing for 5 s", "retrying")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("color_range", "least"), [("full", 0.1), ("limited", 0.16)])
def test_a_placeholder_is_a_frame_of_the_lost_ones_form(dtype: type, color_range: str, least: float) -> None:
    shown = placeholder((361, 641), LINES, color_range, dtype=dtype, sequence=9)
    assert (shown.y.shape, shown.y.dtype, shown.color_range, shown.origin, shown.sequence) == (
        (361, 641), dtype, color_range, "placeholder", 9,
    )
    assert (shown.cb == np.iinfo(dtype).max // 2 + 1).all() and (shown.cr == shown.cb).all()
    luma = shown.y / np.iinfo(dtype).max
    assert luma.min() == pytest.approx(least, abs=0.03) and luma.max() > 0.6
    rows = (luma > 0.5).any(axis=1)
    assert np.count_nonzero(np.diff(rows.astype(int)) == 1) >= 4, "lines of text with room between them"
    assert not luma[:, 0].max() > 0.5 and not luma[:, -1].max() > 0.5, "nothing is cut off at the sides"


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (16, 400), (400, 16), (90, 120), (2160, 3840)])
def test_a_placeholder_has_any_size(shape: tuple[int, int]) -> None:
    assert placeholder(shape, LINES).y.shape == shape
    assert placeholder(shape, []).y.shape == shape


def test_what_a_placeholder_says_is_seen() -> None:
    assert (placeholder((240, 320), LINES).y != placeholder((240, 320), ("porch", "No picture since 12:31:00", *LINES[2:])).y).any()
