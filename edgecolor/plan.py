"""Which file goes where: inputs and folders to pairs of files.

Names, sizes and times are listed before any work (some microseconds a file); a file's first bytes, which decide its format and
with it the name of its output, are read only when its turn comes. Finished files are known by the manifest and not read at all.
An output that is to be made again is read before: what somebody has edited is not replaced.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from edgecolor.archive.job import FITS, FITS_SUFFIXES, VIDEO, Job, Settings
from edgecolor.archive.manifest import Manifest, Record
from edgecolor.archive.work import file_digest
from edgecolor.containers import FORMAT_OF_SUFFIX, SUFFIXES
from edgecolor.errors import ConfigError, EdgeColorError, OutputError, PictureError
from edgecolor.sinks.files import TEMPORARY_PREFIX
from edgecolor.sources.images import identify_picture

_MOTION_JPEG = (".mjpeg", ".mjpg")  # begin like a JPEG picture
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".flv",
    ".ogv", ".mxf", ".dv", ".y4m", *_MOTION_JPEG,
)  # fmt: skip

_KEPT = (VIDEO, FITS)  # no --format changes these
_KNOWN_SUFFIXES = {*FORMAT_OF_SUFFIX, *VIDEO_SUFFIXES, *FITS_SUFFIXES}


class Candidate(NamedTuple):
    """A file that may be a picture or a video. name: its path under the output folder, before its suffix is decided.

    size in bytes, mtime_ns; both 0, and identity (device and inode, which hard and symbolic links share) None without access.
    """

    source: Path
    name: str
    size: int
    mtime_ns: int
    identity: tuple[int, int] | None


class Finished(NamedTuple):
    """A file that an earlier run has done, and that has not changed since, nor have the settings."""

    source: Path
    target: Path
    size: int


Step = Job | Finished | EdgeColorError


@dataclass
class Plan:
    """What was found. out: the output folder, or the output file of a single one (``to_file``).

    failures: folders that can not be read. others: how many files of other kinds the folders hold. single: one file was given.
    """

    out: Path
    single: bool = False
    to_file: bool = False
    candidates: list[Candidate] = field(default_factory=list)
    failures: list[EdgeColorError] = field(default_factory=list)
    others: int = 0

    def steps(
        self, settings: Settings, manifest: Manifest | None = None, *, overwrite: bool = False, update: bool = False
    ) -> Iterator[tuple[Candidate, Step]]:
        """What is to be done with each candidate, in order, decided when it is asked for.

        An error is what keeps this one from being done. overwrite: all outputs that exist are replaced. update: those in the
        manifest are, where the source or the settings have changed. Raises ConfigError when a picture is to go into a video.
        """
        pairing = _Pairing(self, settings, manifest, overwrite, update)
        for candidate in self.candidates:
            try:
                yield candidate, pairing.step(candidate)
            except ConfigError:
                raise
            except EdgeColorError as error:
                yield candidate, error


def make_plan(inputs: Sequence[str], out: str, format_name: str | None = None) -> Plan:
    """List the inputs. Raises ConfigError when the options contradict each other.

    inputs: files, and folders, which are searched recursively (links to folders are not followed) and whose structure
    is kept under ``out``. out: a folder; or a file when one file is given and ``out`` is no folder and has a suffix.
    format_name: of every picture; None keeps each input's, or takes that of out's suffix.
    """
    plan = Plan(Path(out), single=len(inputs) == 1 and not _is_folder(Path(inputs[0])))
    plan.to_file = plan.single and not _is_folder(Path(out)) and not out.endswith("/") and bool(Path(out).suffix)
    if plan.to_file:
        _target_format(Path(out), format_name)
    elif _status(Path(out)) and not _is_folder(Path(out)):
        raise ConfigError(f"{out} is a file; the output of several files must be a folder")
    plan.candidates = list(_find(inputs, plan))
    return plan


class _Pairing:
    """The decisions over one run's candidates, which must not get in each other's way."""

    def __init__(self, plan: Plan, settings: Settings, manifest: Manifest | None, overwrite: bool, update: bool) -> None:
        self._plan, self._settings, self._manifest = plan, settings, manifest
        self._overwrite, self._update = overwrite, update
        self._originals = {c.identity for c in plan.candidates if c.identity}
        self._taken: dict[str, Path] = {}
        self._place = functools.lru_cache(maxsize=1024)(os.path.realpath)  # of folders: many files share one

    def step(self, candidate: Candidate) -> Step:
        if known := self._finished(candidate):
            self._take(candidate.source, known)
            return Finished(candidate.source, known, candidate.size)
        kind = _identify(candidate.source)
        target, kind = self._target(candidate, kind)
        self._take(candidate.source, target)
        if _identity(target) in self._originals:
            raise OutputError(f"{candidate.source}: its output {target} is one of the inputs, which are never overwritten")
        key = target.name if self._plan.to_file else target.relative_to(self._plan.out).as_posix()
        job = Job(candidate.source, target, kind, key, candidate.name, candidate.size, self._overwrite)
        return job if self._overwrite or not os.path.lexists(target) else self._again(candidate, job)

    def _finished(self, candidate: Candidate) -> Path | None:
        """The output of a file that need not even be opened."""
        if self._manifest is None or self._overwrite:
            return None
        record = self._manifest.record_of_source(candidate.name)
        if record is None or not _same_source(candidate, record) or not self._same_wishes(record):
            return None
        # Without --format the name tells enough only where it is the source's own: it may come of an earlier --format.
        asked = self._settings.format
        if record.format not in _KEPT and (record.target != record.name if asked is None else asked != record.format):
            return None
        target = self._plan.out / record.target
        return target if record.target not in self._manifest.unresolved and _size(target) == record.output_size else None

    def _target(self, candidate: Candidate, kind: str) -> tuple[Path, str]:
        if self._plan.to_file:
            wanted = _target_format(self._plan.out, self._settings.format)
            if kind != wanted and (kind in _KEPT or wanted in _KEPT):
                raise ConfigError(f"{candidate.source} is a {_noun(kind)}, and {self._plan.out} would be a {_noun(wanted)}")
            return self._plan.out, wanted
        if kind in _KEPT:
            return self._plan.out / candidate.name, kind
        kind = self._settings.format or kind
        return self._plan.out / _named(Path(candidate.name), kind), kind

    def _take(self, source: Path, target: Path) -> None:
        place = f"{self._place(target.parent)}/{target.name}"
        if place in self._taken:
            raise OutputError(f"{source}: its output {target} is already that of {self._taken[place]}; give it another folder")
        self._taken[place] = source

    def _again(self, candidate: Candidate, job: Job) -> Step:
        """The target exists: is it ours, and of the same source and settings?"""
        if self._manifest is not None and job.key in self._manifest.unresolved:
            return replace(job, replace=True)
        record = self._manifest.record(job.key) if self._manifest is not None else None
        if record is None:
            raise OutputError(f"{job.source}: {job.target} exists already; --overwrite replaces it")
        changed = OutputError(f"{job.source}: {job.target} has been changed since it was made; --overwrite replaces it")
        if _size(job.target) != record.output_size:
            raise changed
        same_wishes = self._same_wishes(record)
        if same_wishes and _same_source(candidate, record):
            return Finished(job.source, job.target, candidate.size)
        if not same_wishes and not self._update:
            raise OutputError(f"{job.source}: {job.target} was made with other settings or another model; --update makes it again")
        if self._update and _digest(job.target) != record.output_sha256:
            raise changed
        return replace(job, replace=self._update, known=record if same_wishes else None)

    def _same_wishes(self, record: Record) -> bool:
        return record.settings == self._settings.of(record.format) and record.model == self._settings.model


def _same_source(candidate: Candidate, record: Record) -> bool:
    """Whether it is the recorded file by all that can be known without reading it."""
    now = (candidate.size, candidate.mtime_ns, str(candidate.source.absolute()))
    return now == (record.size, record.mtime_ns, record.source)


def _target_format(out: Path, format_name: str | None) -> str:
    """The format of a single output, VIDEO for all of them. Raises ConfigError."""
    suffix = out.suffix.lower()
    suffix_format = FORMAT_OF_SUFFIX.get(suffix)
    if (suffix in VIDEO_SUFFIXES or suffix in FITS_SUFFIXES) and format_name is None:
        return VIDEO if suffix in VIDEO_SUFFIXES else FITS
    if format_name is None and suffix_format is None:
        known = ", ".join((*FORMAT_OF_SUFFIX, *FITS_SUFFIXES, *VIDEO_SUFFIXES))
        raise ConfigError(
            f"{out}: no picture or video format has the suffix {out.suffix}; use one of {known}, or --format, or end a folder's name with /"
        )
    if format_name and suffix_format and format_name != suffix_format:
        raise ConfigError(f"{out} is a {suffix_format} file by its suffix, and --format says {format_name}; drop one of the two")
    return format_name or suffix_format or ""


def _find(inputs: Sequence[str], plan: Plan) -> Iterator[Candidate]:
    """Every candidate, sorted within a folder."""
    excluded = os.path.realpath(plan.out)  # results of an earlier run inside an input folder are not inputs
    for given in inputs:
        path = Path(given)
        if not _is_folder(path):
            yield _candidate(path, path.name)
            continue

        def unreadable(error: OSError) -> None:
            plan.failures.append(PictureError(f"{error.filename}: the folder can not be read: {error.strerror}"))

        for folder, folders, names in os.walk(path, onerror=unreadable):
            folders[:] = sorted(f for f in folders if os.path.realpath(Path(folder, f)) != excluded)
            under = Path(folder).relative_to(path)
            for name in sorted(names):
                if name.startswith(TEMPORARY_PREFIX):  # the manifest, and what a killed run has left
                    continue
                if Path(name).suffix.lower() in _KNOWN_SUFFIXES:
                    yield _candidate(Path(folder, name), (under / name).as_posix())
                else:
                    plan.others += 1


def _candidate(source: Path, name: str) -> Candidate:
    status = _status(source)
    if status is None:
        return Candidate(source, name, 0, 0, None)
    return Candidate(source, name, status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))


def _identify(source: Path) -> str:
    if source.suffix.lower() in _MOTION_JPEG and _is_file(source):
        return VIDEO
    try:
        return identify_picture(source)
    except PictureError:
        suffix = source.suffix.lower()
        if (suffix in VIDEO_SUFFIXES or suffix in FITS_SUFFIXES) and _is_file(source) and _size(source):
            return VIDEO if suffix in VIDEO_SUFFIXES else FITS
        raise


def _noun(kind: str) -> str:
    return {VIDEO: "video", FITS: "FITS file"}.get(kind, "picture")


def _named(relative: Path, format_name: str) -> Path:
    """The relative path with a suffix of the format: its own if that is one."""
    return relative if relative.suffix.lower() in SUFFIXES[format_name] else relative.with_suffix(SUFFIXES[format_name][0])


def _digest(target: Path) -> str:
    try:
        return file_digest(target)
    except OSError as error:
        raise OutputError(f"{target}: can not be read: {error.strerror}") from error


def _status(path: Path) -> os.stat_result | None:
    """None when there is no such file, and when it may not be looked at or has too long a name: opening it will tell."""
    try:
        return path.stat()
    except OSError:
        return None


def _is_folder(path: Path) -> bool:
    status = _status(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _is_file(path: Path) -> bool:
    status = _status(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None when there is no such file."""
    status = _status(path)
    return (status.st_dev, status.st_ino) if status else None


def _size(path: Path) -> int | None:
    status = _status(path)
    return status.st_size if status else None
