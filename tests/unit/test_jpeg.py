"""Planes to JPEG: ranges, sizes and layouts, judged by other decoders' view of the file."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg

from edgecolor import jpeg as jpeg_module
from edgecolor.color import chroma_planes, luma_code, range_table, rgb_to_chroma, rgb_to_luma, ycbcr_to_rgb
from edgecolor.errors import FrameError
from edgecolor.frame import Frame, chroma_shape
from edgecolor.jpeg import encode_jpeg


def decoded_luma(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).astype(int)


def staircase(low: int, high: int) -> np.ndarray:
    """(64, 512): 64 flat columns of 8x8 blocks, so that the JPEG loses next to nothing."""
    return np.repeat(np.rint(np.linspace(low, high, 64)).astype(np.uint8), 8)[None].repeat(64, axis=0)


def test_full_range_codes_go_through_unchanged() -> None:
    y = staircase(0, 255)
    assert np.abs(decoded_luma(encode_jpeg(Frame(y, color_range="full"), 95)) - y).max() <= 1


def test_limited_range_is_stretched_to_full() -> None:
    y = staircase(16, 235)
    found = decoded_luma(encode_jpeg(Frame(y, color_range="limited"), 95))
    assert np.abs(found - np.rint((y.astype(float) - 16) * 255 / 219)).max() <= 1
    assert found[0, 4] == 0 and found[0, -4] == 255


def test_the_stretch_is_the_range_table_of_color_code_by_code() -> None:
    # Of a size that SIMD code takes, not only its scalar rest.
    codes = np.arange(256, dtype=np.uint8)[None].repeat(3, axis=0)
    assert np.array_equal(jpeg_module._stretch(codes, *jpeg_module._LUMA_LINE)[1], range_table("limited", "full", "luma"))
    chroma = jpeg_module._stretch(codes, *jpeg_module._CHROMA_LINE)[1].astype(int)
    wrong = np.flatnonzero(chroma != range_table("limited", "full", "chroma"))
    # Code 16 lies on 0.5 exactly: it may be rounded either way.
    assert set(wrong) <= {16} and np.abs(chroma - range_table("limited", "full", "chroma")).max() <= 1


def test_foot_and_head_room_of_limited_range_is_clipped_not_wrapped() -> None:
    y = np.array([[0, 15, 16, 235, 240, 255]], np.uint8).repeat(8, axis=1).repeat(16, axis=0)
    found = decoded_luma(encode_jpeg(Frame(y, color_range="limited"), 95))[8, 4::8]
    assert np.abs(found - [0, 0, 0, 255, 255, 255]).max() <= 2


@pytest.mark.parametrize("color_range", ["full", "limited"])
@pytest.mark.parametrize("chroma", [(0.0, 0.0), (0.2, -0.15), (-0.25, 0.3)])
def test_chroma_arrives_as_meant(color_range: str, chroma: tuple[float, float]) -> None:
    luma = 0.5
    scale, foot, excursion = (255, 0, 255) if color_range == "full" else (219, 16, 224)
    y = np.full((32, 48), round(foot + scale * luma), np.uint8)
    cb, cr = (np.full((16, 24), round(128 + excursion * c), np.uint8) for c in chroma)
    jpeg = encode_jpeg(Frame(y, cb, cr, color_range), 95)
    want = np.clip(ycbcr_to_rgb(luma, chroma), 0, 1) * 255
    assert np.abs(simplejpeg.decode_jpeg(jpeg)[16, 24] - want).max() <= 3


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (17, 31), (16, 31), (17, 32), (433, 767)])
def test_odd_sizes_show_nothing_from_outside_the_plane(shape: tuple[int, int]) -> None:
    chroma = np.full(chroma_shape(shape), 128, np.uint8)
    around = np.full((shape[0] + 4, shape[1] + 4), 255, np.uint8)  # what an encoder that reads too far would see
    around[: shape[0], : shape[1]] = 77
    y = around[: shape[0], : shape[1]]
    jpeg = encode_jpeg(Frame(y, chroma, chroma), 90)
    assert simplejpeg.decode_jpeg_header(jpeg) == (*shape, "YCbCr", "420")
    assert np.abs(decoded_luma(jpeg) - 77).max() <= 1


@pytest.mark.parametrize("color_range", ["full", "limited"])
def test_rows_that_lie_apart_are_read_where_they_are(color_range: str) -> None:
    wide = np.full((40, 128), 255, np.uint8)
    wide[:, :50] = staircase(16, 235)[:40, :50]
    view = wide[:, :50]
    assert encode_jpeg(Frame(view, color_range=color_range)) == encode_jpeg(Frame(view.copy(), color_range=color_range))


def test_no_chroma_makes_one_component() -> None:
    assert simplejpeg.decode_jpeg_header(encode_jpeg(Frame(np.zeros((8, 8), np.uint8))))[2] == "Gray"


def test_planes_of_the_frame_stay_as_they_were() -> None:
    y, cb, cr = staircase(16, 235), np.full((32, 256), 90, np.uint8), np.full((32, 256), 170, np.uint8)
    before = y.copy(), cb.copy(), cr.copy()
    encode_jpeg(Frame(y, cb, cr, "limited"))
    assert all(np.array_equal(a, b) for a, b in zip((y, cb, cr), before, strict=True))


def test_what_a_jpeg_can_not_say_is_refused() -> None:
    with pytest.raises(FrameError, match="8-bit"):
        encode_jpeg(Frame(np.zeros((8, 8), np.uint16)))


@pytest.mark.parametrize("color_range", ["full", "limited"])
def test_bt709_is_seen_in_its_own_colours(color_range: str) -> None:
    rgb = np.array([[[0.7, 0.3, 0.2], [0.2, 0.6, 0.3]], [[0.25, 0.35, 0.75], [0.5, 0.5, 0.5]]], np.float32).repeat(32, 0).repeat(32, 1)
    y = luma_code(rgb_to_luma(rgb, "bt709"), np.uint8, color_range)
    cb, cr = chroma_planes(rgb_to_chroma(rgb[::2, ::2], "bt709"), np.uint8, color_range)
    seen = simplejpeg.decode_jpeg(encode_jpeg(Frame(y, cb, cr, color_range, "bt709"), 98)) / 255
    for place in ((16, 16), (16, 48), (48, 16), (48, 48)):
        np.testing.assert_allclose(seen[place], rgb[place], atol=0.02)
