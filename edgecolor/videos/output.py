"""A file under construction: under a temporary name until it is whole, and every failure to write is told."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from edgecolor.errors import DiskFullError, OutputError
from edgecolor.sinks.files import NO_ROOM, TEMPORARY_PREFIX, TEMPORARY_SUFFIX, publish, sync_folder


class Growing(FileIO):
    """A file that FFmpeg writes through. failure: the first error of the system, which FFmpeg may swallow."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self.failure = self.failure or error
            raise
        return done


@contextlib.contextmanager
def whole_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path in the target's folder. It gets the target's name when the block ends well, else it is removed.

    overwrite: a target that exists is replaced; else it is left alone, and so is what was made: the error says where it is. Raises
    OutputError, DiskFullError also for errors of the system in the block.
    """
    temporary = target.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            publish(temporary, target, overwrite=overwrite, keep=True)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)
    except OutputError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        raise output_error(target, error) from error


def output_error(target: Path, error: OSError) -> OutputError:
    """What a failure of the system to write means."""
    kind = DiskFullError if error.errno in NO_ROOM else OutputError
    return kind(f"{target}: can not be written: {error.strerror}")


def copy_whole(source: Path, target: Path, *, overwrite: bool) -> None:
    """The same bytes under another name. overwrite: as of ``whole_file``. Raises OutputError."""
    with whole_file(target, overwrite=overwrite) as temporary:
        shutil.copyfile(source, temporary)
