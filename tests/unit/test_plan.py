from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edgecolor.archive.job import Job, Settings
from edgecolor.archive.manifest import MANIFEST_NAME, Manifest, Record
from edgecolor.errors import ConfigError, EdgeColorError, OutputError, PictureError
from edgecolor.plan import Finished, Plan, make_plan
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


def decided(plan: Plan, format_name=None, manifest=None, settings=None, **options):
    return [step for _, step in plan.steps(settings or Settings(format=format_name), manifest, **options)]


def jobs(inputs, out, format_name=None, **options):
    return [step for step in decided(make_plan(inputs, out, format_name), format_name, **options) if isinstance(step, Job)]


def failures(plan, *rest, **options):
    return [*plan.failures, *(step for step in decided(plan, *rest, **options) if isinstance(step, EdgeColorError))]


def pairs(found):
    return {(str(job.source), str(job.target), job.format) for job in found}


def test_folders_keep_structure_and_suffixes_of_their_format(folder):
    plan = make_plan(["in"], "out")
    assert pairs(decided(plan)) == {
        ("in/a.jpg", "out/a.jpg", "jpeg"),
        ("in/sub/b.JPEG", "out/sub/b.JPEG", "jpeg"),
        ("in/sub/c.tiff", "out/sub/c.tiff", "tiff"),
    }
    assert (failures(plan), plan.others, plan.single) == ([], 1, False)
    assert {target for _, target, _ in pairs(jobs(["in"], "out", "jpeg"))} == {"out/a.jpg", "out/sub/b.JPEG", "out/sub/c.jpg"}


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
    assert pairs(jobs(["in/a.jpg"], out, format_name)) == {("in/a.jpg", str(Path(target)), kind)}


def test_several_go_into_a_folder_whatever_its_name(folder):
    assert {target for _, target, _ in pairs(jobs(["in/a.jpg", "in/sub/c.tiff"], "out.png"))} == {"out.png/a.jpg", "out.png/c.tiff"}
    (folder / "taken.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"taken\.png is a file"):
        make_plan(["in"], "taken.png")


def test_a_link_to_the_output_of_another_is_the_same_output(folder):
    (folder / "out").mkdir()
    (folder / "other").mkdir()
    (folder / "other" / "sub").symlink_to(folder / "in" / "sub")
    (folder / "out" / "sub").symlink_to(folder / "in" / "sub")
    assert pairs(jobs(["in"], "out", overwrite=True)) == {("in/a.jpg", "out/a.jpg", "jpeg")}
    refused = failures(make_plan(["in"], "out"), overwrite=True)
    assert [type(f) for f in refused] == [OutputError, OutputError]
    assert all("one of the inputs" in str(f) for f in refused)


def test_the_same_input_twice(folder):
    assert [type(step) for step in decided(make_plan(["in/a.jpg", "in/a.jpg"], "out"))] == [Job, OutputError]


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
    refused = failures(plan)
    assert sorted(map(str, refused)) == [
        "in/a.jpg: can not be read: Permission denied",
        "in/sub: the folder can not be read: Permission denied",
    ]
    assert all(isinstance(f, PictureError) for f in refused)


def test_what_has_too_long_a_name_or_lies_behind_a_locked_door_is_told_when_its_turn_comes(folder, monkeypatch):
    long = "x" * 300
    assert [str(f) for f in failures(make_plan([long, f"{long}.mjpeg"], "out"))] == [
        f"{long}: can not be read: File name too long", f"{long}.mjpeg: can not be read: File name too long"
    ]  # fmt: skip
    assert pairs(jobs(["in/a.jpg"], f"{long}.png")) == {("in/a.jpg", f"{long}.png", "png")}, "writing it will tell"
    assert pairs(jobs(["in/a.jpg", "in/sub/c.tiff"], long)) == {
        ("in/a.jpg", f"{long}/a.jpg", "jpeg"), ("in/sub/c.tiff", f"{long}/c.tiff", "tiff")
    }  # fmt: skip

    real = {name: getattr(os, name) for name in ("stat", "open")}

    def guarded(name):
        def call(path, *rest, **options):
            if str(path).startswith("locked/"):
                raise PermissionError(13, "Permission denied", str(path))
            return real[name](path, *rest, **options)

        return call

    for name in real:
        monkeypatch.setattr(os, name, guarded(name))
    assert [str(f) for f in failures(make_plan(["locked/in"], "locked/out"))] == ["locked/in: can not be read: Permission denied"]
    assert pairs(jobs(["in/a.jpg"], "locked/x.png")) == {("in/a.jpg", "locked/x.png", "png")}


def test_nothing_is_read_before_its_turn_and_finished_files_never(folder, monkeypatch):
    manifest = finished(folder, "a.jpg")
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **options: (opened.append(str(path)), real(path, *rest, **options))[1])
    steps = make_plan(["in"], "out").steps(Settings(), manifest)
    assert opened == []
    assert isinstance(next(steps)[1], Finished) and opened == []
    assert isinstance(next(steps)[1], Job) and opened == ["in/sub/b.JPEG"]


