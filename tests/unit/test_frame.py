from __future__ import annotations

import numpy as np
import pytest

from edgecolor import Frame
from edgecolor.errors import EdgeColorError, FrameError
from edgecolor.frame import check_luma, chroma_shape


def test_chroma_is_half_rounded_up() -> None:
    assert chroma_shape((5, 8)) == (3, 4)
    assert chroma_shape((1, 1)) == (1, 1)


def test_a_frame_keeps_the_very_plane() -> None:
    y = np.zeros((4, 6), np.uint8)
    assert Frame(y).y is y


@pytest.mark.parametrize("luma", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8), [[1]], None])
def test_wrong_luma_is_refused(luma: object) -> None:
    with pytest.raises(FrameError, match="luma must be"):
        check_luma(luma)


def test_wrong_chroma_is_refused() -> None:
    y, half = np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8)
    Frame(y, half, half)
    with pytest.raises(FrameError, match="both chroma planes"):
        Frame(y, half)
    with pytest.raises(FrameError, match="cr is"):
        Frame(y, half, half.T)
    with pytest.raises(FrameError, match="cb is"):
        Frame(y, half.astype(np.uint16), half)
    with pytest.raises(FrameError, match="color range"):
        Frame(y, color_range="tv")


def test_errors_are_caught_by_the_root_and_by_the_builtin() -> None:
    for kind in (EdgeColorError, ValueError):
        with pytest.raises(kind):
            check_luma(None)


def test_every_error_also_derives_from_a_builtin() -> None:
    from edgecolor import errors

    children = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, EdgeColorError) and c is not EdgeColorError]
    assert len(children) > 8
    for child in children:
        bases = [b for b in child.__mro__ if b.__module__ == "builtins" and b not in (Exception, BaseException, object)]
        assert bases, f"{child.__name__} derives from no builtin error"
