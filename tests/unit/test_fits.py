from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from edgecolor.errors import DelegateLostError, PictureError, RuntimeMissingError
from edgecolor.fits import colorize_fits, stretch
from edgecolor.sources.images import luma_of
from tests import samples

fits = pytest.importorskip("astropy.io.fits")


@pytest.fixture
def colorizer():
    return samples.strong_colorizer()


def encoded(*units: object) -> bytes:
    file = io.BytesIO()
    fits.HDUList(list(units)).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_the_data_stays_byte_for_byte_and_colour_comes_behind(colorizer, dtype):
    values = (samples.gray(np.uint8).astype(float) * 100).astype(dtype)
    data = encoded(fits.PrimaryHDU(values))
    result = colorize_fits(data, colorizer)
    assert result.startswith(data) and len(result) % 2880 == 0
    with fits.open(io.BytesIO(result)) as units:
        assert [u.name for u in units] == ["PRIMARY", "EDGECOLOR"]
        assert np.array_equal(units[0].data, values)
        color = units[1].data
        assert color.shape == (3, *values.shape) and color.dtype == np.uint16
        header = units[1].header
        luma = stretch(values, header["CLOW"], header["CHIGH"])
        assert np.abs(luma_of(np.ascontiguousarray(color[::-1].transpose(1, 2, 0))).astype(int) - luma).max() <= 1
        assert np.ptp(color.astype(int), axis=0).mean() > 1000
        assert header["CREATOR"].startswith("EdgeColor") and header["SRCUNIT"] == 0
        assert "not measured" in str(header["COMMENT"]) and "algorithmicallyEnhanced" in str(header["COMMENT"])


def test_cubes_tables_and_several_images(colorizer):
    cube = np.stack([samples.gray(np.uint16)] * 2)
    table = fits.BinTableHDU.from_columns([fits.Column(name="a", format="E", array=np.arange(3.0))])
    data = encoded(fits.PrimaryHDU(), fits.ImageHDU(cube, name="SCI"), table, fits.ImageHDU(samples.gray()))
    with fits.open(io.BytesIO(colorize_fits(data, colorizer))) as units:
        assert [u.name for u in units][4:] == ["EDGECOLOR", "EDGECOLOR"]
        assert units[4].data.shape == (2, 3, 45, 61) and units[5].data.shape == (3, 45, 61)
        assert [u.header["SRCUNIT"] for u in units[4:]] == [1, 3]


def test_up_is_up(colorizer):
    """FITS begins with the lowest row; the network sees pictures as people do."""
    seen = []
    guess = colorizer.guess
    colorizer.guess = lambda luma: (seen.append(luma.copy()), guess(luma))[1]
    values = np.zeros((40, 50), np.float32)
    values[:5] = 1
    colorize_fits(encoded(fits.PrimaryHDU(values)), colorizer)
    assert seen[0][-5:].min() > 60000 and seen[0][:-5].max() == 0


def test_what_is_not_finite_is_black(colorizer):
    values = samples.gray().astype(np.float32)
    values[0, :5] = [np.nan, np.inf, -np.inf, np.nan, 0]
    with fits.open(io.BytesIO(colorize_fits(encoded(fits.PrimaryHDU(values)), colorizer))) as units:
        assert not units[1].data[:, 0, 0].any() and np.isfinite(units[1].header["CHIGH"])
    colorize_fits(encoded(fits.PrimaryHDU(np.full((9, 9), np.nan, np.float32))), colorizer)
    colorize_fits(encoded(fits.PrimaryHDU(np.full((9, 9), 7, np.int16))), colorizer)


def test_the_stretch_opens_faint_parts_and_keeps_order():
    codes = stretch(np.linspace(-1, 11, 50), 0, 10)
    assert codes[0] == 0 and codes[-1] == 65535 and (np.diff(codes.astype(int)) >= 0).all()
    assert stretch(np.array([1.0]), 0, 10)[0] > 0.2 * 65535


def test_what_can_not_be_done_is_named(colorizer):
    data = encoded(fits.PrimaryHDU(samples.gray(np.uint16)))
    for content, pattern in [
        (b"", "not a FITS file"),
        (data[:-100], "cut off"),
        (data[:2880], "damaged|no image"),
        (encoded(fits.PrimaryHDU()), "no image"),
        (encoded(fits.PrimaryHDU(np.zeros((2, 2, 4, 4), np.uint8))), "4 axes"),
        (colorize_fits(data, colorizer), "already"),
        (data[:80] + b"\xff" * 2800 + data[2880:], "damaged"),
    ]:
        with pytest.raises(PictureError, match=pattern):
            colorize_fits(content, colorizer)
    with pytest.raises(PictureError, match=r"limit of 0\.001 million"):
        colorize_fits(data, colorizer, max_megapixels=0.001)


@pytest.mark.parametrize(
    ("sound", "damaged"),
    [
        (b"TFORM1  = '", b"TFORM1  =\xff'"), (b"ZVAL1   = ", b"ZVAL1   =\xff"), (b"'1PB(", b"'19B("),
        (b"ZCMPTYPE= 'RICE_1", b"ZCMPTYPE= 'GZIP_1"),
    ],
)  # fmt: skip
def test_damage_within_a_compressed_image_is_named(colorizer, sound, damaged):
    data = encoded(fits.PrimaryHDU(), fits.CompImageHDU(samples.gray(np.uint16), name="SCI"))
    assert colorize_fits(data, colorizer) and data.count(sound) == 1
    with pytest.raises(PictureError, match=r"^damaged: not readable as FITS \("):
        colorize_fits(data.replace(sound, damaged), colorizer)


def test_a_mistake_of_the_network_is_not_called_damage(colorizer):
    def fail(_):
        raise DelegateLostError("the Coral was unplugged")

    colorizer.guess = fail
    with pytest.raises(DelegateLostError):
        colorize_fits(encoded(fits.PrimaryHDU(samples.gray())), colorizer)


def test_without_astropy_it_is_said_what_to_install(colorizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy.io.fits", None)
    with pytest.raises(RuntimeMissingError, match=r"pip install '\.\[fits\]' in a checkout"):
        colorize_fits(b"", colorizer)
