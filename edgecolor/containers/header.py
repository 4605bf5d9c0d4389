"""What a container says about its picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Alpha = Literal["straight", "premultiplied", "none"]


@dataclass(frozen=True)
class Metadata:
    """What is carried from an input file to its output.

    exif: a TIFF structure (Exif 2.32, without the "Exif" prefix of JPEG). icc: an ICC.1 profile of RGB. xmp: an XMP packet
    (ISO 16684-1), UTF-8. dpi: horizontal and vertical pixels per inch, as stored (before orientation).
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True)
class Header:
    """Format, size as stored (before orientation), EXIF orientation 1..8, and metadata.

    adobe: a JPEG with Adobe's APP14 segment, which stores CMYK inverted. photometric: TIFF's tag 262, else None.
    alpha: what the fourth sample is, where a decoder gives one: opacity, opacity that the others have been multiplied by, or nothing.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    metadata: Metadata = Metadata()
    adobe: bool = False
    photometric: int | None = None
    alpha: Alpha = "straight"

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) after the orientation has been applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def sane_dpi(x: float, y: float) -> tuple[float, float] | None:
    """(x, y) when both are resolutions that a picture can have, else None."""
    return (x, y) if 1 <= x <= 30000 and 1 <= y <= 30000 else None
