"""What workers are given and what they give back: plain values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgecolor.archive.manifest import Record

if TYPE_CHECKING:
    from edgecolor.signing import Signature

VIDEO, FITS = "video", "fits"  # beside the names of picture formats; these keep their own
FITS_SUFFIXES = (".fits", ".fit", ".fts")
_LOSSY = ("jpeg", "webp")

# finished: an earlier run has done it, and nothing has changed since.
Result = Literal["colorized", "copied", "finished", "failed"]


@dataclass(frozen=True)
class Settings:
    """What a user may ask for. format: of pictures, None keeps each one's. model: SHA-256 of the model's file.

    codec and what follows: see edgecolor.videos.VideoOptions; None leaves it to the engine. signature, signed: certificate and key
    for C2PA, and the certificate's fingerprint.
    """

    model: str = ""
    format: str | None = None
    quality: int = 95
    force: bool = False
    max_megapixels: float = 200.0
    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    label: str | None = None
    every: int | None = None
    smoothing: float | None = None
    deinterlace: bool = False
    leave_out: bool = False
    verify_luma: bool = False
    signature: Signature | None = None
    signed: str = ""

    def of(self, kind: str) -> dict[str, Any]:
        """Those that decide what an output of this format holds, as the manifest keeps them."""
        wishes: dict[str, Any] = {"force": self.force}
        if kind == VIDEO:
            wishes |= self.video()
        elif kind in _LOSSY:
            wishes["quality"] = self.quality
        return wishes | ({"c2pa": self.signed} if self.signed else {})

    def video(self) -> dict[str, Any]:
        """Those of videos that were given, by the engine's names; ``verify_luma`` changes no output and is not among them."""
        asked = {
            "codec": self.codec, "crf": self.crf, "preset": self.preset, "label": self.label, "every": self.every,
            "smoothing": self.smoothing, "deinterlace": self.deinterlace or None, "leave_out": self.leave_out or None,
        }  # fmt: skip
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Job:
    """One file: where it is, where its result goes, and the result's format (VIDEO or a picture's).

    key, name: target and source as the manifest calls them. size: of the source, bytes. replace: the target may be written over.
    known: the record of an output that stands already, of a source that may have changed: if it has not, there is nothing to do;
    if it has, it is an error unless ``replace``.
    """

    source: Path
    target: Path
    format: str
    key: str = ""
    name: str = ""
    size: int = 0
    replace: bool = False
    known: Record | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended. record: for the manifest, unless it failed. error: why it failed, beginning with the source's path.

    warnings: what is not as it was in the source. disk_full: no other file will fit either. crashed: its worker is gone, and may
    have left temporary files.
    """

    job: Job
    result: Result
    seconds: float = 0.0
    record: Record | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()
    disk_full: bool = False
    crashed: bool = False
