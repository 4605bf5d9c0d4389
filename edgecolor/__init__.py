"""EdgeColor: colour for gray cameras, photos and films, on the device. Luma stays bit-exact, only chroma is guessed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecolor.colorizer import Colorizer, Guess
    from edgecolor.errors import EdgeColorError
    from edgecolor.frame import Frame
    from edgecolor.pictures import colorize_image

__version__ = "0.1.0"
__all__ = ["Colorizer", "EdgeColorError", "Frame", "Guess", "__version__", "colorize_image"]

_HOMES = {"Colorizer": "colorizer", "Guess": "colorizer", "EdgeColorError": "errors", "Frame": "frame", "colorize_image": "pictures"}


def __getattr__(name: str) -> Any:
    # On first use (PEP 562): the live path needs no picture files, and training needs colour maths but no OpenCV.
    if name in _HOMES:
        return getattr(importlib.import_module(f"edgecolor.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
