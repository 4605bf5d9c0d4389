"""The project's only colour maths: sRGB, CIELAB, YCbCr, and chroma from a guessed (a, b) under a fixed luma.

All functions take and return float32 NumPy arrays (other dtypes are converted), vectorized over leading axes.
Sources: IEC 61966-2-1 (sRGB, D65), CIE 015 (L*a*b*), ITU-R BT.601-7 and BT.709-6 (luma coefficients, limited range),
ITU-T T.871 (JFIF: full range).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgecolor.frame import ColorRange, Matrix

Float = NDArray[np.float32]
Byte = NDArray[np.uint8]

# IEC 61966-2-1: linear sRGB -> XYZ (D65). Rows are scaled to the white point below, so that white maps to (1, 1, 1).
_RGB_TO_XYZ = np.array(
    [[0.412390799, 0.357584339, 0.180480788], [0.212639006, 0.715168679, 0.072192315], [0.019330819, 0.119194780, 0.950532152]],
    np.float64,
)
_WHITE = _RGB_TO_XYZ.sum(axis=1)
_RGB_TO_XYZN = (_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)
_XYZN_TO_RGB = np.linalg.inv(_RGB_TO_XYZ / _WHITE[:, None]).astype(np.float32)
_DELTA = 6.0 / 29.0  # CIE 015: where the cube root of L*a*b* gives way to a line

LUMA_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
}


def srgb_to_linear(rgb: ArrayLike) -> Float:
    """Undo the sRGB transfer curve: (...,) in [0, 1] -> (...,) in [0, 1]."""
    value = np.asarray(rgb, np.float32)
    curve = ((np.maximum(value, 0.04045) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(value <= 0.04045, value / np.float32(12.92), curve).astype(np.float32)


def linear_to_srgb(rgb: ArrayLike) -> Float:
    """Apply the sRGB transfer curve: (...,) -> (...,). Values below 0 continue the linear part; none are clipped."""
    return np.asarray(_encode(np.asarray(rgb, np.float32), np), np.float32)


def _encode(value: Any, xp: Any) -> Any:
    curve = 1.055 * xp.maximum(value, 0.0031308) ** (1 / 2.4) - 0.055
    return xp.where(value <= 0.0031308, value * 12.92, curve)


def _lab_forward(t: Float) -> Float:
    line = t * np.float32(1 / (3 * _DELTA**2)) + np.float32(4 / 29)
    return np.where(t > _DELTA**3, np.cbrt(t), line).astype(np.float32)


def _lab_inverse(f: Any, xp: Any) -> Any:
    return xp.where(f > _DELTA, f * f * f, (f - 4 / 29) * (3 * _DELTA**2))


def rgb_to_lab(rgb: ArrayLike) -> Float:
    """sRGB (..., 3) in [0, 1] -> CIELAB (..., 3): L* in [0, 100], a* and b* about [-110, 110]; D65."""
    f = _lab_forward(np.asarray(srgb_to_linear(rgb) @ _RGB_TO_XYZN.T, np.float32))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.asarray(np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1), np.float32)


def lab_to_rgb(lab: ArrayLike) -> Float:
    """CIELAB (..., 3) -> sRGB (..., 3). Colours outside the sRGB gamut fall outside [0, 1]: the caller clips."""
    return np.asarray(lab_to_rgb_with(np.asarray(lab, np.float32), np), np.float32)


def lab_to_rgb_with(lab: Any, xp: Any) -> Any:
    """lab_to_rgb over the tensors of another array library: ``xp`` is numpy, or keras.ops where training differentiates it."""
    fy = (lab[..., 0] + 16) / 116
    f = xp.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    return _encode(xp.matmul(_lab_inverse(f, xp), _XYZN_TO_RGB.T), xp)


def luma_to_lightness(luma: ArrayLike) -> Float:
    """L* in [0, 100] of a gray pixel: luma (...,) in [0, 1], full range -> (...,)."""
    return np.asarray(116 * _lab_forward(srgb_to_linear(luma)) - 16, np.float32)


def lightness_to_luma(lightness: ArrayLike) -> Float:
    """Inverse of luma_to_lightness."""
    return linear_to_srgb(_lab_inverse((np.asarray(lightness, np.float32) + 16) / np.float32(116), np))


def rgb_to_luma(rgb: ArrayLike, matrix: Matrix = "bt601") -> Float:
    """Luma Y' (...,) in [0, 1] of sRGB (..., 3) in [0, 1]: what a monochrome camera's encoder sends."""
    return np.asarray(np.asarray(rgb, np.float32) @ np.asarray(LUMA_WEIGHTS[matrix], np.float32), np.float32)


def rgb_to_chroma(rgb: ArrayLike, matrix: Matrix = "bt601") -> Float:
    """(Cb, Cr) (..., 2) in [-0.5, 0.5] of sRGB (..., 3) in [0, 1]."""
    value = np.asarray(rgb, np.float32)
    luma = rgb_to_luma(value, matrix)
    red, _, blue = LUMA_WEIGHTS[matrix]
    return np.asarray(np.stack([(value[..., 2] - luma) / (2 - 2 * blue), (value[..., 0] - luma) / (2 - 2 * red)], axis=-1), np.float32)


def ycbcr_to_rgb(luma: ArrayLike, chroma: ArrayLike, matrix: Matrix = "bt601") -> Float:
    """luma (...,) in [0, 1] and (Cb, Cr) (..., 2) in [-0.5, 0.5] -> sRGB (..., 3), not clipped."""
    y, c = np.asarray(luma, np.float32), np.asarray(chroma, np.float32)
    wr, wg, wb = LUMA_WEIGHTS[matrix]
    red = y + np.float32(2 - 2 * wr) * c[..., 1]
    blue = y + np.float32(2 - 2 * wb) * c[..., 0]
    green = (y - np.float32(wr) * red - np.float32(wb) * blue) / np.float32(wg)
    return np.asarray(np.stack([red, green, blue], axis=-1), np.float32)


def ab_to_chroma(luma: ArrayLike, ab: ArrayLike, matrix: Matrix = "bt601") -> Float:
    """(Cb, Cr) (..., 2) in [-0.5, 0.5] of the colour that has this luma *and* these a*, b*.

    luma (...,) in [0, 1], full range; ab (..., 2) in CIELAB units. L* is not given: luma weighs R'G'B' and lightness
    weighs linear light, so a saturated colour has another L* than the gray of the same luma. Three fixed-point steps
    on L* bring the luma of the result to the one asked for (typically within 0.002), which is what lets the output
    keep Y' untouched without a shift of hue. Colours outside the gamut are clipped in RGB before Cb, Cr are taken.
    """
    y, c = np.asarray(luma, np.float32), np.asarray(ab, np.float32)
    aim = y
    for step in range(3):
        rgb = np.clip(lab_to_rgb(np.concatenate([luma_to_lightness(aim)[..., None], c], axis=-1)), 0, 1)
        if step < 2:
            aim = np.clip(aim + y - rgb_to_luma(rgb, matrix), 0, 1)
    return rgb_to_chroma(rgb, matrix)


def settle(ab: ArrayLike, doubt: float, gain: float) -> Float:
    """Guessed (a*, b*) (..., 2) -> what is shown of them: faint guesses fade, clear ones stay.

    A network that can not tell a colour gives the mean of what it might be, which is faint and brownish. Each guess of
    chroma C is scaled by C^2 / (C^2 + doubt^2), as Wiener's filter scales a signal in noise of the deviation ``doubt`` (CIELAB
    units, 0: none), and by ``gain``, which makes up for what that takes from the whole.
    """
    value = np.asarray(ab, np.float32)
    if not doubt:
        return value if gain == 1 else np.asarray(value * np.float32(gain))
    power = (value * value).sum(axis=-1, keepdims=True)
    return np.asarray(value * (np.float32(gain) * power / (power + np.float32(doubt) ** 2)))


def range_table(source: ColorRange, target: ColorRange, plane: Literal["luma", "chroma"]) -> Byte:
    """(256,) uint8 table that rescales an 8-bit plane from one colour range to the other.

    Limited range is 16..235 for luma and 16..240 for chroma (BT.601-7, section 2.5.3).
    """
    codes = np.arange(256, dtype=np.float64)
    center, excursion = (16.0, 219.0) if plane == "luma" else (128.0, 224.0)
    zero = 0.0 if plane == "luma" else 128.0
    if source == target:
        scaled = codes
    elif source == "limited":
        scaled = (codes - center) * (255.0 / excursion) + zero
    else:
        scaled = (codes - zero) * (excursion / 255.0) + center
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def luma_codes(dtype: Any, color_range: ColorRange = "full") -> Float:
    """Luma in [0, 1] of every code of an unsigned integer dtype: (256,) for uint8, (65536,) for uint16."""
    top = float(np.iinfo(dtype).max)
    codes = np.arange(int(top) + 1, dtype=np.float64) / top
    if color_range == "limited":
        codes = (codes * 255.0 - 16.0) / 219.0
    return np.clip(codes, 0, 1).astype(np.float32)


def luma_code(luma: ArrayLike, dtype: Any, color_range: ColorRange = "full") -> NDArray[Any]:
    """Inverse of luma_codes: luma (...,) in [0, 1] -> codes of an unsigned integer dtype."""
    top = float(np.iinfo(dtype).max)
    value = np.asarray(luma, np.float32)
    scaled = value * np.float32(top) if color_range == "full" else (value * np.float32(219) + np.float32(16)) * np.float32(top / 255)
    codes: NDArray[Any] = np.clip(np.rint(scaled), 0, top).astype(dtype)
    return codes


def chroma_excursion(dtype: Any, color_range: ColorRange) -> float:
    """Codes from one end of chroma to the other (-0.5 to 0.5) in an unsigned dtype: 255 or 224 for 8 bits."""
    top = float(np.iinfo(dtype).max)
    return top if color_range == "full" else top * 224 / 255


def chroma_planes(chroma: Float, dtype: Any, color_range: ColorRange) -> tuple[NDArray[Any], NDArray[Any]]:
    """(Cb, Cr) (H, W, 2) in [-0.5, 0.5] -> two planes of integer codes of ``dtype`` in ``color_range``."""
    top = float(np.iinfo(dtype).max)
    codes = chroma * np.float32(chroma_excursion(dtype, color_range)) + np.float32((top + 1) / 2)
    codes = np.clip(np.rint(codes), 0, top).astype(dtype)
    return np.ascontiguousarray(codes[..., 0]), np.ascontiguousarray(codes[..., 1])
