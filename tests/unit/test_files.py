from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edgecolor.errors import OutputError
from edgecolor.sinks.files import write_file


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
