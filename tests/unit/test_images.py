from __future__ import annotations

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
import tifffile
from PIL import Image, ImageOps

from edgecolor.errors import PictureError
from edgecolor.monochrome import is_monochrome
from edgecolor.sources.images import color_pixels, decode_picture, identify_picture, luma_of, open_picture, upright
from tests import samples

SHADES, DEEP = samples.gray(), samples.gray(np.uint16)
RGB = np.dstack([SHADES] * 3)
ALPHA = 255 - SHADES


EXACT = {
    "png gray": (samples.pillow(SHADES, "PNG"), SHADES),
    "png 16": (samples.pillow(DEEP, "PNG"), DEEP),
    "png rgb": (samples.pillow(RGB, "PNG"), SHADES),
    "png 1 bit": (samples.pillow(Image.fromarray(SHADES > 99), "PNG"), (SHADES > 99) * np.uint8(255)),
    "webp lossless": (samples.pillow(RGB, "WEBP", lossless=True), SHADES),
    "tiff lzw": (samples.pillow(SHADES, "TIFF", compression="tiff_lzw"), SHADES),
    "tiff 16": (samples.tiff(DEEP), DEEP),
    "tiff 16 big-endian": (samples.tiff(DEEP, byteorder=">"), DEEP),
    "tiff 16 tiled": (samples.tiff(DEEP, tile=(16, 16)), DEEP),
    "tiff white is zero": (samples.tiff(255 - SHADES, photometric="miniswhite"), SHADES),
    "tiff white is zero 16": (samples.tiff(65535 - DEEP, photometric="miniswhite"), DEEP),
    "tiff rgb planes": (samples.tiff(np.stack([SHADES] * 3), photometric="rgb", planarconfig="separate"), SHADES),
    "tiff cmyk": (samples.pillow(Image.fromarray(RGB).convert("CMYK"), "TIFF"), SHADES),
    "tiff 1 bit lzw": (samples.pillow(Image.fromarray(SHADES > 99), "TIFF", compression="tiff_lzw"), (SHADES > 99) * np.uint8(255)),
    "tiff group 4": (samples.pillow(Image.fromarray(SHADES > 99), "TIFF", compression="group4"), (SHADES > 99) * np.uint8(255)),
    "tiff packbits": (samples.pillow(SHADES, "TIFF", compression="packbits"), SHADES),
    "tiff rgb lzw, predicted": (samples.pillow(RGB, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}), SHADES),
    "tiff cmyk packbits": (samples.pillow(Image.fromarray(RGB).convert("CMYK"), "TIFF", compression="packbits"), SHADES),
    "tiff deflate, tiled and predicted": (samples.tiff(SHADES, compression="zlib", tile=(16, 16), predictor=True), SHADES),
    "tiff deflate, big-endian rows": (samples.tiff(RGB, compression="zlib", rowsperstrip=1, byteorder=">"), SHADES),
    "tiff deflate, planes": (
        samples.tiff(np.stack([SHADES] * 3), photometric="rgb", planarconfig="separate", compression="zlib", rowsperstrip=7), SHADES,
    ),
    "tiff deflate 16": (samples.tiff(DEEP, compression="zlib", rowsperstrip=10), DEEP),
    "tiff lzw of one pixel": (samples.pillow(SHADES[:1, :1], "TIFF", compression="tiff_lzw"), SHADES[:1, :1]),
    "bmp": (samples.pillow(SHADES, "BMP"), SHADES),
    "bmp rgb": (samples.pillow(RGB, "BMP"), SHADES),
}


@pytest.mark.parametrize("name", EXACT)
def test_luma_of_lossless_gray_is_exact(name):
    content, want = EXACT[name]
    picture = decode_picture(content)
    assert picture.luma.dtype == want.dtype
    assert np.array_equal(picture.luma, want)
    assert picture.alpha is None
    assert is_monochrome(picture.sample)


