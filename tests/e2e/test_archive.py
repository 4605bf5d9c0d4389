"""Whole archives by the real process: killed, crashed, out of room, and gone on with."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgecolor.archive.manifest import MANIFEST_NAME, Manifest
from edgecolor.sources.images import decode_picture
from tests import samples
from tests.certificates import signing_certificate
from tests.conftest import ROOT, need
from tests.e2e.test_colorize import colorize, command, complaints, environment, files

DEADLINE_S = 120
# Runs in each process that starts with this folder on its path. Only workers have a parent that is a Python of this run.
TROUBLE = """
import multiprocessing, os, signal
_open = os.open
def troubled(path, *rest, **options):
    if multiprocessing.parent_process() is not None and str(path).endswith("crash.jpg"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if multiprocessing.parent_process() is not None and str(path).endswith("raise.jpg"):
        raise RuntimeError("a mistake in the program")
    return _open(path, *rest, **options)
os.open = troubled
"""


def pictures(folder: Path, count: int) -> Path:
    """Small gray pictures, each another one, in two folders."""
    for number in range(count):
        luma = samples.gray(shape=(40, 50)) // 2 + np.uint8(number % 100)
        path = folder / ("even" if number % 2 == 0 else "odd/deeper") / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(samples.pillow(luma, "PNG"))
    return folder


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def parts(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(".edgecolor-*") if p.name != MANIFEST_NAME]


def until(condition, what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def children(process: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(status.parent.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_hundred_files_by_two_workers_and_again(tmp_path):
    archive, out = pictures(tmp_path / "in", 200), tmp_path / "out"
    done = colorize(archive, "-o", out, "--jobs", "2")
    assert (done.returncode, done.stdout, complaints(done)) == (0, "200 colorized\n", [])
    assert files(out) == files(archive)
    manifest = Manifest(out, writing=False)
    assert len(manifest) == 200 and not manifest.unresolved
    for name in files(out)[::20]:
        record = manifest.record(name)
        assert record is not None and (record.name, record.result) == (name, "colorized")
        assert record.sha256 == hashlib.sha256((archive / name).read_bytes()).hexdigest()
        assert record.output_sha256 == hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert decode_picture((out / name).read_bytes()).sample is not None
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    done = colorize(archive, "-o", out, "--jobs", "2")
    assert (done.returncode, done.stdout) == (0, "0 colorized, 200 done before\n")
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_killed_in_mid_run_and_gone_on_with(tmp_path):
    archive, out = pictures(tmp_path / "in", 120), tmp_path / "out"

    def standing() -> list[str]:
        return [name for name in files(out) if ".part" not in name]

    with subprocess.Popen(command(archive, "-o", out, "--jobs", "2"), env=environment(), stderr=subprocess.DEVNULL) as process:
        until(lambda: len(standing()) >= 10, "no outputs came")
        workers = children(process.pid)
        assert len(workers) >= 3  # one of them is multiprocessing's own
        process.kill()
    assert process.returncode == -signal.SIGKILL
    until(lambda: not any(alive(worker) for worker in workers), "the workers outlived the run")
    left = standing()
    assert 10 <= len(left) < 120
    for name in left:
        decode_picture((out / name).read_bytes())
    (out / "even" / ".edgecolor-0123456789abcdef.part").write_bytes(b"half")  # as a kill at another moment leaves it
    with Manifest(out) as manifest:
        manifest.begin("even/000.png", "killed while it was made again")
    done = colorize(archive, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    summary = events(done)[-1]
    assert summary["finished"] >= len(left) - 3 and summary["finished"] + summary["colorized"] == 120 and summary["failed"] == 0
    assert files(out) == files(archive) and not parts(out)
    assert len(Manifest(out, writing=False)) == 120
    whole = colorize(archive, "-o", tmp_path / "whole")
    assert whole.returncode == 0
    for name in files(out):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_readmes_check_of_the_outputs_goes_by_the_last_line_of_each(tmp_path):
    need("jq", "jq")
    archive, out = pictures(tmp_path / "in", 3), tmp_path / "out"
    assert colorize(archive, "-o", out).returncode == 0
    (archive / "even/000.png").write_bytes((archive / "even/002.png").read_bytes())
    assert colorize(archive, "-o", out, "--update").stdout == "1 colorized, 2 done before\n"
    with (out / MANIFEST_NAME).open("ab") as file:
        file.write(b'{"event": "done", "target"')  # cut off by a power failure
    recipe = re.search(r"```sh\n(jq .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert recipe is not None

    def checked() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", recipe[1]], cwd=out, capture_output=True, text=True, check=False)

    assert (checked().returncode, sorted(checked().stdout.splitlines())) == (0, [f"{name}: OK" for name in files(out)])
    (out / "even/002.png").write_bytes(b"changed")
    assert checked().returncode == 1 and checked().stdout.count("OK") == 2 and "even/002.png: FAILED" in checked().stdout


# Every worker stops for ever just before its first output is published.
STUCK = """
import os, time
_fsync = os.fsync
def stuck(file):
    if ".part" in os.readlink(f"/proc/self/fd/{file}"):
        time.sleep(1000)
    return _fsync(file)
os.fsync = stuck
"""


@pytest.mark.parametrize("single", [True, False])
def test_a_fresh_folder_is_locked_and_swept_like_any_other(tmp_path, single):
    archive, out = pictures(tmp_path / "in", 2), tmp_path / "out"
    given, done = (archive / "even/000.png", out / "000.png") if single else (archive, out / "even/000.png")
    (tmp_path / "stuck").mkdir()
    (tmp_path / "stuck" / "sitecustomize.py").write_text(STUCK)
    stuck = {**os.environ, "PYTHONPATH": f"{tmp_path / 'stuck'}:{ROOT}"}
    with subprocess.Popen(command(given, "-o", out), env=stuck, stderr=subprocess.DEVNULL) as process:
        until(lambda: parts(out), "no output was begun")
        refused = colorize(given, "-o", out)
        workers = children(process.pid)  # none, where one picture alone is worked on by the run itself
        process.kill()
    assert (refused.returncode, refused.stdout) == (1, "") and "another run is writing into this folder" in refused.stderr
    until(lambda: not any(alive(worker) for worker in workers), "the worker outlived the run")
    assert parts(out)
    done.write_bytes(b"as if it had been killed between publishing and writing down")
    again = colorize(given, "-o", out)
    assert again.returncode == 0, again.stderr
    assert not parts(out) and decode_picture(done.read_bytes()).sample is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_ended_run_ends_its_workers_and_leaves_no_parts(tmp_path, number):
    archive, out = pictures(tmp_path / "in", 150), tmp_path / "out"

    def listen() -> None:  # a shell's background jobs, and so perhaps this test, are born deaf to some
        signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(
        command(archive, "-o", out, "--jobs", "2"), env=environment(), stderr=subprocess.PIPE, preexec_fn=listen, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        until(lambda: len(files(out)) >= 5, "no outputs came")
        workers = children(process.pid)
        assert len(workers) >= 3
        if number == signal.SIGHUP:  # a terminal tells all processes of it, and the shell tells them again
            os.killpg(process.pid, number)
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number and "Traceback" not in errors
    until(lambda: not any(alive(worker) for worker in workers), "the workers outlived the run")
    assert not parts(out)
    done = colorize(archive, "-o", out)
    assert done.returncode == 0 and " done before" in done.stdout and files(out) == files(archive)


@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_closes_ends_a_single_file_and_leaves_no_part_unless_nohup_forbids_it(tmp_path, nohup):
    (tmp_path / "a.png").write_bytes(samples.good()["gray.png"])
    (tmp_path / "stuck").mkdir()
    (tmp_path / "stuck" / "sitecustomize.py").write_text(STUCK.replace("1000", "0.5 if os.environ['NOHUP'] else 1000"))

    def listen() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)

    stuck = {**os.environ, "PYTHONPATH": f"{tmp_path / 'stuck'}:{ROOT}", "NOHUP": "1" if nohup else ""}
    with subprocess.Popen(
        command(tmp_path / "a.png", "-o", tmp_path / "out" / "b.png"), env=stuck, stderr=subprocess.PIPE, preexec_fn=listen, text=True
    ) as process:
        until(lambda: parts(tmp_path / "out"), "no output was begun")
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (0 if nohup else 129) and "Traceback" not in errors
    assert files(tmp_path / "out") == (["b.png"] if nohup else [])


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_crash_costs_its_own_file(tmp_path, jobs):
    archive, out = pictures(tmp_path / "in", 12), tmp_path / "out"
    for name in ("crash.jpg", "raise.jpg"):
        (archive / name).write_bytes(samples.good()["gray.jpg"])
    (tmp_path / "trouble").mkdir()
    (tmp_path / "trouble" / "sitecustomize.py").write_text(TROUBLE)
    done = subprocess.run(
        command(archive, "-o", out, "--jobs", jobs), capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'trouble'}:{ROOT}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "12 colorized, 2 failed\n")
    said = sorted(complaints(done))
    assert f"{archive / 'crash.jpg'}: the process that worked on it ended (signal 11, Segmentation fault)" in said[0]
    assert f"{archive / 'raise.jpg'}: an unforeseen error (RuntimeError: a mistake in the program)" in said[1] and len(said) == 2
    assert "Traceback" in done.stderr and "in troubled" in done.stderr
    done = colorize(archive, "-o", out)
    assert (done.returncode, done.stdout) == (0, "2 colorized, 12 done before\n")


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes. Raises OSError where this process may not mount one."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


FULL = """
import errno, os
_fsync = os.fsync
def full(file):
    if "/small/" in os.readlink(f"/proc/self/fd/{file}") and ".part" in os.readlink(f"/proc/self/fd/{file}"):
        used = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(os.environ["SMALL"]) for name in names)
        if used > int(os.environ["SMALL_SIZE"]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return _fsync(file)
os.fsync = full
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_the_run_and_more_room_ends_it(tmp_path, jobs):
    archive, small = pictures(tmp_path / "in", 60), tmp_path / "small"
    room = 150_000
    extra: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(small_disk(small, room))
        except OSError:  # not root: the system's answer is played
            (tmp_path / "sitecustomize.py").write_text(FULL)
            extra = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "SMALL": str(small), "SMALL_SIZE": str(room)}
        done = subprocess.run(
            command(archive, "-o", small / "out", "--jobs", jobs, "--no-space-check"), capture_output=True, text=True,
            timeout=DEADLINE_S, check=False, env={**environment(), **extra},
        )  # fmt: skip
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "the disk is full; " in complaints(done)[-1] and "give the same command again" in complaints(done)[-1]
        assert len(complaints(done)) <= 1 + 2 * jobs, "only what was in hand failed"
        assert "No space left on device" in done.stderr and " not done" in done.stdout
        standing = files(small / "out")
        assert 1 <= len(standing) < 60 and not parts(small / "out")
        for name in standing:
            decode_picture((small / "out" / name).read_bytes())
        shutil.copytree(small / "out", tmp_path / "large")
    done = colorize(archive, "-o", tmp_path / "large")
    assert done.returncode == 0 and files(tmp_path / "large") == files(archive) and " done before" in done.stdout


