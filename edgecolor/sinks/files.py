"""Whole files: there completely and under their own name, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from edgecolor.errors import OutputError

TEMPORARY_PREFIX = ".edgecolor-"
TEMPORARY_SUFFIX = ".part"


def write_file(path: str | Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write ``content`` to ``path`` by a temporary file in the same folder; missing folders are made.

    Readers see the old file or the new one, never a part, even when the power fails (fsync before the name changes).
    Raises OutputError: the file is there already and ``overwrite`` is not set, or the system refuses.
    """
    path = Path(path)
    # Not derived from the file's name, which may have the greatest length already.
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _publish(temporary, path, overwrite)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already; --overwrite replaces it") from error
    except OSError as error:
        raise OutputError(f"{path}: can not be written: {error.strerror}") from error


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, this fails when somebody has made the file meanwhile
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if os.path.lexists(path):  # a file system without hard links (FAT): a narrow race is left
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can: the file itself is safe on disk
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
