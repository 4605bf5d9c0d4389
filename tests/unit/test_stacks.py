from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile

from edgecolor import stacks
from edgecolor.colorizer import Colorizer
from edgecolor.errors import PictureError
from edgecolor.sources.images import luma_of
from edgecolor.stacks import colorize_stack, stack_pages
from tests import samples


def pages(count: int = 3, dtype=np.uint16) -> np.ndarray:
    return np.stack([np.roll(samples.gray(dtype), 7 * number, axis=1) for number in range(count)])


def stack(array: np.ndarray, **options: object) -> bytes:
    return samples.tiff(array, **{"photometric": "minisblack", **options})


@pytest.fixture
def colorizer() -> Colorizer:
    return samples.strong_colorizer()


def changed_bytes(before: bytes, after: bytes) -> int:
    return sum(a != b for a, b in zip(before, after[: len(before)], strict=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"tile": (64, 64)}, {"description": "60x, 0.1 um"}])
def test_the_data_stays_and_each_page_gets_one_in_colour(colorizer, dtype, options):
    data = stack(pages(dtype=dtype), **options)
    result = colorize_stack(data, colorizer)
    assert changed_bytes(data, result) <= 4  # the link
    with tifffile.TiffFile(io.BytesIO(result)) as file, tifffile.TiffFile(io.BytesIO(data)) as original:
        assert len(file.pages) == 6
        for number in range(3):
            assert np.array_equal(file.pages[number].asarray(), pages(dtype=dtype)[number])
            assert file.pages[number].description == original.pages[number].description
            guessed = file.pages[3 + number]
            rgb = guessed.asarray()
            assert rgb.shape == (samples.HEIGHT, samples.WIDTH, 3) and rgb.dtype == dtype and np.ptp(rgb.astype(int), axis=2).mean() > 5
            assert np.abs(luma_of(rgb[..., ::-1]).astype(int) - pages(dtype=dtype)[number]).max() <= 1
            assert f"Colours of page {number + 1}, guessed by EdgeColor" in guessed.description
            assert b"algorithmicallyEnhanced" in bytes(guessed.tags[700].value)


def test_other_readers_see_all_pages(colorizer):
    from PIL import Image

    with Image.open(io.BytesIO(colorize_stack(stack(pages(2, np.uint8)), colorizer))) as witness:
        assert witness.n_frames == 4
        for number, mode in enumerate(("L", "L", "RGB", "RGB")):
            witness.seek(number)
            witness.load()
            assert witness.mode == mode


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "packbits"])
def test_each_page_is_decoded_out_of_its_own_bytes(colorizer, monkeypatch, compression):
    from PIL import Image

    frames = [Image.fromarray(page) for page in pages(20, np.uint8)]
    data = samples.pillow(frames[0], "TIFF", save_all=True, append_images=frames[1:], compression=compression)
    seen = []
    decode = stacks.decode_picture

    def watched(content, most):
        seen.append((len(content), decode(content, most)))
        return seen[-1][1]

    monkeypatch.setattr(stacks, "decode_picture", watched)
    assert len(stack_pages(colorize_stack(data, colorizer))) == 40
    assert len(seen) == 20
    assert sum(size for size, _ in seen) < 1.1 * len(data), "or a long stack would take the square of its time"
    with Image.open(io.BytesIO(data)) as witness:
        for number, (_, page) in enumerate(seen):
            witness.seek(number)
            assert np.array_equal(page.luma, np.asarray(witness))


def test_pages_whose_strips_lie_one_upon_another_are_decoded_all_the_same(colorizer):
    data = bytearray(stack(pages(2, np.uint8), rowsperstrip=1))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags[273]
        data[tag.valueoffset : tag.valueoffset + 4 * tag.count] = struct.pack("<I", file.pages[0].dataoffsets[0]) * tag.count
        counts = file.pages[0].tags[279]
        data[counts.valueoffset : counts.valueoffset + 2 * counts.count] = struct.pack("<H", 300) * counts.count
    with tifffile.TiffFile(io.BytesIO(colorize_stack(bytes(data), colorizer))) as result:
        assert np.ptp(luma_of(result.pages[2].asarray()[..., ::-1]).astype(int), axis=0).max() <= 1, "every row is the first one"


