from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edgecolor.archive.manifest import MANIFEST_NAME, Manifest, Record
from edgecolor.archive.space import check_space
from edgecolor.errors import DiskFullError, OutputError
from edgecolor.sinks.files import new_file

RECORD = Record(
    "1950/a.jpg", "1950/a.jpg", "/archive/1950/a.jpg", 123, 1_700_000_000_123_456_789, "ab" * 32, "jpeg", {"force": False, "quality": 95},
    "cd" * 32, "0.1.0", 456, "ef" * 32, "colorized",
)  # fmt: skip


def entries(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / MANIFEST_NAME).read_text("ascii").splitlines()]


def test_what_is_written_is_read_again(tmp_path):
    with Manifest(tmp_path / "new" / "out") as manifest:
        assert not (tmp_path / "new").exists()  # nothing is made before there is something to say
        manifest.begin(RECORD.target, RECORD.source)
        manifest.done(RECORD)
        assert manifest.record(RECORD.target) == RECORD
    again = Manifest(tmp_path / "new" / "out", writing=False)
    assert again.record("1950/a.jpg") == RECORD == again.record_of_source("1950/a.jpg")
    assert (len(again), again.unresolved, again.record("b.jpg"), again.record_of_source("b.jpg")) == (1, set(), None, None)
    assert [e["event"] for e in entries(tmp_path / "new" / "out")] == ["begin", "done"]


def test_the_newest_line_counts(tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.done(RECORD)
        manifest.done(replace(RECORD, sha256="00" * 32))
        manifest.done(replace(RECORD, target="1950/a.tif", format="tiff"))
        manifest.failed("b.jpg", "b.jpg", "no")
    again = Manifest(tmp_path, writing=False)
    assert again.newest == manifest.newest == again.record("1950/a.tif")
    assert again.record("1950/a.jpg").sha256 == "00" * 32
    assert again.record_of_source("1950/a.jpg").target == "1950/a.tif"


def test_what_was_begun_and_not_ended_is_unresolved(tmp_path):
    with Manifest(tmp_path) as manifest:
        for name in ("done", "failed", "killed"):
            manifest.begin(name, "x")
        manifest.done(replace(RECORD, target="done"))
        manifest.failed("failed", "x", "it was no picture")
    assert Manifest(tmp_path, writing=False).unresolved == {"killed"}


def test_a_failure_leaves_the_older_output_known(tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.done(RECORD)
        manifest.begin(RECORD.target, "x")
        manifest.failed(RECORD.target, "x", "the disk was full")
    assert Manifest(tmp_path, writing=False).record(RECORD.target) == RECORD


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_a_torn_last_line_is_ignored_and_the_next_one_is_whole(tmp_path, cut):
    with Manifest(tmp_path) as manifest:
        manifest.done(RECORD)
        manifest.done(replace(RECORD, target="second"))
    path = tmp_path / MANIFEST_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    with Manifest(tmp_path) as manifest:
        assert manifest.record(RECORD.target) == RECORD
        assert (manifest.record("second") is None) == (cut > 1)
        manifest.done(replace(RECORD, target="third"))
    again = Manifest(tmp_path, writing=False)
    assert again.record("third") is not None and again.record(RECORD.target) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe\n",
        b"[" * 100_000,
        b"[1]\n",
        b'{"event": "done", "target": 5}\n',
        b'{"event": "done", "target": "x"}\n',
        json.dumps({"event": "done", "target": "x", "size": "large"}).encode(),
        b'{"event": "new", "target": "x"}\n',
        b"x" * (3 << 20),
    ],
)
def test_lines_that_make_no_sense_are_passed_over(tmp_path, line):
    with Manifest(tmp_path) as manifest:
        manifest.done(RECORD)
    with (tmp_path / MANIFEST_NAME).open("ab") as file:
        file.write(line)
    with Manifest(tmp_path) as manifest:
        manifest.done(replace(RECORD, target="later"))
    again = Manifest(tmp_path, writing=False)
    assert {again.record(RECORD.target).target, again.record("later").target} == {RECORD.target, "later"}
    assert again.record("x") is None


