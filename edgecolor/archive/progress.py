"""How far a run is, and when it will be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from edgecolor.archive.job import VIDEO, Job, Outcome

_FEWEST_S = 1.0  # of work, before a rate is worth anything


@dataclass
class _Work:
    """Bytes and worker-seconds of one kind of file."""

    done: int = 0
    seconds: float = 0.0


class Progress:
    """Counts files and bytes. Videos and pictures go at different rates in bytes a second, and are reckoned apart.

    files: how many there are. videos, pictures: their bytes. jobs: files at a time. clock: seconds.
    """

    def __init__(self, files: int, videos: int, pictures: int, jobs: int = 1, clock: Callable[[], float] = monotonic) -> None:
        self.files, self.done = files, 0
        self.started = clock()
        self._left = {True: videos, False: pictures}
        self._work = {True: _Work(), False: _Work()}
        self._jobs, self._clock = jobs, clock
        self._running: dict[str, tuple[Job, float, float]] = {}  # job, since, share

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self.started

    @property
    def running(self) -> list[tuple[Job, float, float | None]]:
        """Jobs in hand, the oldest first: (job, share done 0..1, seconds left or None)."""
        now = self._clock()
        return [
            (job, share, (now - since) / share * (1 - share) if share > 0 and now - since >= _FEWEST_S else None)
            for job, since, share in self._running.values()
        ]

    def begin(self, job: Job) -> None:
        """A job has been handed out."""
        self._running[job.key] = (job, self._clock(), 0.0)

    def advance(self, job: Job, share: float) -> None:
        """So much of a job is done, 0..1."""
        if job.key in self._running:
            self._running[job.key] = (job, self._running[job.key][1], share)

    def end(self, outcome: Outcome) -> None:
        """A job is done, one way or another."""
        kind = outcome.job.format == VIDEO
        self._running.pop(outcome.job.key, None)
        self.done += 1
        self._left[kind] -= outcome.job.size
        if outcome.result != "finished":
            self._work[kind].done += outcome.job.size
            self._work[kind].seconds += outcome.seconds

    def skip(self, video: bool, size: int) -> None:
        """A file of so many bytes needs no work, or can not be worked on."""
        self.done += 1
        self._left[video] -= size

    def remaining(self) -> float | None:
        """Seconds until all is done, None when it is too early to say."""
        work, left = {k: _Work(w.done, w.seconds) for k, w in self._work.items()}, dict(self._left)
        now = self._clock()
        for job, since, share in self._running.values():
            kind = job.format == VIDEO
            left[kind] -= int(job.size * share)
            if share > 0:
                work[kind].done += int(job.size * share)
                work[kind].seconds += now - since
        rates = {k: w.done / w.seconds for k, w in work.items() if w.done and w.seconds >= _FEWEST_S}
        if not rates:
            return None
        slowest = min(rates.values())
        return sum(max(0, size) / rates.get(kind, slowest) for kind, size in left.items()) / self._jobs


def spoken(seconds: float) -> str:
    """A time span as people say it: "40 s", "12 min", "3 h 5 min", "4 d 2 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
