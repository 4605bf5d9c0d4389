"""The work on one file, in whatever process: open, judge, colorize, write, and take the hashes of both ends."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from edgecolor import __version__
from edgecolor.archive.job import FITS, VIDEO, Job, Outcome, Result, Settings
from edgecolor.archive.manifest import Record
from edgecolor.errors import DiskFullError, EdgeColorError, OutputError, PictureError, WorkerError
from edgecolor.provenance import creator_tool
from edgecolor.sinks.files import NO_ROOM, new_file, write_file, writing_into

if TYPE_CHECKING:
    from edgecolor.colorizer import Colorizer
    from edgecolor.signing import Signer
    from edgecolor.videos import VideoOptions

_LOG = logging.getLogger(__name__)
Progress = Callable[[float, float], None]  # seconds of video done, and of all


class Worker:
    """What does one job after the other. Raises what the making of a colorizer and a signer raises."""

    def __init__(self, settings: Settings, colorizer: Colorizer) -> None:
        self.settings, self.colorizer = settings, colorizer
        self.tool = creator_tool(getattr(colorizer.network, "model", None))
        self.warnings: tuple[str, ...] = ()  # of the job in hand
        self.signer: Signer | None = None
        if settings.signature is not None:
            from edgecolor.signing import Signer

            self.signer = Signer(settings.signature)

    def perform(self, job: Job, progress: Progress | None = None, parts: Sequence[Path] = ()) -> Outcome:
        """Do one job. What is wrong with the file, or with writing its result, becomes the outcome, and so does every other error.

        parts: of a video, coloured already, to be joined.
        """
        started, self.warnings = monotonic(), ()
        try:
            before = _stat(job.source)
            if job.known is not None and (same := _unchanged(job, job.known, before)):
                return Outcome(job, "finished", monotonic() - started, same)
            result, digest, output = self._video(job, progress, parts) if job.format == VIDEO else self._picture(job)
            after = _stat(job.source)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                job.target.unlink(missing_ok=True)
                raise PictureError(f"{job.source}: it was changed while it was read; run the same command again")
            size = job.target.stat().st_size
        except (EdgeColorError, MemoryError, OSError) as error:
            return Outcome(job, "failed", monotonic() - started, error=reason(job.source, error), disk_full=_no_room(error))
        except Exception as error:  # noqa: BLE001 - it costs this file alone, and nothing foreign has to travel between processes
            _LOG.exception("%s", job.source)
            mistake = WorkerError(f"an unforeseen error ({type(error).__name__}: {error})")
            return Outcome(job, "failed", monotonic() - started, error=reason(job.source, mistake))
        record = Record(
            job.key, job.name, str(job.source.absolute()), before.st_size, before.st_mtime_ns, digest, job.format,
            self.settings.of(job.format), self.settings.model, __version__, size, output, result,
        )  # fmt: skip
        return Outcome(job, result, monotonic() - started, record, warnings=self.warnings)

    def _picture(self, job: Job) -> tuple[Result, str, str]:
        from edgecolor.monochrome import is_monochrome
        from edgecolor.pictures import colorize_picture, transcode_picture
        from edgecolor.sources.images import open_picture

        settings = self.settings
        if job.format == FITS:
            return self._fits(job)
        if job.format == "tiff" and (result := self._stack(job)):
            return result
        picture = open_picture(job.source, settings.max_megapixels)
        gray = settings.force or is_monochrome(picture.sample)
        if gray:
            content = colorize_picture(picture, self.colorizer, job.format, settings.quality)
            if job.format == "bmp":
                self.warnings = ("a BMP has no place for the mark of guessed colour; --format png has",)
            if self.signer:
                content = self.signer.sign_picture(content, job.format, picture.data, picture.header.format, job.source, self.tool)
        elif job.format == picture.header.format:
            content = picture.data
        else:
            content = transcode_picture(picture, job.format, settings.quality)
        write_file(job.target, content, overwrite=job.replace)
        return "colorized" if gray else "copied", hashlib.sha256(picture.data).hexdigest(), hashlib.sha256(content).hexdigest()

    def _stack(self, job: Job) -> tuple[Result, str, str] | None:
        """A TIFF of several pages; None for any other file."""
        from edgecolor.sources.images import read_picture
        from edgecolor.stacks import colorize_stack, stack_pages

        data = read_picture(job.source, self.settings.max_megapixels)
        if len(stack_pages(data)) < 2:
            return None
        stack = colorize_stack(data, self.colorizer, force=self.settings.force, max_megapixels=self.settings.max_megapixels)
        content = data if stack is None else stack
        if self.signer and stack is not None:
            content = self.signer.sign_picture(stack, "tiff", data, "tiff", job.source, self.tool)
        write_file(job.target, content, overwrite=job.replace)
        return "copied" if stack is None else "colorized", hashlib.sha256(data).hexdigest(), hashlib.sha256(content).hexdigest()

    def _fits(self, job: Job) -> tuple[Result, str, str]:
        from edgecolor.fits import colorize_fits
        from edgecolor.sources.images import read_picture

        if self.signer:
            raise OutputError(f"{job.source}: FITS has no place for a C2PA signature; leave --c2pa-certificate out for it")
        data = read_picture(job.source, self.settings.max_megapixels)
        content = colorize_fits(data, self.colorizer, max_megapixels=self.settings.max_megapixels)
        write_file(job.target, content, overwrite=job.replace)
        return "colorized", hashlib.sha256(data).hexdigest(), hashlib.sha256(content).hexdigest()

    def _video(self, job: Job, progress: Progress | None, parts: Sequence[Path]) -> tuple[Result, str, str]:
        from edgecolor.videos import colorize_video

        digest = file_digest(job.source)
        options = video_options(self.settings)
        if parts:
            from edgecolor.videos import join_video

            with writing_into(job.target.parent):
                self.warnings = join_video(job.source, job.target, parts, options, self.tool, overwrite=job.replace)
            return "colorized", digest, file_digest(job.target)
        if not job.replace and os.path.lexists(job.target):
            raise OutputError(f"{job.target}: exists already; --overwrite replaces it")
        if self.signer is None:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            with writing_into(job.target.parent):
                report = colorize_video(job.source, job.target, self.colorizer, options, progress, overwrite=job.replace)
        else:
            report = self._signed_video(job, lambda target: colorize_video(job.source, target, self.colorizer, options, progress))
        self.warnings = report.warnings
        return "colorized" if report.colorized else "copied", digest, file_digest(job.target)

    def _signed_video(self, job: Job, colorize: Callable[[Path], Any]) -> Any:
        from edgecolor.signing import video_media

        assert self.signer is not None
        media = video_media(job.source, job.target)  # better refused now than after an hour of film
        with new_file(job.target, overwrite=job.replace, keep=True) as whole:
            plain = whole.with_name(f"{whole.name}{job.target.suffix}")
            try:
                report = colorize(plain)
                if report.colorized:
                    self.signer.sign_video(plain, whole, media, job.source, self.tool)
                else:
                    plain.replace(whole)
            finally:
                plain.unlink(missing_ok=True)
        return report


def video_options(settings: Settings) -> VideoOptions:
    """What the engine is asked for."""
    from edgecolor.videos import VideoOptions

    return VideoOptions(force=settings.force, verify_luma=settings.verify_luma, **settings.video())


def reason(source: Path, error: BaseException) -> str:
    """What went wrong, beginning with the source's path."""
    if isinstance(error, MemoryError):
        error = PictureError("there is not enough memory for it")
    text = str(error)
    return text if text.startswith(f"{source}: ") else f"{source}: {text}"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unchanged(job: Job, known: Record, now: os.stat_result) -> Record | None:
    if file_digest(job.source) == known.sha256:
        return replace(known, name=job.name, source=str(job.source.absolute()), size=now.st_size, mtime_ns=now.st_mtime_ns)
    if not job.replace:
        raise OutputError(f"{job.source}: it is not the file, or no longer, that {job.target} was made of; --update makes that again")
    return None


def _stat(source: Path) -> os.stat_result:
    try:
        return source.stat()
    except OSError as error:
        raise PictureError(f"{source}: can not be read: {error.strerror}") from error


def _no_room(error: BaseException) -> bool:
    """Whether the disk was full, also where a library's error tells of it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DiskFullError) or (isinstance(seen, OSError) and seen.errno in NO_ROOM):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
