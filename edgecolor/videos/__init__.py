"""Videos with guessed colours, file to file."""

from edgecolor.videos.engine import colorize_video
from edgecolor.videos.options import VideoOptions, VideoReport

__all__ = ["VideoOptions", "VideoReport", "colorize_video"]
