"""A video file to a video file with guessed colours: whole, in parts that are joined, or left alone where it is in colour already."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from edgecolor.assets import Model
from edgecolor.colorizer import Colorizer
from edgecolor.errors import OutputError, VideoError
from edgecolor.provenance import creator_tool, xmp_box
from edgecolor.videos.encoding import check_options
from edgecolor.videos.job import Job, Progress
from edgecolor.videos.muxers import Muxer, muxer_for
from edgecolor.videos.options import VideoOptions, VideoReport
from edgecolor.videos.output import copy_whole, whole_file
from edgecolor.videos.parts import Span, join
from edgecolor.videos.reading import open_input
from edgecolor.videos.verdicts import has_gray
from edgecolor.videos.verify import verify_luma

_MARKED_WITH_BOX = ("mp4", "3gp")


def colorize_video(
    source: Path, target: Path, colorizer: Colorizer, options: VideoOptions | None = None, progress: Progress | None = None,
    *, tool: str | None = None, overwrite: bool = True,
) -> VideoReport:
    """Give the gray scenes of a video colours; luma, times, sound and all else are kept.

    overwrite: replace a target that exists, also one that somebody makes meanwhile. progress: is called with seconds done and seconds
    in all (0 when unknown). tool: who guessed, for the tags; None names EdgeColor and the model. A file that is in colour already is
    copied, by bytes where source and target have the same suffix.
    Raises ConfigError for options, VideoError: the source can not be read, or the result can not be made as asked for without loss;
    OutputError, DiskFullError: it can not be written. The target has its name only when it is whole; where that is taken meanwhile,
    what was made gets another one, which the error says.
    """
    source, target, options = Path(source), Path(target), options or VideoOptions()
    check_options(options)
    muxer = muxer_for(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"{target}: is the source itself; give another name")
    if not overwrite and os.path.lexists(target):
        raise OutputError(f"{target}: exists already")
    if not options.force and not has_gray(source):
        return _left_alone(source, target, overwrite)
    model = getattr(colorizer.network, "model", None)
    tool = tool or creator_tool(model if isinstance(model, Model) else None)
    with whole_file(target, overwrite=overwrite) as temporary:
        job = Job(source, target, colorizer, options, progress, tool)
        report = job.run(temporary)
        if not report.colorized and source.suffix.lower() == target.suffix.lower():
            shutil.copyfile(source, temporary)  # what looked gray at first was not: nothing is lost, and nothing claimed
            return _untouched(source)
        _conclude(source, temporary, muxer, options, tool if report.colorized else None)
    return report


def join_video(
    source: Path, target: Path, parts: Sequence[Path], options: VideoOptions, tool: str, *, overwrite: bool = True
) -> tuple[str, ...]:
    """A film of its parts, which ``colorize_part`` has made in this order; returns warnings.

    overwrite: as of ``colorize_video``, and so are the errors.
    """
    with whole_file(target, overwrite=overwrite) as temporary:
        warnings = join(source, temporary, target, parts, options, tool)
        _conclude(source, temporary, muxer_for(target), options, tool)
    return warnings


def _conclude(source: Path, temporary: Path, muxer: Muxer, options: VideoOptions, tool: str | None) -> None:
    if muxer.name in _MARKED_WITH_BOX and tool is not None:
        with temporary.open("ab") as file:
            file.write(xmp_box(tool))
    if options.verify_luma:
        verify_luma(source, temporary)


def _left_alone(source: Path, target: Path, overwrite: bool) -> VideoReport:
    if source.suffix.lower() != target.suffix.lower():
        raise VideoError(f"{source}: is in colour already, and left as it is; give {target.name} the suffix {source.suffix}")
    report = _untouched(source)
    copy_whole(source, target, overwrite=overwrite)
    return report


def _untouched(source: Path) -> VideoReport:
    with closing(open_input(source)) as container:
        seconds = float(container.duration or 0) / 1_000_000
        frames = container.streams.video[0].frames
        streams = tuple(f"stream {stream.index} ({stream.type})" for stream in container.streams)
    return VideoReport(frames, seconds, 1, 0, 1, "copy", "", luma_verified=True, streams=streams)


def colorize_part(
    source: Path, target: Path, temporary: Path, span: Span, colorizer: Colorizer, options: VideoOptions, progress: Progress | None = None
) -> VideoReport:
    """Write the coloured pictures of one part of a film, for ``parts.join``, to a file that must not exist.

    target: what the film will be. Raises as ``colorize_video`` does.
    """
    try:
        return Job(source, target, colorizer, options, progress, "", span).run(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
