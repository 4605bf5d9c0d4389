"""Which encoder, in which pixel format, with which options: luma keeps its depth and the picture its size, or it is an error."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from edgecolor.errors import ConfigError, VideoError
from edgecolor.sources.planes import range_of
from edgecolor.videos.forms import Form, form_of
from edgecolor.videos.muxers import usual_codec
from edgecolor.videos.options import VideoOptions

# Chroma that nobody has yet may be as coarse as players like it.
_COARSEST = (1, 1)
_FINER = ((1, 1), (1, 0), (0, 1), (0, 0))
# They refuse 4:2:0 of odd sizes, and H.264 in fields takes heights in steps of four.
_EVEN = ("libx264", "libx265", "libsvtav1", "libaom-av1")
_FIELDS = ("libx264", "ffv1", "mpeg2video", "mpeg4", "prores_ks", "utvideo", "rawvideo", "dvvideo")
_FIELD_FLAGS = ("libx264", "mpeg2video", "mpeg4", "prores_ks")
LOSSLESS = ("ffv1", "utvideo", "huffyuv", "ffvhuff", "rawvideo")
# Where nobody asks: about as good as the source. Of those by quantizer ("q") FFmpeg's -q:v.
_CRF: dict[str, tuple[float, float]] = {  # the usual value and the largest
    "libx264": (18, 51), "libx265": (20, 51), "libsvtav1": (24, 63), "libaom-av1": (20, 63), "libvpx-vp9": (24, 63), "libvpx": (8, 63),
}  # fmt: skip
_QUANTIZER = {"mpeg2video": 2, "mpeg4": 2, "mjpeg": 2, "mpeg1video": 2, "wmv2": 2}
_LAMBDA = 118  # FFmpeg's FF_QP2LAMBDA
_OPTIONS: dict[str, dict[str, str]] = {
    "libvpx-vp9": {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "4"},
    "libvpx": {"b": "50M", "deadline": "good", "cpu-used": "4"},
    "ffv1": {"level": "3", "slicecrc": "1"},  # version 3: checksums, several slices
    "mjpeg": {"strict": "unofficial"},  # limited range, which it then says
    "libx265": {"x265-params": "log-level=error"},
    "libaom-av1": {"cpu-used": "6", "row-mt": "1"},
}
_PRESETS = ("libx264", "libx265", "libsvtav1")
_USUAL_PRESET = {"libx264": "veryfast", "libx265": "fast", "libsvtav1": "8"}
# Their clock is the frame rate: no other times can be written.
FIXED_RATE = ("mpeg1video", "mpeg2video", "mpeg4", "dvvideo")
FULL_RANGE = 2  # FFmpeg's AVColorRange
INTERLACED_DCT, INTERLACED_ME = 1 << 18, 1 << 29


@dataclass(frozen=True)
class Encoding:
    """An encoder that is known to take this form. quantizer: for encoders without crf. flags: of the codec context. fields: pictures are
    interlaced."""

    codec: str
    form: Form
    options: dict[str, str] = field(default_factory=dict)
    quantizer: int | None = None
    flags: int = 0
    fields: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def reordering(self) -> bool:
        """Whether it may send frames in another order than they are shown."""
        return self.codec not in (*LOSSLESS, "mjpeg", "prores_ks")


def check_options(options: VideoOptions) -> None:
    """Raise ConfigError for options that are wrong or contradict each other, whatever the file."""
    codec = options.codec
    if codec:
        try:
            known = av.Codec(codec, "w")
        except (av.codec.codec.UnknownCodecError, ValueError):
            raise ConfigError(f"codec {codec!r}: this FFmpeg ({av.ffmpeg_version_info}) has no such encoder") from None
        if known.type != "video" or not known.video_formats:
            raise ConfigError(f"codec {codec!r} does not encode video from pictures in memory")
    if options.every < 1 or options.smoothing < 0:
        raise ConfigError("every must be at least 1, and smoothing at least 0")
    if options.verify_luma and (options.deinterlace or options.label != "off"):
        raise ConfigError("verify_luma: a label and deinterlacing change luma; drop one or the other")


def encoding_for(codec: str, source: Form, size: tuple[int, int], options: VideoOptions, *, fields: bool) -> Encoding:
    """How to encode pictures of a form and a size (width, height). fields: the pictures are interlaced.

    Raises ConfigError for an option that the codec does not have, VideoError when it can not hold such pictures unchanged.
    """
    if fields and codec not in _FIELDS:
        raise VideoError(f"the picture is interlaced, and {codec} knows no fields; use libx264 or ffv1, or deinterlace")
    form, warnings = _form(codec, source, size, fields)
    set_options = dict(_OPTIONS.get(codec, {}))
    quantizer = None
    if codec in _CRF:
        usual, most = _CRF[codec]
        crf = usual if options.crf is None else options.crf
        if not 0 <= crf <= most:
            raise ConfigError(f"crf {crf:g}: {codec} takes 0 to {most:g}")
        if codec in ("libx264", "libx265") and crf == 0:  # crf 0 is lossless for 8 bits only
            set_options |= {"qp": "0"} if codec == "libx264" else {"x265-params": "log-level=error:lossless=1"}
        else:
            set_options["crf"] = f"{crf:g}"
    elif codec in _QUANTIZER:
        quantizer = round(options.crf) if options.crf is not None else _QUANTIZER[codec]
        if not 1 <= quantizer <= 31:
            raise ConfigError(f"crf {options.crf:g}: {codec} takes 1 to 31")
    elif options.crf is not None:
        raise ConfigError(f"crf: {codec} has none")
    if options.preset and codec not in _PRESETS:
        raise ConfigError(f"preset: {codec} has none")
    if codec in _PRESETS:
        set_options["preset"] = options.preset or _USUAL_PRESET[codec]
    lossless = codec in LOSSLESS or (codec in ("libx264", "libx265") and options.crf == 0)
    if options.verify_luma and not lossless:
        raise ConfigError(f"verify_luma: {codec} as asked for is lossy; use ffv1 in a .mkv, or libx264 with crf 0")
    flags = INTERLACED_DCT | INTERLACED_ME if fields and codec in _FIELD_FLAGS else 0
    return Encoding(codec, form, set_options, quantizer, flags, fields, warnings)


def encoding_of(source: Path, target: Path, picture: Any, options: VideoOptions, *, fields: bool) -> tuple[str, Encoding]:
    """The codec for a target, and how pictures like this one, in plain form, are encoded; see encoding_for, also for the errors.

    A picture that is full range is marked so: it may follow from its pixel format alone, which the result does not have.
    """
    full = range_of(picture) == "full"
    codec, form = options.codec or usual_codec(target, full_range=full), form_of(picture.format.name)
    assert form is not None
    try:
        encoding = encoding_for(codec, form, (picture.width, picture.height), options, fields=fields and not options.deinterlace)
    except (ConfigError, VideoError) as error:
        raise type(error)(f"{source}: {error}") from error
    if full:
        picture.color_range = FULL_RANGE
    return codec, encoding


def _form(codec: str, source: Form, size: tuple[int, int], fields: bool) -> tuple[Form, tuple[str, ...]]:
    known = {form for name in forms_of(codec) if (form := form_of(name)) is not None and form.steps is not None}
    wanted = source.steps or _COARSEST
    finer = [steps for steps in (wanted, *_FINER) if steps[0] <= wanted[0] and steps[1] <= wanted[1]]
    coarser = [steps for steps in reversed(_FINER) if steps not in finer]  # chroma loses detail, luma nothing
    for steps in (*finer, *coarser):
        for depth in sorted({form.depth for form in known}):
            form = Form(depth, steps)
            if depth >= source.depth and form in known and _fits(codec, steps, size, fields):
                return form, () if steps == wanted else (f"{codec} takes such pictures as {form.name} only",)
    if not any(form.depth >= source.depth for form in known):
        most = max((form.depth for form in known), default=0)
        raise VideoError(f"its luma has {source.depth} bits and {codec} takes {most}; use ffv1 in a .mkv, or libx265")
    raise VideoError(f"{codec} can not hold {size[0]}x{size[1]} pixels with chroma like {source.name}; use libx264, or ffv1 in a .mkv")


def _fits(codec: str, steps: tuple[int, int], size: tuple[int, int], fields: bool) -> bool:
    if codec not in _EVEN:
        return True
    across, down = 1 << steps[0], 1 << steps[1]
    if codec == "libx264" and fields:
        down *= 2
    return size[0] % across == 0 and size[1] % down == 0


def forms_of(codec: str) -> list[str]:
    """Names of the pixel formats that an encoder takes."""
    formats = [form.name for form in av.Codec(codec, "w").video_formats or []]
    return formats or ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p16le"]


def quantize(context: Any, encoding: Encoding) -> None:
    """Set flags and the fixed quantizer on an encoder's context."""
    if encoding.codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; else it tells its version on stderr
    context.flags |= encoding.flags
    if encoding.quantizer is not None:
        context.qscale = True
        context.global_quality = encoding.quantizer * _LAMBDA
