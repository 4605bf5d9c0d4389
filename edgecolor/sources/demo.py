"""The bundled clip in place of a camera: looped at its own rate, and only its luma is used.

The clip is in colour, so that its chroma is dropped on purpose: otherwise there would be nothing to guess.
"""

from __future__ import annotations

from edgecolor.assets import find_media
from edgecolor.sources.video import VideoSource

CLIP = "demo.mp4"


def open_demo() -> VideoSource:
    """The demo clip as an endless source. Raises AssetNotFoundError or VideoError when the installation is damaged."""
    return VideoSource(find_media(CLIP), name="demo", loop=True, color=False)
