"""EdgeColor: colour for gray cameras, photos and films, on the device. Luma stays bit-exact, only chroma is guessed."""

from __future__ import annotations

from edgecolor.colorizer import Colorizer, Guess
from edgecolor.errors import EdgeColorError
from edgecolor.frame import Frame

__version__ = "0.1.0"
__all__ = ["Colorizer", "EdgeColorError", "Frame", "Guess", "__version__"]
