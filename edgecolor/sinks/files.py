"""Whole files: there completely and under their own name, or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from edgecolor.errors import DiskFullError, OutputError

TEMPORARY_PREFIX = ".edgecolor-"
TEMPORARY_SUFFIX = ".part"
_LONGEST_STEM = 40  # of a name made from another one: that may have the greatest length already
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_LOCK_TRIES, _LOCK_WAIT_S = 20, 0.01


def write_file(path: str | Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write ``content`` to ``path`` by ``new_file``, which lists the errors."""
    with new_file(path, overwrite=overwrite) as temporary, temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def new_file(path: str | Path, *, overwrite: bool = False, keep: bool = False) -> Iterator[Path]:
    """A temporary path in the same folder, to be written and synced; missing folders are made.

    When the block ends well, that file becomes ``path``: readers see the old file or the new one, never a part, even when the
    power fails. When it does not, nothing is left. Raises OutputError: the file is there already and ``overwrite`` is not set,
    or the system refuses; DiskFullError: no room. keep: as of ``publish``.
    """
    path = Path(path)
    # Not derived from the file's name, which may have the greatest length already.
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_into(path.parent):
            try:
                yield temporary
                publish(temporary, path, overwrite=overwrite, keep=keep)
            finally:
                temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OutputError:
        raise
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already; --overwrite replaces it") from error
    except OSError as error:
        kind = DiskFullError if error.errno in NO_ROOM else OutputError
        raise kind(f"{path}: can not be written: {error.strerror}") from error


def publish(temporary: Path, path: Path, *, overwrite: bool, keep: bool = False) -> None:
    """Give a whole file its name, in the same folder. Raises FileExistsError: another one has it, and ``overwrite`` is not set.

    keep: the work of hours is not lost then. It gets a name beside, and OutputError says which. Raises OSError.
    """
    if overwrite:
        temporary.replace(path)
        return
    try:
        _link(temporary, path)
    except FileExistsError as error:
        if not keep:
            raise
        beside = path.with_name(f"{path.stem[:_LONGEST_STEM]}-{secrets.token_hex(4)}{path.suffix}")
        _link(temporary, beside)
        raise OutputError(f"{path}: was made by somebody else meanwhile, and is left alone; the result is {beside}") from error


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, this fails when somebody has made the file meanwhile
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if os.path.lexists(path):  # a file system without hard links (FAT): a narrow race is left
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temporary.replace(path)


@contextlib.contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """Keep ``sweep`` away from a folder in which temporary files are made in the block; the end of the process ends that too.

    folder: exists. It is locked (flock, shared) rather than the files in it, which libraries open and close as they like.
    """
    if (descriptor := _opened(folder)) is None:
        yield
        return
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # a sweep, which is short; or somebody who locks for ends of his own, perhaps around this very run
                time.sleep(_LOCK_WAIT_S)
            except OSError:  # a file system without locks: nobody sweeps there
                break
        yield
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files of killed processes; none while a living one is ``writing_into`` the folder, or where that is not known.

    On NFS a folder's lock tells of the processes of this machine only.
    """
    if (descriptor := _opened(folder)) is None:
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in folder.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}*"):
                with contextlib.suppress(OSError):
                    part.unlink()
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # perhaps one that may be written but not read
        return None


def sync_folder(folder: Path) -> None:
    """Make sure that a folder's names outlive a power failure, where the file system can."""
    with contextlib.suppress(OSError):  # not every file system can: the file itself is safe on disk
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
