from __future__ import annotations

import errno
import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import edgecolor.archive.cluster as cluster
import edgecolor.archive.work as work
import edgecolor.signing as signing
from edgecolor.archive.job import FITS, VIDEO, Job, Settings
from edgecolor.archive.work import Worker
from edgecolor.archive.workers import Network
from edgecolor.errors import OutputError, VideoError
from edgecolor.signing import Signature
from edgecolor.sinks.files import sweep
from edgecolor.stacks import stack_pages
from tests import samples

SETTINGS = Settings(model="m")


def perform(job, settings, colorizer):
    return Worker(settings, colorizer).perform(job)


@pytest.fixture
def colorizer():
    return samples.strong_colorizer()


@pytest.fixture
def job(tmp_path) -> Job:
    (tmp_path / "a.png").write_bytes(samples.good()["gray.png"])
    return Job(tmp_path / "a.png", tmp_path / "out" / "a.png", "png", "a.png", "a.png", 1)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_record_holds_both_ends(job, colorizer):
    outcome = perform(job, SETTINGS, colorizer)
    record, status = outcome.record, job.source.stat()
    assert outcome.result == "colorized" == record.result and outcome.error == ""
    assert (record.sha256, record.output_sha256) == (sha256(job.source), sha256(job.target))
    assert (record.size, record.mtime_ns, record.output_size) == (status.st_size, status.st_mtime_ns, job.target.stat().st_size)
    assert (record.target, record.name, record.source, record.model) == ("a.png", "a.png", str(job.source), "m")
    assert record.settings == {"force": False}


def test_colour_is_copied_and_recorded_as_that(job, colorizer):
    job.source.write_bytes(samples.pillow(samples.color(shape=(90, 120)), "PNG"))
    outcome = perform(job, SETTINGS, colorizer)
    assert outcome.result == "copied" and outcome.record.sha256 == outcome.record.output_sha256


def test_a_bmp_that_can_not_say_that_its_colours_are_guessed_is_a_warning(job, colorizer):
    source, target = job.source.with_suffix(".bmp"), job.target.with_suffix(".bmp")
    source.write_bytes(samples.good()["gray.bmp"])
    bmp = Job(source, target, "bmp", "a.bmp", "a.bmp", 1)
    worker = Worker(SETTINGS, colorizer)
    assert worker.perform(bmp).warnings == ("a BMP has no place for the mark of guessed colour; --format png has",)
    assert worker.perform(job).warnings == (), "of another format"
    source.write_bytes(samples.pillow(samples.color(shape=(90, 120)), "BMP"))
    copied = worker.perform(replace(bmp, replace=True))
    assert (copied.result, copied.warnings) == ("copied", ()), "nothing is guessed"


def test_a_known_source_is_only_compared(job, colorizer):
    record = replace(perform(job, SETTINGS, colorizer).record, mtime_ns=5, source="/elsewhere")
    made = job.target.stat().st_mtime_ns
    outcome = perform(replace(job, known=record), SETTINGS, colorizer)
    assert outcome.result == "finished" and job.target.stat().st_mtime_ns == made
    assert (outcome.record.mtime_ns, outcome.record.source) == (job.source.stat().st_mtime_ns, str(job.source))
    job.source.write_bytes(samples.good()["deep.png"])
    outcome = perform(replace(job, known=record), SETTINGS, colorizer)
    assert outcome.result == "failed" and "--update" in outcome.error and job.target.stat().st_mtime_ns == made
    assert perform(replace(job, known=record, replace=True), SETTINGS, colorizer).result == "colorized"


def test_a_source_that_changes_meanwhile_is_not_taken_for_done(job, colorizer, monkeypatch):
    write = work.write_file

    def slow(*rest, **options):
        write(*rest, **options)
        with job.source.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(work, "write_file", slow)
    outcome = perform(job, SETTINGS, colorizer)
    assert outcome.result == "failed" and outcome.record is None and "changed while it was read" in outcome.error
    assert not job.target.exists()


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_full_disk_is_told_apart_however_deep_it_stands(job, colorizer, monkeypatch, number, full):
    def fail(*_, **__):
        try:
            raise OSError(number, "as the system says")
        except OSError as error:
            raise OutputError("can not be written") from error

    monkeypatch.setattr(work, "write_file", fail)
    outcome = perform(job, SETTINGS, colorizer)
    assert (outcome.result, outcome.disk_full, outcome.error) == ("failed", full, f"{job.source}: can not be written")


