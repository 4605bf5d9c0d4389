from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecolor.errors import ConfigError, OutputError, PictureError
from edgecolor.plan import Job, make_plan
from tests import samples


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.jpg", "in/sub/b.JPEG", "in/sub/c.tiff"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(samples.good()["deep.tiff" if name.endswith("tiff") else "gray.jpg"])
    (tmp_path / "in" / "note.txt").write_text("")
    return tmp_path


def pairs(plan):
    return {(str(job.source), str(job.target), job.format) for job in plan.jobs}


def test_folders_keep_structure_and_suffixes_of_their_format(folder):
    plan = make_plan(["in"], "out")
    assert pairs(plan) == {
        ("in/a.jpg", "out/a.jpg", "jpeg"),
        ("in/sub/b.JPEG", "out/sub/b.JPEG", "jpeg"),
        ("in/sub/c.tiff", "out/sub/c.tiff", "tiff"),
    }
    assert (plan.failures, plan.others, plan.single) == ([], 1, False)
    assert {target for _, target, _ in pairs(make_plan(["in"], "out", "jpeg"))} == {"out/a.jpg", "out/sub/b.JPEG", "out/sub/c.jpg"}


@pytest.mark.parametrize(
    ("out", "format_name", "target", "kind"),
    [
        ("x.png", None, "x.png", "png"),
        ("new/x.webp", None, "new/x.webp", "webp"),
        ("x.result", "tiff", "x.result", "tiff"),
        ("out", None, "out/a.jpg", "jpeg"),
        ("out.png/", None, "out.png/a.jpg", "jpeg"),
        ("in", "png", "in/a.png", "png"),
    ],
)
def test_one_file_goes_to_a_file_or_into_a_folder(folder, out, format_name, target, kind):
    assert make_plan(["in/a.jpg"], out, format_name).jobs == [Job(Path("in/a.jpg"), Path(target), kind)]


def test_several_go_into_a_folder_whatever_its_name(folder):
    assert {target for _, target, _ in pairs(make_plan(["in/a.jpg", "in/sub/c.tiff"], "out.png"))} == {"out.png/a.jpg", "out.png/c.tiff"}
    (folder / "taken.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"taken\.png is a file"):
        make_plan(["in"], "taken.png")


def test_a_link_to_the_output_of_another_is_the_same_output(folder):
    (folder / "out").mkdir()
    (folder / "other").mkdir()
    (folder / "other" / "sub").symlink_to(folder / "in" / "sub")
    (folder / "out" / "sub").symlink_to(folder / "in" / "sub")
    plan = make_plan(["in"], "out", overwrite=True)
    assert pairs(plan) == {("in/a.jpg", "out/a.jpg", "jpeg")}
    assert [type(f) for f in plan.failures] == [OutputError, OutputError]
    assert all("one of the inputs" in str(f) for f in plan.failures)


def test_the_same_input_twice(folder):
    plan = make_plan(["in/a.jpg", "in/a.jpg"], "out")
    assert len(plan.jobs) == 1 and len(plan.failures) == 1


def test_what_may_not_be_read_is_a_failure_of_its_own(folder, monkeypatch):
    real_open, real_scan = os.open, os.scandir

    def guarded_open(path, *rest, **options):
        if str(path) == "in/a.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *rest, **options)

    def guarded_scan(path):
        if str(path) == "in/sub":
            raise PermissionError(13, "Permission denied", str(path))
        return real_scan(path)

    monkeypatch.setattr(os, "open", guarded_open)
    monkeypatch.setattr(os, "scandir", guarded_scan)
    plan = make_plan(["in"], "out")
    assert plan.jobs == []
    assert sorted(map(str, plan.failures)) == [
        "in/a.jpg: can not be read: Permission denied",
        "in/sub: the folder can not be read: Permission denied",
    ]
    assert all(isinstance(f, PictureError) for f in plan.failures)
