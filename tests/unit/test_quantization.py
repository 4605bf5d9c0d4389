from __future__ import annotations

import numpy as np
import pytest

from edgecolor.color import luma_to_lightness
from edgecolor.quantization import dequantize, input_table, quantize


@pytest.mark.parametrize(("scale", "zero_point"), [(0.5, 0), (0.0078431377, -1), (0.83, 5), (1.0, -128)])
def test_every_code_survives_the_round_trip(scale: float, zero_point: int) -> None:
    codes = np.arange(-128, 128, dtype=np.int8)
    assert (quantize(dequantize(codes, scale, zero_point), scale, zero_point) == codes).all()


def test_quantization_error_is_at_most_half_a_step() -> None:
    real = np.random.default_rng(0).uniform(-60, 60, 1000)
    assert np.abs(dequantize(quantize(real, 0.5, 3), 0.5, 3) - real).max() <= 0.25 + 1e-5


def test_values_outside_are_clipped() -> None:
    assert quantize([1e9, -1e9], 0.1, 0).tolist() == [127, -128]


def test_input_table_is_lightness_quantized() -> None:
    scale, zero_point = 2 / 255, 0
    table = input_table(scale, zero_point)
    assert table.dtype == np.int8 and table.shape == (256,)
    assert (np.diff(table.astype(int)) >= 0).all()
    middle = float(luma_to_lightness(119 / 255)) / 50 - 1  # about L* = 50
    assert table[119] == round(middle / scale)


def test_input_table_of_limited_range_spans_16_to_235() -> None:
    full, limited = input_table(2 / 255, 0), input_table(2 / 255, 0, "limited")
    assert limited[16] == full[0] and limited[235] == full[255]
    assert limited[126] == full[round((126 - 16) * 255 / 219)]