def test_too_little_memory_is_the_files_failure(job, colorizer, monkeypatch):
    monkeypatch.setattr(work, "write_file", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
    assert perform(job, SETTINGS, colorizer).error == f"{job.source}: there is not enough memory for it"


def test_what_nobody_foresaw_costs_one_file_and_is_logged_with_its_place(job, colorizer, monkeypatch, caplog):
    monkeypatch.setattr(work, "write_file", lambda *_, **__: (_ for _ in ()).throw(RecursionError("too deep")))
    outcome = perform(job, SETTINGS, colorizer)
    assert (outcome.result, outcome.record) == ("failed", None)
    assert outcome.error == f"{job.source}: an unforeseen error (RecursionError: too deep)"
    assert str(job.source) in caplog.text and "Traceback" in caplog.text


def test_a_source_that_is_gone_is_named(job, colorizer):
    job.source.unlink()
    outcome = perform(job, SETTINGS, colorizer)
    assert outcome.result == "failed" and outcome.error == f"{job.source}: can not be read: No such file or directory"


# ---- videos, with a stand-in for the engine: what it is asked, and what becomes of its answer


@dataclass(frozen=True)
class VideoOptions:
    codec: str = "default"
    crf: int = 20
    preset: str = "default"
    force: bool = False
    verify_luma: bool = False
    label: str = "off"
    every: int = 2


@pytest.fixture
def engine(monkeypatch):
    asked = []

    def colorize_video(source, target, colorizer, options, progress, *, overwrite=True):
        asked.append((source, target, options))
        if progress:
            progress(1.0, 2.0)
        if b"broken" in source.read_bytes():
            raise VideoError(f"{source}: no frame can be decoded")
        target.write_bytes(b"colour of " + source.read_bytes())
        return SimpleNamespace(colorized=b"colour" not in source.read_bytes(), warnings=("no chapters",))

    monkeypatch.setitem(
        sys.modules, "edgecolor.videos", SimpleNamespace(VideoOptions=VideoOptions, colorize_video=colorize_video)
    )
    return asked


@pytest.fixture
def film(tmp_path) -> Job:
    (tmp_path / "film.mkv").write_bytes(b"gray frames")
    return Job(tmp_path / "film.mkv", tmp_path / "out" / "sub" / "film.mkv", VIDEO, "sub/film.mkv", "sub/film.mkv", 11)


def test_a_video_goes_to_the_engine_with_what_was_asked_for(engine, film, colorizer):
    settings = Settings(model="m", codec="ffv1", crf=0, verify_luma=True, force=True, label="top-left", every=4)
    told = []
    outcome = Worker(settings, colorizer).perform(film, lambda *share: told.append(share))
    assert engine == [(film.source, film.target, VideoOptions("ffv1", 0, "default", True, True, "top-left", 4))]
    assert outcome.result == "colorized" and told == [(1.0, 2.0)]
    assert (outcome.record.format, outcome.record.output_sha256, outcome.record.sha256) == (VIDEO, sha256(film.target), sha256(film.source))
    assert outcome.record.settings == {"force": True, "codec": "ffv1", "crf": 0, "label": "top-left", "every": 4}
    assert outcome.warnings == ("no chapters",)


def test_a_video_in_colour_is_left_alone(engine, film, colorizer):
    film.source.write_bytes(b"frames in colour")
    assert perform(film, SETTINGS, colorizer).result == "copied"


def test_a_broken_video_is_named_and_an_existing_output_kept(engine, film, colorizer):
    film.source.write_bytes(b"broken")
    assert perform(film, SETTINGS, colorizer).error == f"{film.source}: no frame can be decoded"
    film.target.parent.mkdir(parents=True, exist_ok=True)
    film.target.write_bytes(b"mine")
    film.source.write_bytes(b"gray frames")
    assert "exists already" in perform(film, SETTINGS, colorizer).error and film.target.read_bytes() == b"mine"
    assert perform(replace(film, replace=True), SETTINGS, colorizer).result == "colorized"


def test_a_video_replaces_only_what_it_was_told_to(film, colorizer, monkeypatch):
    asked = []

    def colorize_video(source, target, *_, overwrite):
        asked.append(overwrite)
        target.write_bytes(b"colour")
        return SimpleNamespace(colorized=True, warnings=())

    def join_video(source, target, *_, overwrite):
        colorize_video(source, target, overwrite=overwrite)
        return ()

    engine = SimpleNamespace(VideoOptions=VideoOptions, colorize_video=colorize_video, join_video=join_video)
    monkeypatch.setitem(sys.modules, "edgecolor.videos", engine)
    for job in (film, replace(film, replace=True)):
        assert perform(job, SETTINGS, colorizer).result == "colorized"
        Worker(SETTINGS, colorizer).perform(job, None, [Path("part")])
    assert asked == [False, False, True, True]


def test_whatever_a_part_of_a_film_raises_it_is_done_in_one_piece(film, monkeypatch):
    def fail(*_, **__):
        raise RecursionError("too deep")

    monkeypatch.setitem(sys.modules, "edgecolor.videos", SimpleNamespace(VideoOptions=VideoOptions, divide=fail, colorize_part=fail))
    monkeypatch.setattr(cluster, "_worker", lambda *_: SimpleNamespace(colorizer=None))
    monkeypatch.setattr(cluster, "_telling", lambda *_: None)
    assert cluster._divided(film, SETTINGS, 120.0) == []
    assert cluster._part(film, Network(), SETTINGS, None, 1, film.target.parent / ".edgecolor-1.part") == []


def test_what_a_worker_is_writing_is_not_swept_away(film, colorizer, monkeypatch):
    film.target.parent.mkdir(parents=True)
    temporary = film.target.parent / ".edgecolor-1.part"
    report = SimpleNamespace(colorized=True, warnings=())

    def colorize(_, target, *__, **___):
        temporary.write_bytes(b"half")
        sweep(target.parent)
        temporary.replace(target)
        return report

    engine = SimpleNamespace(
        VideoOptions=VideoOptions, colorize_video=colorize, join_video=lambda *rest, **how: colorize(*rest, **how).warnings,
        colorize_part=lambda source, target, part, *rest: colorize(source, part, *rest),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "edgecolor.videos", engine)
    monkeypatch.setattr(cluster, "_worker", lambda *_: SimpleNamespace(colorizer=None))
    monkeypatch.setattr(cluster, "_telling", lambda *_: None)
    assert perform(film, SETTINGS, colorizer).result == "colorized"
    assert Worker(SETTINGS, colorizer).perform(film, None, [Path("part")]).result == "colorized"
    part = film.target.parent / ".edgecolor-2.part"
    assert cluster._part(film, Network(), SETTINGS, None, 1, part) != []
    task = cluster._Task(film, film, 0.0, [part])
    task.hold()
    sweep(part.parent)
    assert part.exists(), "it waits for the other parts"
    task.remove_parts()
    part.touch()
    sweep(part.parent)
    assert not part.exists()


# ---- what a cluster's workers get and tell


def test_a_cluster_refuses_a_changed_source_as_one_machine_does(job, colorizer):
    sent = cluster._sent(job)
    assert sent.replace, "a second attempt finds the first one's output"
    known = replace(job, known=perform(job, SETTINGS, colorizer).record)
    assert perform(cluster._sent(known), SETTINGS, colorizer).result == "finished"
    job.source.write_bytes(samples.good()["deep.png"])
    before = job.target.read_bytes()
    assert "--update" in perform(cluster._sent(known), SETTINGS, colorizer).error and job.target.read_bytes() == before
    assert perform(cluster._sent(replace(known, replace=True)), SETTINGS, colorizer).result == "colorized"


@pytest.mark.parametrize(
    ("content", "may_replace", "divided"), [("same", False, False), ("same", True, False), ("new", False, False), ("new", True, True)]
)
def test_a_film_whose_output_is_known_is_compared_before_it_is_divided(engine, film, colorizer, monkeypatch, content, may_replace, divided):
    record = perform(film, SETTINGS, colorizer).record
    if content == "new":
        film.source.write_bytes(b"other gray frames")
    monkeypatch.setattr(sys.modules["edgecolor.videos"], "divide", lambda *_: ["a span"], raising=False)
    assert cluster._divided(film, SETTINGS, 120.0) == ["a span"]
    known = cluster._sent(replace(film, known=record, replace=may_replace))
    assert cluster._divided(known, SETTINGS, 120.0) == (["a span"] if divided else [])


def test_warnings_of_parts_are_told_once_and_where(film):
    parts = [("no chapters",), ("no chapters", "8 damaged packets"), ("8 damaged packets", "no chapters")]
    assert list(cluster._of_parts(parts)) == ["no chapters", "8 damaged packets (in part 2, 3 of 3)"]
    assert list(cluster._of_parts([(), ()])) == [] == list(cluster._of_parts([]))


class Client:
    """In place of Dask's: what is submitted is done at once, here."""

    def __init__(self, *_, **__):
        self.closed = False

    def run(self, *_, **__):
        return {"worker": None}

    def scheduler_info(self, **_):
        return {"workers": {"worker": {"nthreads": 1}}}

    def submit(self, what, *arguments, **_):
        said = what(*arguments)
        future = SimpleNamespace(key=object(), status="finished", result=lambda: said, add_done_callback=lambda tell: tell(future))
        return future

    def subscribe_topic(self, *_):
        pass

    def cancel(self, futures, **_):
        assert not futures

    def close(self):
        self.closed = True


def test_a_film_in_parts_keeps_its_parts_warnings(film, colorizer, monkeypatch, tmp_path):
    def colorize_part(source, target, part, span, *_):
        part.write_bytes(b"half")
        return SimpleNamespace(warnings=(f"{span} damaged packets could not be decoded",) if span else ())

    def join_video(source, target, parts, *_, overwrite):
        assert [part.read_bytes() for part in parts] == [b"half"] * 3
        target.write_bytes(b"whole")
        return ("no chapters",)

    engine = SimpleNamespace(
        VideoOptions=VideoOptions, divide=lambda *_: [0, 8, 8], colorize_part=colorize_part, join_video=join_video, colorize_video=None
    )
    monkeypatch.setitem(sys.modules, "edgecolor.videos", engine)
    monkeypatch.setitem(sys.modules, "edgecolor.videos.parts", SimpleNamespace(UNFIT="unfit"))
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=Client))
    monkeypatch.setitem(sys.modules, "distributed.security", SimpleNamespace(Security=None))
    monkeypatch.setattr(cluster, "_worker", lambda *_: Worker(SETTINGS, colorizer))
    monkeypatch.setattr(cluster, "_telling", lambda *_: None)
    with cluster.Cluster("tcp://127.0.0.1:1", Network(), SETTINGS, tmp_path / "out", 120.0) as workers:
        (outcome,) = workers.run(iter([film]), lambda *_: None)
    assert outcome.result == "colorized", outcome.error
    assert outcome.warnings == ("no chapters", "8 damaged packets could not be decoded (in part 2, 3 of 3)")
    assert [path.name for path in film.target.parent.iterdir()] == ["film.mkv"]


