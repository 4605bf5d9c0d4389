"""The one type that travels between rooms: a frame as planes, never as RGB."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgecolor.errors import FrameError

Plane = NDArray[Any]  # (H, W) uint8 or uint16
ColorRange = Literal["full", "limited"]
Matrix = Literal["bt601", "bt709"]
# "camera": as the source sent it, with its own chroma or none. "guess": the source's luma, chroma from the network.
# "placeholder": drawn by the pipeline because the source is lost.
Origin = Literal["camera", "guess", "placeholder"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture in YCbCr planes.

    y: (H, W) uint8 or uint16. cb, cr: (ceil(H/2), ceil(W/2)) of the same dtype, zero chroma in the middle (128 or
    32768), or both None for a picture without colour. color_range: "full" (JPEG) or "limited" (most video).
    matrix: the luma coefficients, "bt601" or "bt709". pts: seconds in the stream, or None. captured: time.monotonic()
    at capture. sequence: counts the source's frames from 0. origin: whose colours these are, see Origin. Raises FrameError
    when planes do not fit each other.
    """

    y: Plane
    cb: Plane | None = None
    cr: Plane | None = None
    color_range: ColorRange = "full"
    matrix: Matrix = "bt601"
    pts: float | None = None
    captured: float = field(default_factory=monotonic)
    sequence: int = 0
    origin: Origin = "camera"

    def __post_init__(self) -> None:
        check_luma(self.y)
        if self.color_range not in get_args(ColorRange) or self.matrix not in get_args(Matrix):
            known = f"{get_args(ColorRange)} and {get_args(Matrix)}"
            raise FrameError(f"color range {self.color_range!r}, matrix {self.matrix!r}: known are {known}")
        if (self.cb is None) != (self.cr is None):
            raise FrameError("a frame has both chroma planes or none")
        want = chroma_shape(self.y.shape)
        for name, plane in (("cb", self.cb), ("cr", self.cr)):
            if plane is not None and (plane.shape != want or plane.dtype != self.y.dtype):
                raise FrameError(f"{name} is {plane.shape} {plane.dtype}; beside luma {self.y.shape} it must be {want} {self.y.dtype}")


def check_luma(luma: Any) -> None:
    """Raise FrameError unless ``luma`` is a (H, W) uint8 or uint16 array with at least one pixel."""
    if not isinstance(luma, np.ndarray) or luma.ndim != 2 or luma.dtype not in (np.uint8, np.uint16) or luma.size == 0:
        what = f"{luma.shape} {luma.dtype}" if isinstance(luma, np.ndarray) else type(luma).__name__
        raise FrameError(f"luma must be a (H, W) array of uint8 or uint16, not {what}")


def chroma_shape(luma_shape: tuple[int, ...]) -> tuple[int, int]:
    """Shape of the 4:2:0 chroma planes beside luma of this shape: half, rounded up."""
    return (luma_shape[0] + 1) // 2, (luma_shape[1] + 1) // 2
