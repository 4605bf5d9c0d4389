"""Decoded pictures of every kind to planes, over files of known content."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgecolor.color import chroma_planes, rgb_to_chroma, rgb_to_luma
from edgecolor.errors import VideoError
from edgecolor.frame import Frame
from edgecolor.sources.planes import Deinterlacer, frame_of
from edgecolor.sources.video import VideoSource
from tests.videos import filled_frame, numbered, plain_frame, write

RAMP = np.tile(np.arange(256, dtype=np.uint8), (16, 1))


def first(path: Path) -> Frame:
    return next(iter(VideoSource(path).frames(threading.Event())))


# Planes


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv410p", "yuv411p", "yuv440p", "gray"])
def test_luma_is_the_decoders_plane_bit_for_bit(tmp_path: Path, pixel_format: str) -> None:
    frame = first(write(tmp_path / "ramp.mkv", [plain_frame(pixel_format, RAMP)]))
    assert np.array_equal(frame.y, RAMP)
    assert frame.y.dtype == np.uint8 and (frame.cb is None) == (pixel_format == "gray")


def test_nv12_is_read_without_conversion(tmp_path: Path) -> None:
    frame = first(write(tmp_path / "ramp.nut", [plain_frame("nv12", RAMP)], codec="rawvideo"))
    assert np.array_equal(frame.y, RAMP)


def test_ten_bits_become_eight_in_the_same_range(tmp_path: Path) -> None:
    luma = np.clip(RAMP, 16, 235)
    frame = first(write(tmp_path / "deep.mkv", [plain_frame("yuv420p10le", luma, deep=2)], color_range=1))
    assert frame.color_range == "limited"
    assert np.abs(frame.y.astype(int) - luma).max() <= 1


def test_rgb_becomes_full_range_gray(tmp_path: Path) -> None:
    picture = av.VideoFrame.from_ndarray(np.repeat(RAMP[..., None], 3, axis=2), "rgb24").reformat(format="bgr0")
    frame = first(write(tmp_path / "rgb.mkv", [picture]))
    assert frame.color_range == "full"
    assert np.abs(frame.y.astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize("size", [(16, 17), (91, 161), (3, 5)])
def test_odd_sizes_and_line_strides(tmp_path: Path, size: tuple[int, int]) -> None:
    luma = np.random.default_rng(1).integers(16, 236, size, np.uint8)
    assert np.array_equal(first(write(tmp_path / "odd.nut", [plain_frame("yuv420p", luma)], codec="rawvideo")).y, luma)


# Chroma

SIZE = (24, 32)
NOISE = np.random.default_rng(2).integers(16, 236, SIZE, np.uint8)
# Chroma of one colour per 4 x 4 pixels: every subsampling can hold it, and a reduction of it must give it back.
BLOCKS = np.random.default_rng(3).integers(20, 236, (2, SIZE[0] // 4, SIZE[1] // 4), np.uint8)
WANTED = BLOCKS.repeat(2, 1).repeat(2, 2)


def frame(picture: av.VideoFrame) -> Frame:
    return frame_of(picture, captured=0.0, sequence=0)


def chroma_at(rows: int, columns: int) -> np.ndarray:
    """The block colours as two planes with so many rows and columns a block."""
    return BLOCKS.repeat(rows, 1).repeat(columns, 2)


@pytest.mark.parametrize(
    ("pixel_format", "rows", "columns"),
    [("yuv420p", 2, 2), ("yuvj420p", 2, 2), ("yuv422p", 4, 2), ("yuvj422p", 4, 2), ("yuv440p", 2, 4), ("yuv444p", 4, 4)],
)
def test_planar_chroma_becomes_420_whatever_its_range(pixel_format: str, rows: int, columns: int) -> None:
    found = frame(filled_frame(pixel_format, NOISE, *chroma_at(rows, columns)))
    assert np.array_equal(found.y, NOISE)
    assert np.array_equal(found.cb, WANTED[0]) and np.array_equal(found.cr, WANTED[1])


@pytest.mark.parametrize(("pixel_format", "rows"), [("yuv411p", 4), ("yuv410p", 1)])
def test_coarser_chroma_is_enlarged(pixel_format: str, rows: int) -> None:
    ramp = np.linspace(40, 200, SIZE[1] // 4).round().astype(np.uint8)
    plane = np.tile(ramp, (SIZE[0] // 4 * rows, 1))
    found = frame(filled_frame(pixel_format, NOISE, plane, 255 - plane))
    want = np.interp((np.arange(SIZE[1] // 2) - 0.5) / 2, np.arange(SIZE[1] // 4), ramp)
    assert found.cb is not None and found.cr is not None
    assert np.abs(found.cb - want).max() < 1.5 and np.abs(found.cr - (255 - want)).max() < 1.5


@pytest.mark.parametrize(
    ("pixel_format", "rows", "columns"), [("nv12", 2, 2), ("nv21", 2, 2), ("nv16", 4, 2), ("nv24", 4, 4), ("nv42", 4, 4)]
)
def test_interleaved_chroma_is_taken_apart(pixel_format: str, rows: int, columns: int) -> None:
    cb, cr = chroma_at(rows, columns)
    pair = (cr, cb) if pixel_format in ("nv21", "nv42") else (cb, cr)
    interleaved = np.stack(pair, axis=-1).reshape(cb.shape[0], -1)
    found = frame(filled_frame(pixel_format, NOISE, interleaved))
    assert np.array_equal(found.y, NOISE)
    assert np.array_equal(found.cb, WANTED[0]) and np.array_equal(found.cr, WANTED[1])


def test_packed_422_of_capture_devices_keeps_luma_bit_for_bit() -> None:
    cb, cr = chroma_at(4, 2)
    picture = av.VideoFrame(SIZE[1], SIZE[0], "yuyv422")
    packed = np.empty((SIZE[0], SIZE[1], 2), np.uint8)
    packed[..., 0], packed[:, 0::2, 1], packed[:, 1::2, 1] = NOISE, cb, cr
    assert picture.planes[0].line_size == SIZE[1] * 2
    picture.planes[0].update(packed.tobytes())
    found = frame(picture)
    assert np.array_equal(found.y, NOISE) and found.color_range == "limited"
    assert np.array_equal(found.cb, WANTED[0]) and np.array_equal(found.cr, WANTED[1])


@pytest.mark.parametrize("number", [1, 2])
def test_ten_bit_chroma_becomes_eight_in_the_same_range(number: int) -> None:
    picture = av.VideoFrame(SIZE[1], SIZE[0], "yuv420p10le")
    for plane, rows in zip(picture.planes, (NOISE, *WANTED), strict=True):
        padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        padded[:, : rows.shape[1]] = rows.astype(np.uint16) << 2
        plane.update(padded.tobytes())
    picture.color_range = number
    found = frame(picture)
    assert found.color_range == ("limited", "full")[number - 1]
    assert found.cb is not None and found.cr is not None
    for got, want in ((found.y, NOISE), (found.cb, WANTED[0]), (found.cr, WANTED[1])):
        assert np.abs(got.astype(int) - want).max() <= 1


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 150, 30), (128, 128, 128)])
def test_rgb_becomes_full_range_bt601(color: tuple[int, int, int]) -> None:
    rgb = np.full((*SIZE, 3), color, np.uint8)
    found = frame(av.VideoFrame.from_ndarray(rgb, "rgb24"))
    share = rgb.astype(np.float32) / 255
    cb, cr = chroma_planes(rgb_to_chroma(share), np.uint8, "full")
    assert (found.color_range, found.matrix) == ("full", "bt601")
    assert found.cb is not None and found.cr is not None
    for got, want in ((found.y, rgb_to_luma(share) * 255), (found.cb, cb[::2, ::2]), (found.cr, cr[::2, ::2])):
        assert np.abs(got.astype(float) - want).max() <= 2


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "gray16le", "ya8", "monow"])
def test_gray_has_no_chroma(pixel_format: str) -> None:
    found = frame(av.VideoFrame(16, 16, pixel_format))
    assert found.cb is None and found.cr is None and found.color_range == "full"


@pytest.mark.parametrize("number", [1, 2])
def test_deep_gray_keeps_its_range(number: int) -> None:
    picture = av.VideoFrame(256, 16, "gray10le")
    picture.planes[0].update((RAMP.astype(np.uint16) << 2).tobytes())
    picture.color_range = number
    found = frame(picture)
    assert found.color_range == ("limited", "full")[number - 1]
    assert np.abs(found.y.astype(int) - RAMP).max() <= 1


def test_chroma_can_be_left_out() -> None:
    picture = filled_frame("yuv420p", NOISE, *WANTED)
    assert frame_of(picture, color=False, captured=0.0, sequence=0).cb is None


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv422p", "yuv444p", "yuyv422", "rgb24", "yuv420p10le"])
def test_odd_sizes_have_chroma_rounded_up(pixel_format: str) -> None:
    found = frame(av.VideoFrame(17, 9, pixel_format))
    assert found.y.shape == (9, 17) and found.cb is not None and found.cb.shape == (5, 9)


@pytest.mark.parametrize("pixel_format", ["rgb4", "gray32le", "yaf32le"])
def test_formats_that_can_not_be_converted_are_refused_by_name(pixel_format: str) -> None:
    with pytest.raises(VideoError, match=pixel_format):
        frame(av.VideoFrame(16, 16, pixel_format))


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_chroma_turns_with_luma(tmp_path: Path, rotation: int) -> None:
    luma, cb = np.full((48, 64), 60, np.uint8), np.full((24, 32), 90, np.uint8)
    luma[:24, :32], cb[:12, :16] = 200, 160
    path = write(tmp_path / "turned.mp4", [filled_frame("yuv420p", luma, cb, cb)] * 3, codec="mpeg4", rotation=rotation)
    found = first(path)
    assert found.cb is not None and found.cr is not None
    for plane in (found.cb, found.cr):
        assert np.mean((found.y[::2, ::2] > 130) == (plane > 125)) > 0.98


# Interlacing


def comb(number: int) -> np.ndarray:
    """A bright bar that moves between two fields: every second line shows it elsewhere."""
    luma = np.full((96, 128), 60, np.uint8)
    luma[0::2, 8 * number : 8 * number + 24] = 200
    luma[1::2, 8 * number + 4 : 8 * number + 28] = 200
    return luma


def combing(luma: np.ndarray) -> float:
    """How much lines differ from both neighbours, on average."""
    middle, above, below = (luma[part].astype(int) for part in (slice(1, -1), slice(0, -2), slice(2, None)))
    return float(np.clip((middle - above) * (middle - below), 0, None).mean())


def test_interlaced_files_are_deinterlaced(tmp_path: Path) -> None:
    pictures = [plain_frame("yuv420p", comb(number)) for number in range(8)]
    options = {"x264-params": "interlaced=1:tff=1", "qp": "5"}
    path = write(tmp_path / "fields.mkv", pictures, codec="libx264", rate=50, options=options)
    frames = list(VideoSource(path).frames(threading.Event()))
    assert len(frames) == 8
    assert np.allclose([found.pts for found in frames], np.arange(8) / 50, atol=0.002)
    assert combing(comb(3)) > 500
    assert max(combing(found.y) for found in frames[1:-1]) < 50
    assert all(found.cb is not None for found in frames)


def test_progressive_pictures_pass_the_deinterlacer_untouched() -> None:
    picture = plain_frame("yuv420p", NOISE)
    deinterlacer = Deinterlacer()
    assert list(deinterlacer.push(picture)) == [picture]
    assert list(deinterlacer.flush()) == []


# Range, matrix, rotation of luma


@pytest.mark.parametrize(("number", "want"), [(0, "limited"), (1, "limited"), (2, "full")])
def test_range_is_read_from_the_stream(tmp_path: Path, number: int, want: str) -> None:
    assert first(write(tmp_path / "range.mkv", numbered(1), color_range=number)).color_range == want


def test_unmarked_gray_is_full_range(tmp_path: Path) -> None:
    assert first(write(tmp_path / "gray.mkv", [plain_frame("gray", RAMP)])).color_range == "full"


@pytest.mark.parametrize(
    ("number", "size", "want"),
    [(1, (16, 32), "bt709"), (6, (720, 32), "bt601"), (2, (16, 32), "bt601"), (2, (720, 32), "bt709")],
)
def test_matrix_is_read_from_the_stream_or_told_by_the_height(tmp_path: Path, number: int, size: tuple[int, int], want: str) -> None:
    assert first(write(tmp_path / "matrix.mkv", numbered(1, size), colorspace=number)).matrix == want


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_applied_as_another_player_does(tmp_path: Path, rotation: int) -> None:
    luma = np.full((48, 64), 60, np.uint8)
    luma[:24, :32] = 200  # one bright corner tells every turn apart
    path = write(tmp_path / "turned.mp4", [plain_frame("yuv420p", luma)] * 3, codec="mpeg4", rotation=rotation)
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    good, other = capture.read()
    capture.release()
    assert good
    found = first(path).y
    assert found.shape == other.shape[:2]
    bright = cv2.cvtColor(other, cv2.COLOR_BGR2GRAY) > 128
    assert np.mean((found > 130) == bright) > 0.98
    assert 0.2 < bright.mean() < 0.3