class Seal:
    """In place of edgecolor.signing.Signer."""

    def __init__(self, signature):
        pass

    def sign_video(self, encoded, target, media, source, tool):
        if b"tear" in source.read_bytes():
            raise OutputError(f"{source}: its result can not be signed")
        target.write_bytes(encoded.read_bytes() + f", signed as {media}".encode())


def test_a_signed_video_appears_only_when_it_is_signed(engine, film, colorizer, monkeypatch, tmp_path):
    monkeypatch.setattr(signing, "Signer", Seal)
    settings = replace(SETTINGS, signature=Signature(Path("c"), Path("k")), signed="f")
    assert "a .mkv video has no place" in perform(film, settings, colorizer).error and engine == []
    film = replace(film, target=film.target.with_suffix(".mp4"))
    outcome = perform(film, settings, colorizer)
    assert film.target.read_bytes() == b"colour of gray frames, signed as video/mp4"
    assert outcome.record.settings["c2pa"] == "f" and outcome.record.output_sha256 == sha256(film.target)
    assert engine[0][1].suffix == ".mp4" and ".part" in engine[0][1].name
    film.source.write_bytes(b"tear")
    assert "can not be signed" in perform(replace(film, replace=True), settings, colorizer).error
    assert film.target.read_bytes() == b"colour of gray frames, signed as video/mp4"
    film.source.write_bytes(b"in colour")
    assert perform(replace(film, replace=True), settings, colorizer).result == "copied"
    assert film.target.read_bytes() == b"colour of in colour"
    assert [p.name for p in film.target.parent.iterdir()] == ["film.mp4"]
    film.target.unlink()
    film.source.write_bytes(b"gray frames")
    sign = Seal.sign_video

    def slow(self, encoded, target, *rest):
        film.target.write_bytes(b"theirs")
        sign(self, encoded, target, *rest)

    monkeypatch.setattr(Seal, "sign_video", slow)
    error = perform(film, settings, colorizer).error
    assert "was made by somebody else meanwhile" in error and film.target.read_bytes() == b"theirs"
    assert Path(error.rpartition("the result is ")[2]).read_bytes() == b"colour of gray frames, signed as video/mp4"


