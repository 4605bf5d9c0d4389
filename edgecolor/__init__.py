"""EdgeColor: colour for gray cameras, photos and films, on the device. Luma stays bit-exact, only chroma is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecolor.colorizer import Colorizer, Guess
from edgecolor.errors import EdgeColorError
from edgecolor.frame import Frame

if TYPE_CHECKING:
    from edgecolor.pictures import colorize_image

__version__ = "0.1.0"
__all__ = ["Colorizer", "EdgeColorError", "Frame", "Guess", "__version__", "colorize_image"]


def __getattr__(name: str) -> Any:
    # The live path never needs picture files: their reader is imported on first use (PEP 562).
    if name == "colorize_image":
        from edgecolor.pictures import colorize_image

        return colorize_image
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
