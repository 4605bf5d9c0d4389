"""Videos with guessed colours, file to file."""

from edgecolor.videos.engine import colorize_part, colorize_video, join_video
from edgecolor.videos.options import VideoOptions, VideoReport
from edgecolor.videos.parts import Span, divide

__all__ = ["Span", "VideoOptions", "VideoReport", "colorize_part", "colorize_video", "divide", "join_video"]
