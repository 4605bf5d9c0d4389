"""The manifest: what was made of what, one line of JSON for each step, in the output folder.

Lines are appended and synced to disk one by one, and never changed:
``begin`` before a file is worked on, ``done`` when its output stands under its name, ``failed`` when it does not.
A run that was killed leaves a ``begin`` without an end: what stands under that name then is this program's own, perhaps not
written down, and is made again. A last line that was cut off is ignored.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgecolor.errors import DiskFullError, OutputError
from edgecolor.sinks.files import NO_ROOM, sweep, sync_folder

MANIFEST_NAME = ".edgecolor-manifest.jsonl"
_LARGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A finished output.

    name: the source's path under the folder that was given, ``source`` its absolute path then. size (bytes), mtime_ns and sha256
    (hexadecimal) are the source's, output_size and output_sha256 the output's. format: "jpeg", ..., or "video". settings: what
    was asked for and counts for this format. model: the SHA-256 of the model's file. version: EdgeColor's.
    result: "colorized", or "copied" when the source was in colour already.
    """

    target: str
    name: str
    source: str
    size: int
    mtime_ns: int
    sha256: str
    format: str
    settings: Mapping[str, Any]
    model: str
    version: str
    output_size: int
    output_sha256: str
    result: str


_FIELDS = {
    "target": str, "name": str, "source": str, "size": int, "mtime_ns": int, "sha256": str, "format": str, "settings": dict, "model": str,
    "version": str, "output_size": int, "output_sha256": str, "result": str,
}  # fmt: skip


class Manifest:
    """The manifest of an output folder, read once. To be closed, or used as a context.

    folder: need not exist; folder and manifest are made with the first line. writing: keep others from writing meanwhile.
    target and name are paths under the output folder and the given one, with "/". unresolved: outputs that a killed run began.
    newest: the record that was written last.
    Raises OutputError: unreadable, or another run is writing.
    """

    def __init__(self, folder: str | Path, *, writing: bool = True) -> None:
        self.folder, self.path = Path(folder), Path(folder) / MANIFEST_NAME
        self.unresolved: set[str] = set()
        self.newest: Record | None = None
        self._records: dict[str, Record] = {}
        self._targets: dict[str, str] = {}  # of a source's name, the newest
        self._file: int | None = None
        self._same: dict[str, Any] = {}  # settings and hashes of models repeat 50,000 times
        if writing and os.path.lexists(self.path):  # which raises nothing: where there is no access, reading tells
            self._file = self._locked()
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let others write."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __len__(self) -> int:
        return len(self._records)

    def record(self, target: str) -> Record | None:
        """The record of an output, None when it is not this program's."""
        return self._records.get(target)

    def record_of_source(self, name: str) -> Record | None:
        """The newest record of what was made of a source."""
        target = self._targets.get(name)
        return self._records.get(target) if target is not None else None

    def begin(self, target: str, source: str) -> None:
        """Write down that work on an output begins. Raises OutputError, as the other two do."""
        self._append({"event": "begin", "time": _now(), "target": target, "source": source})

    def done(self, record: Record) -> None:
        """Write down a finished output."""
        self._append({"event": "done", "time": _now(), **asdict(record)})

    def failed(self, target: str, source: str, reason: str) -> None:
        """Write down that an output was not made; what stood there before still does."""
        self._append({"event": "failed", "time": _now(), "target": target, "source": source, "reason": reason})

    def sweep(self, targets: set[str]) -> None:
        """Remove the temporary files of killed runs or crashed workers from the folders of ``targets``, where nobody else is at work."""
        for folder in {(self.folder / target).parent for target in targets}:
            sweep(folder)

    def _read(self) -> None:
        try:
            with self.path.open("rb") as file:
                while line := file.readline(_LARGEST_LINE):
                    self._take(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(f"{self.path}: the manifest can not be read: {error.strerror}") from error

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return  # cut off by a crash, or damaged: that one output counts as unknown
        if not isinstance(entry, dict) or not isinstance(target := entry.get("target"), str):
            return
        match entry.get("event"):
            case "begin":
                self.unresolved.add(target)
            case "failed":
                self.unresolved.discard(target)
            case "done" if all(isinstance(entry.get(key), kind) for key, kind in _FIELDS.items()):
                for key in ("settings", "model", "version", "format", "result"):
                    entry[key] = self._same.setdefault(f"{key} {entry[key]}", entry[key])
                self.unresolved.discard(target)
                self._records[target] = self.newest = record = Record(**{key: entry[key] for key in _FIELDS})
                self._targets[record.name] = target

    def _append(self, entry: dict[str, Any]) -> None:
        # Escaped beyond ASCII: a file name may hold bytes that are no UTF-8.
        line = json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"
        if self._file is None:
            self._file = self._locked()
        try:
            size = os.fstat(self._file).st_size
            try:
                if os.write(self._file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(self._file, size)  # so that the next line does not continue half of this one
                raise
            os.fsync(self._file)
        except OSError as error:
            raise self._failure(error) from error
        self._take(line)

    def _locked(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._failure(error) from error
        try:
            _lock(file)
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                os.write(file, b"\n")  # after a line that was cut off
            sync_folder(self.folder)
        except BlockingIOError as error:
            os.close(file)
            raise OutputError(f"{self.folder}: another run is writing into this folder; wait for its end") from error
        except OSError as error:
            os.close(file)
            raise self._failure(error) from error
        return file

    def _failure(self, error: OSError) -> OutputError:
        kind = DiskFullError if error.errno in NO_ROOM else OutputError
        return kind(f"{self.path}: the manifest can not be written: {error.strerror}")


def _lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # a network's file system without locks
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