def test_videos_are_found_by_their_suffix_and_content_goes_first(folder):
    for name in ("in/film.mp4", "in/cam.MJPEG"):
        (folder / name).write_bytes(b"\xff\xd8\xff" if "cam" in name else b"\0\0\0\x18ftypmp42")
    (folder / "in" / "photo.avi").write_bytes((folder / "in" / "a.jpg").read_bytes())
    (folder / "in" / "empty.mkv").write_bytes(b"")
    found = pairs(jobs(["in"], "out"))
    assert {("in/film.mp4", "out/film.mp4", "video"), ("in/cam.MJPEG", "out/cam.MJPEG", "video")} < found
    assert ("in/photo.avi", "out/photo.jpg", "jpeg") in found
    assert [str(f) for f in failures(make_plan(["in"], "out"))] == ["in/empty.mkv: the file is empty"]
    assert pairs(jobs(["in/film.mp4"], "new.mkv")) == {("in/film.mp4", "new.mkv", "video")}
    for source, out in (("in/film.mp4", "x.png"), ("in/a.jpg", "x.mkv")):
        with pytest.raises(ConfigError, match="would be a"):
            decided(make_plan([source], out))


def finished(folder: Path, name: str, settings: Settings | None = None, **changes) -> Manifest:
    """A manifest that says that out/NAME was made of in/NAME, and the output itself."""
    source, target, kind = folder / "in" / name, folder / "out" / changes.get("target", name), changes.get("format", "jpeg")
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"result")
    status = source.stat()
    wishes = settings or Settings()
    facts = {
        "target": name, "name": name, "source": str(source), "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": "0" * 64,
        "format": kind, "settings": wishes.of(kind), "model": wishes.model, "version": "0", "output_size": 6,
        "output_sha256": hashlib.sha256(b"result").hexdigest(), "result": "colorized",
    }  # fmt: skip
    with Manifest(folder / "out") as manifest:
        manifest.done(Record(**{**facts, **changes}))
    return Manifest(folder / "out", writing=False)


def first(folder, manifest, settings=None, **options):
    plan = make_plan(["in"], "out")
    assert plan.others == 1, "the manifest is no file of another kind"
    return decided(plan, None, manifest, settings, **options)[0]


def test_what_is_done_and_unchanged_is_finished(folder):
    manifest = finished(folder, "a.jpg")
    assert first(folder, manifest) == Finished(Path("in/a.jpg"), Path("out/a.jpg"), (folder / "in" / "a.jpg").stat().st_size)
    assert isinstance(first(folder, manifest, update=True), Finished)
    assert first(folder, manifest, overwrite=True).replace


