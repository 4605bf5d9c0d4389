"""Worker processes, each with its own network. A crash of one costs the file that it had, and a new one takes its place."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from types import TracebackType
from typing import Self

from edgecolor.archive.job import Job, Outcome, Settings
from edgecolor.archive.work import Worker, reason
from edgecolor.errors import EdgeColorError, WorkerError

_REPORT_S = 0.25
_PATIENCE_S = 10.0
Advance = Callable[[Job, float], None]  # a job, and the share of it that is done, 0..1


@dataclass(frozen=True)
class Network:
    """How a process makes its colorizer; see edgecolor.colorizer.Colorizer."""

    model: str = "edgecolor"
    runtime: str | None = None
    threads: int | None = None
    delegate: str | None = None


class Here:
    """This very process in place of workers: for a single file, whose crash costs nothing else. See Workers."""

    def __init__(self, network: Network, settings: Settings) -> None:
        from edgecolor.colorizer import Colorizer

        self._worker = Worker(settings, Colorizer(network.model, network.runtime, network.threads, network.delegate))

    def run(self, jobs: Iterator[Job], advance: Advance) -> Iterator[Outcome]:
        """Outcomes, one by one."""
        for job in jobs:

            def progress(done: float, whole: float, job: Job = job) -> None:
                advance(job, min(1.0, done / whole) if whole > 0 else 0.0)

            yield self._worker.perform(job, progress)


class _Process:
    def __init__(self, network: Network, settings: Settings) -> None:
        # Spawned, not forked: the libraries' threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, network, settings), daemon=True)
        self.process.start()
        theirs.close()  # the end of the process is then the end of the connection
        self.job: Job | None = None
        self.ready = False
        self.since = 0.0

    def give(self, job: Job) -> None:
        self.job, self.since = job, monotonic()
        with contextlib.suppress(OSError):  # it has died; the connection's end says so in its turn
            self.connection.send(job)


class Workers:
    """Up to ``count`` processes. Use as a context: leaving it ends them, also in the middle of their files."""

    def __init__(self, count: int, network: Network, settings: Settings) -> None:
        self._count, self._network, self._settings = count, network, settings
        self._workers: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            if worker.job is not None:
                worker.process.terminate()  # unwinds, so that temporary files are removed
            worker.connection.close()
        end = monotonic() + _PATIENCE_S
        for worker in self._workers:
            worker.process.join(max(0.0, end - monotonic()))
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()

    def run(self, jobs: Iterator[Job], advance: Advance) -> Iterator[Outcome]:
        """Outcomes in the order in which they come. A job is taken from ``jobs`` only when a worker is free for it.

        Raises what the making of a colorizer raises, and WorkerError when a process ends before it has made one.
        """
        more = True
        while True:
            while more and (idle := self._idle()):
                job = next(jobs, None)
                if job is None:
                    more = False
                else:
                    idle().give(job)
            busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                if outcome := self._hear(busy[connection], advance):
                    yield outcome

    def _idle(self) -> Callable[[], _Process] | None:
        """How to get a worker without a job; the process is started only when there is one for it."""
        for worker in self._workers:
            if worker.job is None:
                return lambda: worker
        return self._start if len(self._workers) < self._count else None

    def _start(self) -> _Process:
        self._workers.append(worker := _Process(self._network, self._settings))
        return worker

    def _hear(self, worker: _Process, advance: Advance) -> Outcome | None:
        job = worker.job
        assert job is not None
        try:
            said = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker, job)
        if isinstance(said, EdgeColorError):
            raise said
        if isinstance(said, Outcome):
            worker.job = None
            return said
        if said is None:
            worker.ready = True
        else:
            advance(job, said)
        return None

    def _bury(self, worker: _Process, job: Job) -> Outcome:
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        if not worker.ready:
            raise WorkerError(f"a worker process ended before it could begin ({_ending(code)}); `edgecolor doctor` may say why")
        advice = "; there may be too little memory, try fewer --jobs" if code == -signal.SIGKILL else ""
        error = WorkerError(f"the process that worked on it ended ({_ending(code)}){advice}")
        return Outcome(job, "failed", monotonic() - worker.since, error=reason(job.source, error), crashed=True)


def _ending(code: int) -> str:
    return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"


def _work(connection: Connection, network: Network, settings: Settings) -> None:
    """A worker process: says None when ready, then shares of progress and an Outcome for each Job; an error when unable."""
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl+C, and a terminal that closes, reach all processes; the first one decides
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import cv2

    from edgecolor.colorizer import Colorizer

    try:
        if network.threads is not None:
            cv2.setNumThreads(network.threads)
        worker = Worker(settings, Colorizer(network.model, network.runtime, network.threads, network.delegate))
    except EdgeColorError as error:
        connection.send(error)
        return
    connection.send(None)
    told = 0.0

    def progress(done: float, whole: float) -> None:
        nonlocal told
        if monotonic() - told >= _REPORT_S:
            told = monotonic()
            connection.send(min(1.0, done / whole) if whole > 0 else 0.0)

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the end of the run
        while True:
            connection.send(worker.perform(connection.recv(), progress))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # nobody is left to write down what is done; the next run sweeps up
