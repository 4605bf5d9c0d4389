from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from edgecolor.errors import OutputError
from edgecolor.sinks import files
from edgecolor.sinks.files import new_file, sweep, write_file, writing_into


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_writes_and_makes_folders(tmp_path):
    write_file(tmp_path / "a" / "b" / "c.bin", b"12")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"12"
    assert names(tmp_path / "a" / "b") == ["c.bin"]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already; --overwrite"):
        write_file(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    write_file(tmp_path / "x", b"new", overwrite=True)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert names(tmp_path) == ["x"]


def test_a_file_made_meanwhile_is_kept(tmp_path, monkeypatch):
    link = os.link

    def slow(source, target, **options):
        Path(target).write_bytes(b"theirs")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", slow)
    with pytest.raises(OutputError, match="exists already"):
        write_file(tmp_path / "x", b"ours")
    assert (tmp_path / "x").read_bytes() == b"theirs"
    assert names(tmp_path) == ["x"]


def test_without_hard_links_it_is_renamed_and_still_nothing_is_replaced(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_file(tmp_path / "x", b"1")
    with pytest.raises(OutputError, match="exists already"):
        write_file(tmp_path / "x", b"2")
    assert (tmp_path / "x").read_bytes() == b"1"
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, failure):
    (tmp_path / "x").write_bytes(b"old")

    def fail(_):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        write_file(tmp_path / "x", b"new", overwrite=True)
    if isinstance(failure, OSError):
        assert str(caught.value) == f"{tmp_path / 'x'}: can not be written: No space left on device"
    assert (tmp_path / "x").read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_the_longest_name_a_file_system_takes(tmp_path):
    write_file(tmp_path / ("n" * 255), b"1")
    with pytest.raises(OutputError, match="too long"):
        write_file(tmp_path / ("n" * 256), b"1")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_that_name_is_kept(tmp_path, overwrite):
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(OutputError):
        write_file(tmp_path / "x", b"1", overwrite=overwrite)
    assert names(tmp_path) == ["x"] and names(tmp_path / "x") == ["y"]


def test_a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(OutputError, match=r"x/y\.png"):
        write_file(tmp_path / "x" / "y.png", b"1")


# ---- what killed processes have left


def test_nothing_is_swept_away_beside_a_file_that_is_being_written(tmp_path):
    (tmp_path / ".edgecolor-1.part").write_bytes(b"of a process that was killed")
    with new_file(tmp_path / "x") as temporary, writing_into(tmp_path):
        temporary.write_bytes(b"half")  # and closed again, as libraries do
        sweep(tmp_path)
        assert temporary.exists() and len(names(tmp_path)) == 2
        temporary.write_bytes(b"whole")
    assert names(tmp_path) == [".edgecolor-1.part", "x"] and (tmp_path / "x").read_bytes() == b"whole"
    sweep(tmp_path)
    assert names(tmp_path) == ["x"]
    sweep(tmp_path / "gone")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_without_locks_files_are_written_and_nothing_is_swept_away(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".edgecolor-1.part").touch()
    write_file(tmp_path / "x", b"1")
    sweep(tmp_path)
    assert names(tmp_path) == [".edgecolor-1.part", "x"]


def test_a_folder_that_somebody_else_has_locked_for_himself_is_written_into_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LOCK_WAIT_S", 0)
    (tmp_path / ".edgecolor-1.part").touch()
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # as flock(1) does around a whole command
        write_file(tmp_path / "x", b"1")
        sweep(tmp_path)
    finally:
        os.close(folder)
    assert names(tmp_path) == [".edgecolor-1.part", "x"]