@pytest.mark.parametrize("changes", [{"mtime_ns": 1}, {"size": 1}, {"source": "/elsewhere/a.jpg"}])
def test_a_source_that_may_have_changed_is_compared_by_its_hash(folder, changes):
    job = first(folder, finished(folder, "a.jpg", **changes))
    assert isinstance(job, Job) and not job.replace and job.known is not None and job.known.sha256 == "0" * 64
    assert first(folder, finished(folder, "a.jpg", **changes), update=True).replace


def test_other_settings_or_another_model_are_named_and_redone_with_update(folder):
    manifest = finished(folder, "a.jpg")
    for settings in (Settings(quality=90), Settings(force=True), Settings(model="other")):
        with_error = first(folder, manifest, settings)
        assert isinstance(with_error, OutputError) and "other settings or another model; --update" in str(with_error)
        assert first(folder, manifest, settings, update=True).replace
    assert isinstance(first(folder, manifest, Settings(max_megapixels=1, codec="ffv1")), Finished)


def test_an_output_that_somebody_changed_is_left_to_overwrite(folder):
    manifest = finished(folder, "a.jpg")
    (folder / "out" / "a.jpg").write_bytes(b"retouched")
    for options in ({}, {"update": True}):
        assert "has been changed since it was made; --overwrite" in str(first(folder, manifest, **options))
    (folder / "out" / "a.jpg").unlink()
    assert isinstance(first(folder, manifest), Job)


@pytest.mark.parametrize(("changes", "settings"), [({"mtime_ns": 1}, Settings()), ({}, Settings(quality=90))])
def test_an_output_edited_to_the_same_size_is_not_replaced_by_update(folder, changes, settings):
    manifest = finished(folder, "a.jpg", **changes)
    assert first(folder, manifest, settings, update=True).replace
    (folder / "out" / "a.jpg").write_bytes(b"edited")
    assert "has been changed since it was made; --overwrite" in str(first(folder, manifest, settings, update=True))
    assert first(folder, manifest, settings, overwrite=True).replace


def test_leaving_format_out_again_asks_for_the_inputs_own(folder):
    manifest = finished(folder, "a.jpg", target="a.png", format="png")
    assert isinstance(decided(make_plan(["in"], "out", "png"), "png", manifest)[0], Finished)
    for options in ({}, {"update": True}):
        job = first(folder, manifest, **options)
        assert isinstance(job, Job) and (job.target, job.format) == (Path("out/a.jpg"), "jpeg")


def test_a_picture_whose_suffix_says_something_else_is_finished_all_the_same(folder):
    (folder / "in" / "a.jpg").write_bytes(samples.good()["gray.png"])
    manifest = finished(folder, "a.jpg", target="a.png", format="png")
    assert first(folder, manifest) == Finished(Path("in/a.jpg"), Path("out/a.png"), (folder / "in" / "a.jpg").stat().st_size)


def test_what_a_killed_run_had_begun_is_done_again(folder):
    finished(folder, "a.jpg")
    with Manifest(folder / "out") as manifest:
        manifest.begin("a.jpg", "in/a.jpg")
    job = first(folder, Manifest(folder / "out", writing=False))
    assert isinstance(job, Job) and job.replace


def test_what_a_run_had_begun_that_was_killed_in_its_first_file_is_done_again(folder):
    with Manifest(folder / "out") as manifest:
        manifest.begin("a.jpg", "in/a.jpg")
    (folder / "out" / "a.jpg").write_bytes(b"published, and not written down")
    job = first(folder, Manifest(folder / "out", writing=False))
    assert isinstance(job, Job) and job.replace


def test_a_finished_file_costs_two_questions_to_the_file_system(folder, monkeypatch):
    manifest = finished(folder, "a.jpg")
    calls = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *rest, **options: (calls.append(rest), real(*rest, **options))[1])
    first(folder, manifest)
    assert [str(c[0]) for c in calls if "a.jpg" in str(c[0])] == ["in/a.jpg", "out/a.jpg"]


def test_the_manifest_of_an_output_among_the_inputs_is_nothing(folder):
    (folder / "in" / MANIFEST_NAME).write_text("")
    assert make_plan(["in"], "out").others == 1