def test_too_little_room_is_seen_before_the_run(tmp_path, data):
    archive = tmp_path / "in"
    archive.mkdir()
    shutil.copy(data / "gray.jpg", archive / "a.jpg")
    with (archive / "long.mkv").open("wb") as film:
        film.truncate(1 << 43)  # sparse: 9 TB to the planner
    done = colorize(archive, "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the outputs will need about" in done.stderr and "--no-space-check" in done.stderr and not (tmp_path / "out").exists()


def test_a_dry_run_says_all_and_writes_nothing(tmp_path):
    archive, out = pictures(tmp_path / "in", 4), tmp_path / "out"
    (archive / "broken.jpg").write_bytes(b"x")
    done = colorize(archive, "-o", out, "--dry-run", "--format", "jpeg")
    assert done.returncode == 1 and not out.exists()
    assert f"{archive / 'even/000.png'} -> {out / 'even/000.jpg'}" in done.stdout
    assert done.stdout.splitlines()[-1] == "4 to do, 1 failed" and "broken.jpg: not a picture" in done.stderr
    (archive / "broken.jpg").unlink()
    assert colorize(archive / "even", "-o", out).returncode == 0
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    done = colorize(archive / "even", archive / "odd", "-o", out, "--dry-run", "--json")
    assert done.returncode == 0 and {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert Counter(str(e.get("result")) for e in events(done)[:-1]) == {"finished": 2, "planned": 2}
    assert (events(done)[-1]["planned"], events(done)[-1]["finished"]) == (2, 2)


def test_json_tells_each_file_once_and_the_sum_last(tmp_path):
    archive, out = pictures(tmp_path / "in", 3), tmp_path / "out"
    (archive / "colour.png").write_bytes(samples.pillow(samples.color(shape=(90, 120)), "PNG"))
    (archive / "broken.jpg").write_bytes(b"x")
    (archive / "note.txt").write_bytes(b"x")
    done = colorize(archive, "-o", out, "--json", "--jobs", "2")
    told = events(done)
    assert done.returncode == 1
    found = {str(e["source"]): e for e in told if e["event"] == "file"}
    assert len(found) == 5 == len([e for e in told if e["event"] == "file"])
    assert Counter(e["result"] for e in found.values()) == {"colorized": 3, "copied": 1, "failed": 1}
    assert "not a picture" in str(found[str(archive / "broken.jpg")]["error"])
    assert found[str(archive / "colour.png")]["target"] == str(out / "colour.png")
    summary = told[-1]
    assert summary.pop("seconds") > 0
    assert summary == {
        "event": "summary", "colorized": 3, "copied": 1, "finished": 0, "planned": 0, "failed": 1, "left": 0, "others": 1, "stopped": None,
    }  # fmt: skip


def test_changed_sources_and_settings_are_named_and_updated_when_asked(tmp_path):
    archive, out = pictures(tmp_path / "in", 4), tmp_path / "out"
    assert colorize(archive, "-o", out).returncode == 0
    before = {name: (out / name).read_bytes() for name in files(out)}
    (archive / "even/000.png").write_bytes((archive / "odd/deeper/001.png").read_bytes())
    os.utime(archive / "even/002.png")  # touched, not changed
    done = colorize(archive, "-o", out)
    assert (done.returncode, done.stdout) == (1, "0 colorized, 3 done before, 1 failed\n")
    assert "even/000.png: it is not the file, or no longer, that" in complaints(done)[0] and "--update" in complaints(done)[0]
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    done = colorize(archive, "-o", out, "--update")
    assert (done.returncode, done.stdout) == (0, "1 colorized, 3 done before\n")
    assert (out / "even/000.png").read_bytes() == before["odd/deeper/001.png"]
    done = colorize(archive, "-o", out, "--model", "seed")
    assert (done.returncode, done.stdout) == (1, "0 colorized, 4 failed\n") and "another model; --update" in done.stderr
    done = colorize(archive, "-o", out, "--model", "seed", "--update", "--jobs", "2")
    assert (done.returncode, done.stdout) == (0, "4 colorized\n")


@pytest.mark.parametrize("model", ["edgecolor", "edgecolor-tiny"])
def test_the_auto_model_is_that_of_the_run_that_goes_on(tmp_path, model):
    archive, out = pictures(tmp_path / "in", 1), tmp_path / "out"
    assert colorize(archive, "-o", out, "--model", model).returncode == 0
    done = colorize(archive, "-o", out, "--model", "auto")
    assert (done.returncode, done.stdout) == (0, "0 colorized, 1 done before\n")
    assert f"model {model}: what is there was made with it" in done.stderr


def test_a_second_run_into_the_same_folder_at_the_same_time_is_refused(tmp_path):
    archive, out = pictures(tmp_path / "in", 2), tmp_path / "out"
    with Manifest(out) as manifest:
        manifest.begin("even/000.png", "x")
        done = colorize(archive, "-o", out)
        assert (done.returncode, done.stdout) == (1, "") and "another run is writing into this folder" in done.stderr
        assert files(out) == []
    assert colorize(archive, "-o", out).returncode == 0


def test_what_no_worker_can_start_with_ends_the_run(tmp_path):
    archive = pictures(tmp_path / "in", 3)
    done = colorize(archive, "-o", tmp_path / "out", "--jobs", "2", "--delegate", "edgetpu")
    assert done.returncode == 2 and "--jobs" in done.stderr
    done = colorize(archive, "-o", tmp_path / "out", "--delegate", "edgetpu")
    assert done.returncode == 1 and done.stdout == "" and len(complaints(done)) == 1 and "delegate" in complaints(done)[0]
    assert files(tmp_path / "out") == []


def test_a_terminal_shows_the_share_and_the_rest_of_the_time(tmp_path):
    archive = pictures(tmp_path / "in", 30)
    for number in range(3):
        (archive / f"large{number}.png").write_bytes(samples.pillow(samples.gray(shape=(1500, 2000)), "PNG"))
    main, terminal = pty.openpty()
    with subprocess.Popen(
        command(archive, "-o", tmp_path / "out", "--jobs", "2"), stdout=subprocess.PIPE, stderr=terminal, env=environment(), text=True
    ) as process:
        os.close(terminal)
        drawn = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end has closed
            while piece := os.read(main, 4096):
                drawn += piece
        os.close(main)
        assert process.stdout is not None and process.stdout.read() == "33 colorized\n"
    assert b"0/33" in drawn and b"32/33" in drawn and b" left" in drawn


@pytest.mark.parametrize("arguments", [["--jobs", "0"], ["--jobs", "x"], ["--crf", "64"], ["--label", "centre"]])
def test_wrong_usage_is_2(tmp_path, arguments):
    done = colorize(pictures(tmp_path / "in", 1), "-o", tmp_path / "out", *arguments)
    assert done.returncode == 2 and not (tmp_path / "out").exists()


def test_the_command_as_installed_starts_workers(tmp_path):
    program = Path(sys.executable).with_name("edgecolor")
    done = subprocess.run(
        [program, "colorize", pictures(tmp_path / "in", 2), "-o", tmp_path / "out", "--jobs", "2"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "2 colorized\n"), done.stderr


def test_signed_exports(tmp_path):
    c2pa = pytest.importorskip("c2pa")
    certificate, key = signing_certificate(tmp_path / "keys")
    archive, out = pictures(tmp_path / "in", 3), tmp_path / "out"
    done = colorize(archive, "-o", out, "--jobs", "2", "--c2pa-certificate", certificate, "--c2pa-key", key)
    assert (done.returncode, done.stdout) == (0, "3 colorized\n"), done.stderr
    for name in files(out):
        assert c2pa.Reader("image/png", io.BytesIO((out / name).read_bytes())).get_validation_state() == "Valid"
        decode_picture((out / name).read_bytes())
    other = tmp_path / "other"
    done = colorize(archive, "-o", other, "--format", "jpeg", "--c2pa-certificate", certificate, "--c2pa-key", key)
    assert (done.returncode, done.stdout) == (0, "3 colorized\n"), done.stderr
    assert c2pa.Reader("image/jpeg", io.BytesIO((other / files(other)[0]).read_bytes())).get_validation_state() == "Valid"
    done = colorize(archive, "-o", out, "--c2pa-key", key)
    assert done.returncode == 2 and "belong together" in done.stderr
    key.chmod(0o644)
    done = colorize(archive, "-o", tmp_path / "more", "--c2pa-certificate", certificate, "--c2pa-key", key)
    assert done.returncode == 1 and "chmod 600" in done.stderr and not (tmp_path / "more").exists()
