"""Is there room for the outputs? An estimate before the run; a disk that fills up all the same is an error of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from edgecolor.archive.job import FITS, FITS_SUFFIXES, VIDEO, Settings
from edgecolor.containers import FORMAT_OF_SUFFIX
from edgecolor.errors import DiskFullError

_LOSSY = ("jpeg", "webp")
_LOSSLESS_CODECS = ("ffv1",)
# Size of an output beside its input's, roughly: one gray sample becomes three, of which two compress well.
_LIKE, _LOSSLESS, _FROM_LOSSY_TO_LOSSLESS = 1.2, 3.0, 8.0


def expected_bytes(sources: Iterable[tuple[Path, int]], settings: Settings) -> int:
    """What the outputs of sources (path, bytes) will take, roughly."""
    total = 0.0
    for source, size in sources:
        kind = FORMAT_OF_SUFFIX.get(source.suffix.lower(), FITS if source.suffix.lower() in FITS_SUFFIXES else VIDEO)
        if kind == FITS:
            total += size * _LOSSLESS
        elif kind == VIDEO:
            total += size * (_FROM_LOSSY_TO_LOSSLESS if settings.codec in _LOSSLESS_CODECS else _LIKE)
        elif (settings.format or kind) in _LOSSY:
            total += size * _LIKE
        else:
            total += size * (_FROM_LOSSY_TO_LOSSLESS if kind in _LOSSY else _LOSSLESS)
    return round(total)


def check_space(folder: Path, needed: int) -> None:
    """Raise DiskFullError when fewer than ``needed`` bytes are free where ``folder`` is, or will be."""
    folder = folder.absolute()
    place = next((p for p in (folder, *folder.parents) if os.access(p, os.F_OK)), Path("/"))
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DiskFullError(
            f"{folder}: the outputs will need about {readable(needed)}, and {readable(free)} are free; make room, "
            "or start all the same with --no-space-check"
        )


def readable(size: int) -> str:
    """Bytes in decimal units: "999 B", "1.5 MB", "20 GB"."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value >= 999.5:
            value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 9.95 else f"{value:.1f} {unit}"