def test_pages_in_colour_are_left_alone(colorizer):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(samples.gray(), photometric="minisblack")
        writer.write(samples.color(shape=(90, 120)), photometric="rgb")
    assert len(stack_pages(file.getvalue())) == 2
    assert len(stack_pages(colorize_stack(file.getvalue(), colorizer))) == 3
    assert len(stack_pages(colorize_stack(file.getvalue(), colorizer, force=True))) == 4
    assert colorize_stack(stack(np.stack([samples.color(shape=(90, 120))] * 2), photometric="rgb"), colorizer) is None


def test_previews_get_no_colours(colorizer):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(samples.gray(), photometric="minisblack")
        writer.write(samples.gray()[::4, ::4], photometric="minisblack", subfiletype=1)
        writer.write(samples.gray(), photometric="minisblack")
    assert len(stack_pages(file.getvalue())) == 2
    with tifffile.TiffFile(io.BytesIO(colorize_stack(file.getvalue(), colorizer))) as result:
        assert [p.shape[:2] for p in result.pages] == [(45, 61), (12, 16), (45, 61), (45, 61), (45, 61)]


def test_large_pages_have_several_strips(colorizer):
    large = np.stack([samples.gray(np.uint16, (700, 900))] * 2)
    with tifffile.TiffFile(io.BytesIO(colorize_stack(stack(large), colorizer))) as result:
        assert len(result.pages[2].dataoffsets) > 2
        assert np.abs(luma_of(result.pages[2].asarray()[..., ::-1]).astype(int) - large[0]).max() <= 1


def test_a_page_that_can_not_be_decoded_is_named(colorizer):
    with pytest.raises(PictureError, match=r"^page 1: .*sample format 3"):
        colorize_stack(stack(pages().astype(np.float32)), colorizer)
    with pytest.raises(PictureError, match=r"^page 1: .*more than the limit"):
        colorize_stack(stack(pages()), colorizer, max_megapixels=0.001)
    data = bytearray(stack(pages(), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        at, size = file.pages[1].dataoffsets[0], file.pages[1].databytecounts[0]
    data[at : at + size] = b"\xff" * size
    with pytest.raises(PictureError, match=r"^page 2: "):
        colorize_stack(bytes(data), colorizer)


def test_what_is_no_stack_has_no_pages():
    assert stack_pages(b"") == stack_pages(samples.good()["gray.png"]) == stack_pages(stack(pages(), bigtiff=True)) == []
    assert len(stack_pages(samples.good()["deep.tiff"])) == 1
    for content in (content for name, content in samples.malformed() if name.endswith((".tif", ".tiff"))):
        stack_pages(content)


def test_a_chain_that_comes_back_to_itself_ends():
    data = bytearray(stack(pages(2)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        first, last = file.pages[0].offset, file.pages[1].offset
    (count,) = struct.unpack_from("<H", data, last)
    struct.pack_into("<I", data, last + 2 + 12 * count, first)
    assert len(stack_pages(bytes(data))) == 2


def test_a_stack_of_too_many_pages_is_refused_and_not_cut(colorizer, monkeypatch):
    monkeypatch.setattr("edgecolor.stacks._MOST_PAGES", 3)
    assert len(stack_pages(stack(pages(3)))) == 3
    for take in (stack_pages, lambda data: colorize_stack(data, colorizer)):
        with pytest.raises(PictureError, match="a TIFF of more than 3 pages is not supported; split it"):
            take(stack(pages(4)))


def test_more_than_a_tiff_can_hold_is_refused(colorizer, monkeypatch):
    monkeypatch.setattr("edgecolor.stacks._LARGEST", 20_000)
    with pytest.raises(PictureError, match="more than the 4 GiB"):
        colorize_stack(stack(pages()), colorizer)