def test_names_that_are_no_unicode(tmp_path):
    name = os.fsdecode(b"caf\xe9\n\x1b.jpg")
    with Manifest(tmp_path) as manifest:
        manifest.done(replace(RECORD, target=name, name=name))
    assert Manifest(tmp_path, writing=False).record_of_source(name).target == name
    assert len((tmp_path / MANIFEST_NAME).read_bytes().splitlines()) == 1


def test_only_one_run_writes(tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.done(RECORD)
        with pytest.raises(OutputError, match="another run is writing"):
            Manifest(tmp_path)
        assert len(Manifest(tmp_path, writing=False)) == 1
    Manifest(tmp_path).close()


def test_two_that_began_before_there_was_a_manifest(tmp_path):
    with Manifest(tmp_path) as one, Manifest(tmp_path) as two:
        one.begin("a", "a")
        with pytest.raises(OutputError, match="another run is writing"):
            two.begin("b", "b")


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EIO, OutputError)])
def test_a_line_that_does_not_fit_leaves_no_half_of_it(tmp_path, monkeypatch, number, kind):
    with Manifest(tmp_path) as manifest:
        manifest.done(RECORD)
        before = (tmp_path / MANIFEST_NAME).read_bytes()
        write = os.write

        def half(file: int, data: bytes) -> int:
            write(file, data[:20])
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(OutputError, match="the manifest can not be written") as caught:
                manifest.done(replace(RECORD, target="second"))
        assert type(caught.value) is kind
        assert (tmp_path / MANIFEST_NAME).read_bytes() == before and manifest.record("second") is None
        manifest.done(replace(RECORD, target="third"))
    assert len(entries(tmp_path)) == 2


def test_every_line_is_on_disk_before_the_next_step(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    with Manifest(tmp_path) as manifest:
        manifest.begin("a", "a")
        monkeypatch.setattr(os, "fsync", lambda file: (synced.append((tmp_path / MANIFEST_NAME).read_bytes().count(b"\n")), real(file))[1])
        manifest.done(RECORD)
        manifest.failed("b", "b", "no")
    assert synced == [2, 3]


def test_sweeping_takes_temporary_files_of_the_named_folders_only(tmp_path):
    for name in ("x/.edgecolor-1.part", "x/.edgecolor-2.part.mp4", "y/.edgecolor-3.part", "x/mine.part", "x/.edgecolor-notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with Manifest(tmp_path) as manifest:
        manifest.begin("x/a.jpg", "a")
        manifest.sweep({"x/a.jpg", "gone/b.jpg"})
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file() and p.name != MANIFEST_NAME)
    assert left == ["x/.edgecolor-notes", "x/mine.part", "y/.edgecolor-3.part"]


def test_sweeping_leaves_what_another_run_is_writing(tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.begin("x/a.jpg", "a")
        with new_file(tmp_path / "x" / "b.jpg") as theirs:
            theirs.write_bytes(b"half")
            manifest.sweep(manifest.unresolved)
            assert theirs.exists()


def test_an_unreadable_manifest_is_named(tmp_path):
    (tmp_path / MANIFEST_NAME).mkdir()
    with pytest.raises(OutputError, match=MANIFEST_NAME):
        Manifest(tmp_path, writing=False)
    with pytest.raises(OutputError, match=MANIFEST_NAME):
        Manifest(tmp_path)


@pytest.mark.parametrize("writing", [True, False])
def test_a_folder_that_can_not_be_looked_into_is_named(tmp_path, writing):
    folder = tmp_path / ("x" * 300)
    with pytest.raises(OutputError, match=f"{folder.name}/{MANIFEST_NAME}: the manifest can not be read: File name too long"):
        Manifest(folder, writing=writing)
    check_space(folder, 1)  # of the disk it would be on
