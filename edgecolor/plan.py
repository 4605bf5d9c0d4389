"""Which picture goes where: inputs and folders to pairs of files, checked before any work is done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgecolor.containers import FORMAT_OF_SUFFIX, SUFFIXES
from edgecolor.errors import ConfigError, EdgeColorError, OutputError, PictureError
from edgecolor.sources.images import identify_picture

_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")


@dataclass(frozen=True)
class Job:
    """One picture: where it is, where its result goes, and the result's format."""

    source: Path
    target: Path
    format: str


@dataclass
class Plan:
    """What is to be done, what can not be (with the reason), and how many files of other kinds the folders hold.

    single: one file was given by name.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[EdgeColorError] = field(default_factory=list)
    others: int = 0
    single: bool = False


def make_plan(inputs: Sequence[str], out: str, format_name: str | None = None, *, overwrite: bool = False) -> Plan:
    """Pair every picture among the inputs with its output.

    inputs: files, and folders, which are searched recursively (links to folders are not followed) and whose structure
    is kept under ``out``. out: a folder; or a file when one file is given and ``out`` is no folder and has a suffix.
    format_name: of every output; None keeps each input's, or takes that of out's suffix. Raises ConfigError when the
    options contradict each other; what concerns one file becomes a failure in the plan.
    """
    plan = Plan(single=len(inputs) == 1 and not Path(inputs[0]).is_dir())
    single_target = plan.single and not Path(out).is_dir() and not out.endswith("/") and bool(Path(out).suffix)
    if single_target:
        format_name = _format_of(Path(out), format_name)
    elif Path(out).exists() and not Path(out).is_dir():
        raise ConfigError(f"{out} is a file; the output of several pictures must be a folder")
    found = list(_find(inputs, Path(out), plan))
    originals = {identity for source, _ in found if (identity := _identity(source))}
    taken: dict[str, Path] = {}
    for source, relative in found:
        try:
            kind = _identify(source)
            target = Path(out) if single_target else Path(out) / _named(relative, format_name or kind)
            place = os.path.realpath(target)
            if place in taken:
                raise OutputError(f"{source}: its output {target} is already that of {taken[place]}; give it another folder")
            taken[place] = source
            if _identity(target) in originals:
                raise OutputError(f"{source}: its output {target} is one of the inputs, which are never overwritten")
            if not overwrite and os.path.lexists(target):
                raise OutputError(f"{source}: {target} exists already; --overwrite replaces it")
            plan.jobs.append(Job(source, target, format_name or kind))
        except EdgeColorError as error:
            plan.failures.append(error)
    return plan


def _format_of(out: Path, format_name: str | None) -> str:
    suffix_format = FORMAT_OF_SUFFIX.get(out.suffix.lower())
    if format_name is None and suffix_format is None:
        known = ", ".join(FORMAT_OF_SUFFIX)
        raise ConfigError(
            f"{out}: no picture format has the suffix {out.suffix}; use one of {known}, or --format, or end a folder's name with /"
        )
    if format_name and suffix_format and format_name != suffix_format:
        raise ConfigError(f"{out} is a {suffix_format} file by its suffix, and --format says {format_name}; drop one of the two")
    return format_name or suffix_format or ""


def _find(inputs: Sequence[str], out: Path, plan: Plan) -> Iterator[tuple[Path, Path]]:
    """(file, its path under the output folder) of every candidate, sorted within a folder."""
    excluded = os.path.realpath(out)  # results of an earlier run inside an input folder are not inputs
    for given in inputs:
        path = Path(given)
        if not path.is_dir():
            yield path, Path(path.name)
            continue

        def unreadable(error: OSError) -> None:
            plan.failures.append(PictureError(f"{error.filename}: the folder can not be read: {error.strerror}"))

        for folder, folders, names in os.walk(path, onerror=unreadable):
            folders[:] = sorted(f for f in folders if os.path.realpath(Path(folder, f)) != excluded)
            for name in sorted(names):
                if Path(name).suffix.lower() in FORMAT_OF_SUFFIX:
                    yield Path(folder, name), Path(folder, name).relative_to(path)
                else:
                    plan.others += 1


def _identify(source: Path) -> str:
    try:
        return identify_picture(source)
    except PictureError as error:
        if source.suffix.lower() in _VIDEO_SUFFIXES and source.is_file():
            raise PictureError(f"{source}: videos are not supported yet; only pictures are") from error
        raise


def _named(relative: Path, format_name: str) -> Path:
    """The relative path with a suffix of the format: its own if that is one."""
    return relative if relative.suffix.lower() in SUFFIXES[format_name] else relative.with_suffix(SUFFIXES[format_name][0])


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, which hard and symbolic links share; None when there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
