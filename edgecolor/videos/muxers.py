"""Container formats by suffix: FFmpeg's muxer, what it is usually filled with, and what it can not do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecolor.errors import OutputError


@dataclass(frozen=True)
class Muxer:
    """A container format. codec: what it is usually filled with, "" for MPEG-4 or, in full range, Motion JPEG.

    fixed: its clock is the frame rate. options: of FFmpeg's muxer.

    ordered: it keeps no order but that of coding. holds: the codecs that it names, where it would take others without their names.
    comments: it has a place for tags. gapless: a picture's time is the end of the one before it. turns: it says how the picture is to be
    turned for display.
    """

    name: str
    codec: str = "libx264"
    fixed: bool = False
    ordered: bool = False
    options: tuple[tuple[str, str], ...] = ()
    holds: tuple[str, ...] = ()
    comments: bool = True
    gapless: bool = False
    turns: bool = False

    @property
    def together(self) -> bool:
        """Whether all streams begin at once: no time is kept but that of a picture's number."""
        return self.fixed and self.ordered


_IN_TS = (
    "mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc", "vvc", "cavs", "dirac", "vc1", "jpeg2000", "mp1", "mp2", "mp3", "aac", "aac_latm",
    "ac3", "eac3", "dts", "truehd", "opus", "s302m", "pcm_bluray", "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle",
    "arib_caption", "klv", "timed_id3", "scte_35",
)  # fmt: skip
_TS = Muxer("mpegts", options=(("mpegts_copyts", "1"),), holds=_IN_TS)
_M2TS = Muxer("mpegts", options=(("mpegts_copyts", "1"), ("mpegts_m2ts_mode", "1")), holds=_IN_TS)
_PS = Muxer("mpeg", "mpeg2video", comments=False)
_JPEGS = Muxer("mjpeg", "mjpeg", fixed=True, comments=False)
# Only the last picture of a page has a time there, and only its end: so each gets a page of its own.
_OGG = Muxer("ogg", "libvpx", gapless=True, options=(("page_duration", "1"),))
MUXERS = {
    ".mp4": Muxer("mp4", turns=True), ".m4v": Muxer("mp4", turns=True), ".mov": Muxer("mov", turns=True),
    ".3gp": Muxer("3gp", turns=True), ".mkv": Muxer("matroska", turns=True), ".webm": Muxer("webm", "libvpx-vp9", turns=True),
    ".avi": Muxer("avi", "", fixed=True, ordered=True), ".ts": _TS, ".mts": _M2TS, ".m2ts": _M2TS,
    ".mpg": _PS, ".mpeg": _PS, ".vob": Muxer("vob", "mpeg2video", comments=False),
    ".m2v": Muxer("mpeg2video", "mpeg2video", fixed=True, comments=False), ".mjpeg": _JPEGS, ".mjpg": _JPEGS,
    ".wmv": Muxer("asf", "wmv2", ordered=True), ".flv": Muxer("flv", ordered=True), ".ogv": _OGG,
    ".mxf": Muxer("mxf", fixed=True, ordered=True, comments=False), ".dv": Muxer("dv", "dvvideo", fixed=True, comments=False),
    ".y4m": Muxer("yuv4mpegpipe", "rawvideo", fixed=True, comments=False),
}  # fmt: skip


def usual_codec(target: Path, *, full_range: bool) -> str:
    """What a target is encoded with where nobody says. Raises OutputError."""
    return muxer_for(target).codec or ("mjpeg" if full_range else "mpeg4")


def muxer_for(target: Path) -> Muxer:
    """By the target's suffix. Raises OutputError."""
    muxer = MUXERS.get(target.suffix.lower())
    if muxer is None:
        raise OutputError(f"{target}: no video format is known by {target.suffix or 'no suffix'}; use one of {', '.join(MUXERS)}")
    return muxer