# ---- science


def test_stacks_and_fits_go_their_own_ways(tmp_path, colorizer):
    stack, sky = tmp_path / "cells.tif", tmp_path / "sky.fits"
    stack.write_bytes(samples.tiff(np.stack([samples.gray(np.uint16)] * 3), photometric="minisblack"))
    outcome = perform(Job(stack, tmp_path / "out" / "cells.tif", "tiff", "cells.tif", "cells.tif"), SETTINGS, colorizer)
    assert outcome.result == "colorized" and len(stack_pages((tmp_path / "out" / "cells.tif").read_bytes())) == 6
    assert outcome.record.sha256 == sha256(stack) and outcome.record.output_sha256 == sha256(tmp_path / "out" / "cells.tif")
    fits = pytest.importorskip("astropy.io.fits")
    fits.PrimaryHDU(samples.gray(np.uint16)).writeto(sky)
    job = Job(sky, tmp_path / "out" / "sky.fits", FITS, "sky.fits", "sky.fits")
    assert perform(job, SETTINGS, colorizer).result == "colorized"
    assert (tmp_path / "out" / "sky.fits").read_bytes().startswith(sky.read_bytes())
    sky.write_bytes(b"SIMPLE  = no")
    assert perform(replace(job, replace=True), SETTINGS, colorizer).error.startswith(f"{sky}: not a FITS file")
