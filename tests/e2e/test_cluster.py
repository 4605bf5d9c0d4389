"""An archive by a real Dask cluster on loopback: a scheduler and two worker processes, of which one is killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from edgecolor.archive.manifest import Manifest
from tests.certificates import own_certificate
from tests.conftest import ROOT
from tests.e2e.test_archive import parts, pictures, until
from tests.e2e.test_colorize import colorize, command, environment, files
from tests.videos import gray_frames, times, write

DEADLINE_S = 120
pytest.importorskip("distributed", reason="Dask is not installed; pip install '.[cluster]'")
# Counts what each worker does: one line in a file for each time that work on a job begins.
COUNTED = """
import os
from edgecolor.archive import work
_perform = getattr(work.Worker, "uncounted", work.Worker.perform)  # Dask loads this module twice
work.Worker.uncounted = _perform
def perform(self, job, progress=None, parts=()):
    with open(os.environ["STARTED"], "a") as file:
        file.write(f"{os.getpid()} {job.key} {len(parts)}\\n")
    return _perform(self, job, progress, parts)
work.Worker.perform = perform
"""


class Dask:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path] | None = None) -> None:
        self.folder, self.workers = folder, []
        self.tls = [] if certificate is None else ["--tls-ca-file", str(certificate[0]), "--tls-cert", str(certificate[0]),
                                                   "--tls-key", str(certificate[1])]  # fmt: skip
        self.started = folder / "started.txt"
        (folder / "counted.py").write_text(COUNTED)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"{'tls' if certificate else 'tcp'}://127.0.0.1:{free.getsockname()[1]}"
        host = ["--protocol", "tls", "--host", "127.0.0.1"] if certificate else ["--host", "127.0.0.1"]
        self.scheduler = self._process("scheduler", *host, "--port", self.address.rpartition(":")[2], "--no-dashboard", *self.tls)

    def _process(self, *arguments: str) -> subprocess.Popen[bytes]:
        variables = {"PYTHONPATH": f"{self.folder}:{ROOT}", "STARTED": str(self.started)}
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], env={**os.environ, **variables}, cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, count: int) -> None:
        for _ in range(count):
            options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--preload", "counted.py"]
            local = self.folder / f"worker{len(self.workers)}"
            self.workers.append(self._process("worker", self.address, *options, "--local-directory", str(local), *self.tls))

    def wait(self, count: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=DEADLINE_S, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=DEADLINE_S)

    def begun(self) -> list[tuple[int, str, int]]:
        if not self.started.exists():
            return []
        lines = [line.split(" ") for line in self.started.read_text().splitlines()]
        return [(int(process), key, int(joined)) for process, key, joined in lines]


    def kill(self) -> None:
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    (tmp_path / "dask").mkdir()
    cluster = Dask(tmp_path / "dask")
    yield cluster
    cluster.kill()


def archive_of(folder: Path) -> Path:
    archive = pictures(folder / "in", 60)
    for number in range(4):
        write(archive / f"film{number}.mkv", gray_frames(60, (96, 128)), codec="libx264", time_base=Fraction(1, 25), options={"g": "10"})
    (archive / "broken.jpg").write_bytes(b"x")
    return archive


def test_a_killed_worker_costs_nothing(tmp_path: Path, dask: Dask) -> None:
    archive, out = archive_of(tmp_path), tmp_path / "out"
    dask.start(2)
    dask.wait(2)
    # Without the number of threads at its end: that is the cluster's affair.
    wanted = command(archive, "-o", out, "--json", "--scheduler", dask.address, "--part-seconds", "0.7")[:-2]
    with subprocess.Popen(wanted, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: len({worker for worker, _, _ in dask.begun()}) == 2 and len(files(out)) >= 10, "the workers do not begin")
        victim = dask.workers[0]
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        told, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and "Traceback" not in errors, errors
    events = [json.loads(line) for line in told.splitlines()]
    of_file = [event for event in events if event["event"] == "file"]
    assert len(of_file) == 65 == len({event["source"] for event in of_file}), "every file once"
    assert (events[-1]["colorized"], events[-1]["failed"], events[-1]["left"]) == (64, 1, 0)
    assert "broken.jpg: not a picture" in errors and errors.count("broken.jpg") == 1
    assert files(out) == [name for name in files(archive) if name != "broken.jpg"] and not parts(out)
    survivors = [worker for worker, _, _ in dask.begun() if worker == dask.workers[1].pid]
    assert len(survivors) >= 16 and len(dask.begun()) >= 64
    manifest = Manifest(out, writing=False)
    assert len(manifest) == 64 and not manifest.unresolved
    for name in files(out):
        record = manifest.record(name)
        assert record is not None and record.output_sha256 == hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert record.source == str(archive / name)
    for number in range(4):
        assert times(out / f"film{number}.mkv") == times(archive / f"film{number}.mkv")
        assert all(key != f"film{number}.mkv" or parts for _, key, parts in dask.begun()), "in parts, which are joined"
    again = colorize(archive, "-o", out)
    assert "0 colorized, 64 done before, 1 failed" in again.stdout, "the same manifest, with a cluster or without"
    (archive / "even/000.png").write_bytes((archive / "even/002.png").read_bytes())
    write(archive / "film0.mkv", gray_frames(70, (96, 128)), codec="libx264", time_base=Fraction(1, 25), options={"g": "10"})
    before, begun = {name: (out / name).read_bytes() for name in files(out)}, len(dask.begun())
    refused = colorize(archive, "-o", out, "--scheduler", dask.address, "--part-seconds", "0.7")
    assert refused.returncode == 1 and refused.stderr.count("--update makes that again") == 2, refused.stderr
    assert before == {name: (out / name).read_bytes() for name in files(out)}
    assert sorted(dask.begun()[begun:]) == [(dask.workers[1].pid, key, 0) for key in ("even/000.png", "film0.mkv")], "and not in parts"


def test_what_no_cluster_can_do_is_said_before_any_work(tmp_path: Path, dask: Dask) -> None:
    archive = pictures(tmp_path / "in", 2)
    done = colorize(archive, "-o", tmp_path / "out", "--scheduler", dask.address)
    assert done.returncode == 1 and "has no workers; start some" in done.stderr and files(tmp_path / "out") == []
    done = colorize(archive, "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 1 and "tcp://127.0.0.1:1: no scheduler answers there" in done.stderr and files(tmp_path / "out") == []


def test_a_cluster_behind_certificates(tmp_path: Path) -> None:
    (tmp_path / "dask").mkdir()
    certificate, key = own_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    stranger, its_key = own_certificate(tmp_path / "other")
    archive, out = pictures(tmp_path / "in", 6), tmp_path / "out"

    ended: list[subprocess.CompletedProcess[str]] = []

    def run(authority: Path | None, own: Path, private: Path) -> subprocess.CompletedProcess[str]:
        names = {"CA_FILE": authority, "CLIENT__CERT": own, "CLIENT__KEY": private} if authority else {}
        variables = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(path) for name, path in names.items()}
        wanted = command(archive, "-o", out, "--scheduler", dask.address)[:-2]
        return subprocess.run(wanted, env={**environment(), **variables}, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def served() -> bool:
        ended.append(run(certificate, certificate, key))
        return "has no workers" not in ended[-1].stderr

    dask = Dask(tmp_path / "dask", (certificate, key))
    try:
        dask.start(1)
        none = run(None, certificate, key)
        assert none.returncode == 2 and "names no certificates" in none.stderr, none.stderr
        wrong = run(certificate, key, certificate)
        assert wrong.returncode == 2 and "can not be used" in wrong.stderr, wrong.stderr
        for authority in (certificate, stranger):  # who calls is a stranger, then the scheduler too is one to it
            refused = run(authority, stranger, its_key)
            assert refused.returncode == 1 and "no scheduler answers there" in refused.stderr, refused.stderr
            assert "Traceback" not in refused.stderr
        assert not out.exists() or files(out) == []
        until(served, "the worker does not come")
    finally:
        dask.kill()
    assert ended[-1].returncode == 0 and files(out) == files(archive), ended[-1].stderr


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://192.0.2.7:8786", "nothing is encrypted"), ("192.0.2.7:8786", "is no scheduler's address"),
        ("tcp://127.0.0.1", "is no scheduler's address"), ("ssh://127.0.0.1:22", "is no scheduler's address"),
        ("tcp://[::1", "is no scheduler's address"),
    ],
)  # fmt: skip
def test_addresses(tmp_path: Path, address: str, message: str) -> None:
    done = colorize(pictures(tmp_path / "in", 1), "-o", tmp_path / "out", "--scheduler", address)
    assert done.returncode == 2 and message in done.stderr and not (tmp_path / "out").exists()