def test_jpeg_luma_is_the_stored_one():
    # A tinted JPEG: RGB of it would be clipped in places, its luma plane is not.
    shades = samples.gray(shape=(48, 64))
    cb = np.full((24, 32), 70, np.uint8)
    tinted = simplejpeg.encode_jpeg_yuv_planes(shades, cb, 255 - cb, 100)
    alone = simplejpeg.encode_jpeg_yuv_planes(shades, None, None, 100)
    stored = np.asarray(Image.open(io.BytesIO(alone)))
    assert np.array_equal(decode_picture(tinted).luma, stored)
    assert np.array_equal(decode_picture(alone).luma, stored)
    assert is_monochrome(decode_picture(tinted).sample)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpeg_with_and_without_adobes_inversion(adobe):
    content = samples.pillow(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=100, subsampling=0)
    want = SHADES
    if not adobe:
        at = content.index(b"\xff\xee")
        content = content[:at] + content[at + 16 :]
        want = np.zeros_like(SHADES)  # the stored 255 of "no black" is then full black
    assert np.abs(decode_picture(content).luma.astype(int) - want).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_and_the_colour_beneath_it_are_kept(kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = decode_picture(samples.pillow(np.dstack([RGB, ALPHA]), kind, **options))
    assert np.array_equal(picture.luma, SHADES)
    assert np.array_equal(picture.alpha, ALPHA)


def test_gray_with_alpha_and_with_a_transparent_tone():
    both = decode_picture(samples.pillow(Image.fromarray(np.dstack([SHADES, ALPHA]), "LA"), "PNG"))
    assert np.array_equal(both.luma, SHADES) and np.array_equal(both.alpha, ALPHA)
    tone = int(SHADES[20, 20])
    keyed = decode_picture(samples.pillow(SHADES, "PNG", transparency=tone))
    assert np.array_equal(keyed.luma, SHADES)
    assert np.array_equal(keyed.alpha == 0, tone == SHADES)


def test_16_bit_alpha():
    deep = np.dstack([DEEP] * 3 + [65535 - DEEP])
    picture = decode_picture(cv2.imencode(".png", deep)[1].tobytes())
    assert np.array_equal(picture.luma, DEEP) and np.array_equal(picture.alpha, 65535 - DEEP)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_luma_of_colour_is_rec_601(dtype):
    rgb = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (50, 60, 3), endpoint=True).astype(dtype)
    found = luma_of(np.ascontiguousarray(rgb[..., ::-1]))
    assert found.dtype == dtype
    assert np.abs(found - (rgb.astype(np.float64) @ [0.299, 0.587, 0.114])).max() <= 0.5 + 1e-9
    encoded = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    assert np.array_equal(decode_picture(encoded).luma, found)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colour_is_seen_as_colour_and_its_pixels_can_be_had(kind):
    options = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}[kind]
    picture = decode_picture(samples.pillow(samples.color(shape=(301, 400)), kind, **options))
    assert not is_monochrome(picture.sample)
    difference = np.abs(color_pixels(picture)[..., ::-1].astype(int) - samples.color(shape=(301, 400)))
    assert difference.mean() < (0.001 if kind == "PNG" else 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_pillow_applies_it(orientation):
    blob = samples.exif(orientation)
    exif = Image.Exif()
    exif.load(blob)
    contents = {
        "jpeg": samples.pillow(SHADES, "JPEG", quality=95, exif=exif),
        "png": samples.pillow(SHADES, "PNG", exif=exif),
        "webp": samples.pillow(RGB, "WEBP", lossless=True, exif=exif),
        "tiff": samples.pillow(SHADES, "TIFF", tiffinfo={274: orientation}),
        "tiff 16": samples.tiff(DEEP, extratags=[(274, 3, 1, orientation, True)]),
    }
    for name, content in contents.items():
        picture = decode_picture(content)
        with Image.open(io.BytesIO(content)) as stored:
            want = np.asarray(ImageOps.exif_transpose(stored))
        want = want[..., 0] if want.ndim == 3 else want
        assert picture.header.orientation == orientation, name
        assert np.array_equal(picture.luma, want), name
        assert picture.header.upright_size == (want.shape[1], want.shape[0])


@pytest.mark.parametrize("kind", [1, 4], ids=["BYTE", "LONG"])
@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_the_orientation_of_a_tiff_is_obeyed_once_whatever_its_type(orientation, kind):
    value = bytes([orientation]) if kind == 1 else orientation
    picture = decode_picture(samples.tiff(SHADES, extratags=[(274, kind, 1, value, True)]))
    assert picture.header.orientation == orientation and np.array_equal(picture.luma, upright(SHADES, orientation))


def test_upright_leaves_channels_alone():
    assert np.array_equal(upright(RGB, 6), np.rot90(RGB, -1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_alpha_is_divided_out_to_within_what_rounding_lost(dtype):
    top = np.iinfo(dtype).max
    shades = samples.gray(dtype)
    alpha = np.tile(np.linspace(0, top, shades.shape[1]).astype(dtype), (len(shades), 1))
    alpha[:5] = top
    stored = np.rint(shades.astype(float) * alpha / top).astype(dtype)
    straight, multiplied = (
        samples.tiff(np.dstack([stored] * 3 + [alpha]), photometric="rgb", extrasamples=[kind]) for kind in ("unassalpha", "assocalpha")
    )
    assert np.array_equal(decode_picture(straight).luma, stored)
    picture = decode_picture(multiplied)
    assert picture.luma.dtype == dtype and np.array_equal(picture.alpha, alpha)
    assert np.array_equal(picture.luma[alpha == top], shades[alpha == top]) and not picture.luma[alpha == 0].any()
    seen = alpha > 0
    assert (np.abs(picture.luma.astype(float) - shades)[seen] <= 0.5 * top / alpha[seen] + 0.5).all()
    assert np.array_equal(color_pixels(picture), np.dstack([picture.luma] * 3 + [alpha]))


def test_premultiplied_colours_beyond_their_alpha_are_full():
    pixels = np.full((4, 4, 4), 200, np.uint8)
    pixels[..., 3] = 100
    pixels[0, 0, 3] = 0
    luma = decode_picture(samples.tiff(pixels, photometric="rgb", extrasamples=["assocalpha"])).luma
    assert luma[0, 0] == 200 and (luma.ravel()[1:] == 255).all()


def bmp(header_size: int, compression: int, alpha_mask: int) -> bytes:
    """32 bits a pixel, of which the last eight are 7."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, alpha_mask)
    header = struct.pack("<IiiHHI20x", header_size, 3, 2, 1, 32, compression)
    header = (header + masks).ljust(header_size, b"\0") if header_size > 40 else header + masks[: 12 if compression else 0]
    pixels = bytes([90, 90, 90, 7]) * 6
    return b"BM" + struct.pack("<IHHI", 14 + len(header + pixels), 0, 0, 14 + len(header)) + header + pixels


@pytest.mark.parametrize(
    ("header_size", "compression", "alpha_mask", "has_alpha"),
    [(40, 0, 0, False), (40, 3, 0, False), (52, 3, 0, False), (56, 3, 0, False), (108, 3, 0, False), (56, 3, 0xFF000000, True),
     (108, 3, 0xFF000000, True), (124, 3, 0xFF000000, True)],
)  # fmt: skip
def test_the_fourth_byte_of_a_bmp_is_alpha_where_a_mask_says_so(header_size, compression, alpha_mask, has_alpha):
    picture = decode_picture(bmp(header_size, compression, alpha_mask))
    assert (picture.luma == 90).all() and picture.luma.shape == (2, 3)
    assert (picture.alpha is not None) == has_alpha == (color_pixels(picture).shape[2] == 4)
    assert not has_alpha or (picture.alpha == 7).all()


# ---- refusals


def test_a_jpeg_cut_in_the_middle_is_refused_not_filled_with_gray():
    for kind in ("gray.jpg", "ycbcr.jpg", "progressive.jpg", "cmyk.jpg"):
        content = samples.good()[kind]
        with pytest.raises(PictureError, match="truncated"):
            decode_picture(content[: len(content) * 3 // 4])
        with pytest.raises(PictureError, match="truncated"):
            decode_picture(content[:-2])


@pytest.mark.parametrize("name", samples.bombs())
def test_bombs_are_refused_before_decoding(name, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the decoder was asked"))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("the decoder was asked"))
    with pytest.raises(PictureError, match="more than the limit of 200 megapixels; raise it with --max-megapixels"):
        decode_picture(samples.bombs()[name])


def test_the_limit_can_be_set():
    with pytest.raises(PictureError, match=r"limit of 0\.002 megapixels"):
        decode_picture(samples.good()["gray.png"], max_megapixels=0.002)
    decode_picture(samples.good()["gray.png"], max_megapixels=0.01)


def test_a_png_with_too_few_rows_is_refused():
    png = samples.good()["gray.png"]
    short = zlib.compress(bytes(20 * (samples.WIDTH + 1)))
    crafted = png[:33] + samples.png_chunk(b"IDAT", short) + samples.png_chunk(b"IEND", b"")
    with pytest.raises(PictureError, match="damaged"):
        decode_picture(crafted)


DAMAGES = {
    "overwritten": lambda strip: strip[: len(strip) // 3].ljust(len(strip), b"\xff"),
    "emptied": lambda strip: strip[: len(strip) // 3].ljust(len(strip), b"\0"),
    "cut": lambda strip: strip[: len(strip) // 2],
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_with_a_damaged_strip_is_refused_not_filled_with_black(dtype, compression, damage):
    sound = samples.pillow(samples.gray(dtype, (256, 301)), "TIFF", compression=compression)
    with tifffile.TiffFile(io.BytesIO(sound)) as file:
        tags = file.pages[0].tags
        at, size, place = tags[273].value[-1], tags[279].value[-1], tags[279].valueoffset
        short = tags[279].dtype == tifffile.DATATYPE.SHORT
        place += (2 if short else 4) * (tags[279].count - 1)
    strip = DAMAGES[damage](sound[at : at + size])
    damaged = bytearray(sound[:at] + strip.ljust(size, b"\0") + sound[at + size :])
    struct.pack_into("<H" if short else "<I", damaged, place, len(strip))
    decode_picture(sound)
    with pytest.raises(PictureError, match="damaged"):
        decode_picture(bytes(damaged))


def test_a_flipped_bit_in_what_deflate_has_packed_is_seen():
    sound = samples.tiff(np.random.default_rng(5).integers(0, 256, (40, 50), dtype=np.uint8), compression="zlib")  # stored as it is
    with tifffile.TiffFile(io.BytesIO(sound)) as file:
        middle = file.pages[0].dataoffsets[0] + file.pages[0].databytecounts[0] // 2
    with pytest.raises(PictureError, match="incorrect data check"):
        decode_picture(sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :])


def test_a_small_tiff_that_unpacks_to_gigabytes_is_not_unpacked_to_its_end(monkeypatch):
    content = samples.tiff(SHADES, compression="zlib")
    packer = zlib.compressobj(9)
    bomb = packer.compress(SHADES.tobytes()) + packer.compress(bytes(32 << 20)) + packer.flush()
    content += bytes(len(content) % 2)
    content = samples.patched_tiff(content + bomb, {273: len(content), 279: len(bomb)})
    unpacked = []
    unpacker = zlib.decompressobj

    class Watched:
        def __init__(self):
            self.inner = unpacker()

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def decompress(self, *given):
            unpacked.append(len(part := self.inner.decompress(*given)))
            return part

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    assert np.array_equal(decode_picture(content).luma, SHADES)
    assert 0 < sum(unpacked) < 4 << 20


def test_messages_name_the_file(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"text, not pixels")
    for function in (open_picture, identify_picture):
        with pytest.raises(PictureError, match=f"^{tmp_path}/x.jpg: not a picture in JPEG"):
            function(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(PictureError, match="the file is empty"):
        identify_picture(tmp_path / "x.jpg")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    for name, reason in (("pipe", "not a regular file"), ("folder", "not a regular file"), ("link", "No such file")):
        with pytest.raises(PictureError, match=reason):
            open_picture(tmp_path / f"{name}.jpg")
    with pytest.raises(PictureError, match="not a regular file"):
        open_picture("/dev/zero")


def test_a_file_far_larger_than_its_limit_is_not_read(tmp_path):
    with (tmp_path / "sparse.tif").open("wb") as file:
        file.write(samples.good()["gray.tif"][:8])
        file.truncate(40 << 30)
    with pytest.raises(PictureError, match="bytes are more than a picture of 200 megapixels"):
        open_picture(tmp_path / "sparse.tif")


def test_no_malformed_picture_raises_anything_but_picture_error(capfd):
    logging = getattr(cv2.utils, "logging", cv2)
    level = logging.getLogLevel()
    count = refused = 0
    for name, content in samples.malformed():
        count += 1
        try:
            picture = decode_picture(content)
            assert picture.luma.shape[::-1] == picture.header.upright_size, name
        except PictureError as error:
            refused += 1
            assert "\n" not in str(error)
    assert count >= 200 and refused >= 150
    assert logging.getLogLevel() == level
    assert capfd.readouterr().err == ""
