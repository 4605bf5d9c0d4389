from __future__ import annotations

import numpy as np
import pytest

from edgecolor import upsample


def two_halves(size: int, border: int) -> np.ndarray:
    """Dark left of ``border``, bright right of it, with a little texture, so that there is something to fit."""
    rng = np.random.default_rng(0)
    luma = np.where(np.arange(size) < border, 60, 180)[None, :] + rng.integers(-4, 5, (size, size))
    return luma.astype(np.uint8)


def test_what_the_grid_says_stays_as_it_is() -> None:
    """On a frame without detail beyond the grid, every cell's chroma is the grid's, however the luma varies."""
    rng = np.random.default_rng(1)
    guide = np.kron(rng.integers(20, 236, (24, 24)), np.ones((4, 4))).astype(np.uint8)
    chroma = rng.uniform(-0.3, 0.3, (24, 24, 2)).astype(np.float32)
    lifted = upsample.apply(upsample.fit(chroma, guide), guide[::4, ::4])
    np.testing.assert_allclose(lifted, chroma, atol=1e-5)


def test_a_flat_frame_of_one_chroma_stays_of_one() -> None:
    guide = np.full((96, 96), 90, np.uint8)
    chroma = np.broadcast_to(np.float32([0.2, -0.1]), (24, 24, 2))
    lifted = upsample.apply(upsample.fit(chroma, guide), np.full((360, 640), 90, np.uint8))
    np.testing.assert_allclose(lifted, np.broadcast_to(np.float32([0.2, -0.1]), lifted.shape), atol=1e-5)


def test_chroma_goes_with_luma_in_the_texture_of_one_thing() -> None:
    """Where the grid sees one luma and one chroma, finer shading scales chroma as it scales luma."""
    chroma = np.broadcast_to(np.float32([0.2, -0.1]), (24, 24, 2))
    frame = np.full((240, 240), 100, np.uint8)
    frame[::2] = 120
    lifted = upsample.apply(upsample.fit(chroma, np.full((96, 96), 110, np.uint8)), frame)
    ratio = lifted[0::2].mean((0, 1)) / lifted[1::2].mean((0, 1))
    np.testing.assert_allclose(ratio, 1.2, atol=0.05)


def test_texture_carries_no_chroma_where_the_grid_has_none() -> None:
    rng = np.random.default_rng(2)
    guide, frame = (rng.integers(0, 256, shape).astype(np.uint8) for shape in ((96, 96), (360, 640)))
    assert not upsample.apply(upsample.fit(np.zeros((24, 24, 2), np.float32), guide), frame).any()


def test_planes_are_the_same_lines_in_codes() -> None:
    guide = two_halves(96, 48)
    chroma = np.random.default_rng(3).uniform(-0.3, 0.3, (24, 24, 2)).astype(np.float32)
    lines = upsample.fit(chroma, guide)
    luma = two_halves(192, 96)
    wanted = np.clip(np.rint(upsample.apply(lines, luma) * 224 + 128), 0, 255)
    cb, cr = upsample.apply_to_planes(lines, luma, 224.0)
    assert cb.dtype == np.uint8 and cb.shape == luma.shape
    assert np.abs(np.stack([cb, cr], -1) - wanted).max() <= 1


def test_planes_of_one_call_survive_the_next() -> None:
    lines = upsample.fit(np.full((24, 24, 2), 0.2, np.float32), two_halves(96, 48))
    first, _ = upsample.apply_to_planes(lines, two_halves(192, 96), 255.0)
    kept = first.copy()
    upsample.apply_to_planes(-lines, two_halves(192, 96), 255.0)
    assert (first == kept).all()


@pytest.mark.parametrize("border", [160, 164, 170, 175])
def test_an_edge_lands_on_the_luma_edge(border: int) -> None:
    """A chroma edge blurred over a grid cell (8 pixels of the frame) must be pulled onto the frame's own luma edge."""
    size, cell = 384, 8
    frame = two_halves(size, border)
    guide = frame.reshape(size // 2, 2, size // 2, 2).mean((1, 3)).astype(np.uint8)
    truth = np.where(np.arange(size) < border, 0.3, -0.2).astype(np.float32)
    grid = np.repeat(truth.reshape(-1, cell).mean(1)[None, :, None], size // cell, 0).repeat(2, 2).astype(np.float32)
    lifted = upsample.apply(upsample.fit(grid, guide), frame)[size // 2, :, 0]
    bilinear = np.interp(np.arange(size), (np.arange(size // cell) + 0.5) * cell - 0.5, grid[0, :, 0])
    steps = lifted[:-1] - lifted[1:]
    assert int(np.argmax(steps)) == border - 1
    assert steps.max() > 0.4 * 0.5 > 2 * (bilinear[:-1] - bilinear[1:]).max()


def test_threads_do_not_share_scratch_memory() -> None:
    from concurrent.futures import ThreadPoolExecutor

    guide, frame = np.full((96, 96), 90, np.uint8), np.full((480, 480), 90, np.uint8)

    def lift(value: float) -> bool:
        lines = upsample.fit(np.full((24, 24, 2), value, np.float32), guide)
        return all((np.abs(upsample.apply_to_planes(lines, frame, 255.0)[0] - (128 + 255 * value)) < 1.1).all() for _ in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lift, [-0.4, -0.1, 0.1, 0.4]))
