"""A thread that does work in order, a little behind: encoding beside guessing."""

from __future__ import annotations

from collections.abc import Callable
from queue import Full, Queue
from threading import Thread
from typing import Any

_SLICE_S = 0.5


class Behind:
    """Runs what it is given, one after the other. What a job raises is raised by the next call; later jobs are then dropped.

    waiting: jobs that may be left to do; each may hold a picture.
    """

    def __init__(self, waiting: int = 2) -> None:
        self._jobs: Queue[Callable[[], Any] | None] = Queue(waiting)
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="edgecolor-encode", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._failure is None:
                try:
                    job()
                except BaseException as error:  # noqa: BLE001 (it is raised by whoever waits for it)
                    self._failure = error

    def do(self, job: Callable[[], Any]) -> None:
        """Have it done after all that was asked for before. Waits while too much is left to do."""
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                self._jobs.put(job, timeout=_SLICE_S)
            except Full:
                continue
            return

    def drop(self) -> None:
        """Wait for the job that runs now, and do none of the others."""
        if self._failure is None:
            self._failure = RuntimeError("dropped")
        self._jobs.put(None)
        self._thread.join()

    def finish(self) -> None:
        """Wait until all is done."""
        self._jobs.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure
