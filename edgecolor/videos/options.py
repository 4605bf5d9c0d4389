"""What a caller may ask of the video engine, and what it tells about a finished file."""

from __future__ import annotations

from dataclasses import dataclass

from edgecolor.label import Position


@dataclass(frozen=True)
class VideoOptions:
    """How a video is colorized and written.

    codec: an encoder of FFmpeg ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", ...); "" takes H.264, or what the
    target's container is for where it can not hold that. crf: constant rate factor; None takes the codec's usual one. preset:
    the encoder's name for its speed; "" its own choice.
    force: colorize what is in colour already. smoothing: time constant in seconds, in both directions; 0 guesses frame by frame.
    every: guess every so many frames, and four times a second at least: what comes into a picture has no colours before the next
    guess. The colours of those between follow motion. label: corner of a burnt-in line, or "off".
    verify_luma: decode the result again, and compare its luma with the source's, frame by frame.
    deinterlace: make whole pictures of fields (this changes luma); else fields stay fields.
    leave_out: leave out streams and properties that the target's container can not hold, with a warning; else they are errors.
    """

    codec: str = ""
    crf: float | None = None
    preset: str = ""
    force: bool = False
    smoothing: float = 1.0
    every: int = 4
    label: Position | str = "off"
    verify_luma: bool = False
    deinterlace: bool = False
    leave_out: bool = False


@dataclass(frozen=True)
class VideoReport:
    """What became of a file.

    frames, seconds: of the video stream. scenes: how many, by cuts and by turns between gray and colour; colorized_scenes,
    left_scenes: those that got guessed colours and those that kept their own. codec, pixel_format: of the result; "copy" and ""
    when the file was in colour already. luma_verified: every frame's decoded luma is the source's. streams: the other streams
    that were kept, as they are. damaged: packets that could not be decoded. warnings: what is not as in the source.
    """

    frames: int
    seconds: float
    scenes: int
    colorized_scenes: int
    left_scenes: int
    codec: str
    pixel_format: str
    luma_verified: bool
    streams: tuple[str, ...] = ()
    damaged: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def colorized(self) -> bool:
        """Whether any colour in the result is guessed."""
        return self.colorized_scenes > 0
