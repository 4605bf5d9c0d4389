"""One run over a plan: hands out jobs, writes the manifest, counts, and stops when the disk is full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from edgecolor.archive.display import Display
from edgecolor.archive.job import Job, Outcome, Settings
from edgecolor.archive.manifest import Manifest
from edgecolor.archive.progress import Progress
from edgecolor.archive.space import check_space, expected_bytes
from edgecolor.archive.workers import Here, Network, Workers
from edgecolor.errors import DiskFullError, EdgeColorError
from edgecolor.plan import VIDEO_SUFFIXES, Candidate, Finished, Plan


@dataclass(frozen=True)
class Options:
    """jobs: worker processes. overwrite, update: see Plan.steps. dry: decide, but do nothing. check_space: before the run.

    scheduler: address of a Dask cluster that works in place of processes of our own; "" for none. part_seconds: it does films of
    more than two such parts in parts.
    """

    jobs: int = 1
    overwrite: bool = False
    update: bool = False
    dry: bool = False
    check_space: bool = True
    scheduler: str = ""
    part_seconds: float = 120.0


class Run:
    """Use once. manifest: None when the output is a single file.

    counts: "colorized", "copied", "finished", "planned" (dry), "failed", "left" (not tried). others: files of other kinds.
    stopped: why it ended early. only: (source, target, result) when a single file was given.
    """

    def __init__(
        self, plan: Plan, settings: Settings, network: Network, options: Options, manifest: Manifest | None, display: Display,
        progress: Progress,
    ) -> None:  # fmt: skip
        self.counts: Counter[str] = Counter()
        self.others = plan.others
        self.stopped: str | None = None
        self.only: tuple[Path, Path, str] | None = None
        self._plan, self._settings, self._network, self._options = plan, settings, network, options
        self._manifest, self._display, self._progress = manifest, display, progress
        self._crashed: set[str] = set()

    def go(self) -> Counter[str]:
        """Do it. Raises what keeps the whole run from working: no model, no runtime, no room (DiskFullError, before)."""
        for failure in self._plan.failures:
            self._fail(None, failure)
        if self._options.check_space and not self._options.dry:
            check_space(self._plan.out.parent if self._plan.to_file else self._plan.out, self._expected())
        if self._manifest is not None and not self._options.dry:
            self._manifest.sweep(self._manifest.unresolved)
        jobs = self._jobs()
        first = next(jobs, None)
        try:
            if first is not None:
                self._work(chain([first], jobs))
        finally:
            if self._manifest is not None and self._crashed:
                self._manifest.sweep(self._crashed)
        self.counts["left"] = self._progress.files - self._progress.done
        return self.counts

    def _work(self, jobs: Iterator[Job]) -> None:
        if self._options.scheduler:
            from edgecolor.archive.cluster import Cluster

            folder = self._plan.out.parent if self._plan.to_file else self._plan.out
            with Cluster(self._options.scheduler, self._network, self._settings, folder, self._options.part_seconds) as cluster:
                self._take(cluster.run(jobs, self._advance))
                self._crashed |= cluster.tried
        elif self._plan.single:
            self._take(Here(self._network, self._settings).run(jobs, self._advance))
        else:
            with Workers(self._options.jobs, self._network, self._settings) as workers:
                self._take(workers.run(jobs, self._advance))

    def _take(self, outcomes: Iterator[Outcome]) -> None:
        for outcome in outcomes:
            self._settle(outcome.job, outcome.result)
            self._progress.end(outcome)
            if outcome.crashed:
                self._crashed.add(outcome.job.key)
            self._write_down(outcome)
            if outcome.disk_full:
                self._stop()
            self._display.end(outcome)

    def _jobs(self) -> Iterator[Job]:
        """The jobs, one by one when they are asked for; what is none is settled on the way."""
        options = self._options
        for candidate, step in self._plan.steps(self._settings, self._manifest, overwrite=options.overwrite, update=options.update):
            if self.stopped:
                return
            if isinstance(step, EdgeColorError):
                self._skip(candidate)
                self._fail(candidate, step)
            elif isinstance(step, Finished) or options.dry:
                result = "finished" if isinstance(step, Finished) else "planned"
                self._settle(step, result)
                self._skip(candidate)
                self._display.settled(step.source, step.target, result)
            else:
                try:
                    if self._manifest is not None:  # an empty one is falsy
                        self._manifest.begin(step.key, str(step.source.absolute()))
                except DiskFullError as error:
                    self._stop(error)
                    return
                self._progress.begin(step)
                self._display.begin(step)
                yield step

    def _write_down(self, outcome: Outcome) -> None:
        if self._manifest is None or outcome.crashed:  # after a crash nobody knows what stands there: it stays unresolved
            return
        try:
            if outcome.record:
                self._manifest.done(outcome.record)
            else:
                self._manifest.failed(outcome.job.key, str(outcome.job.source.absolute()), outcome.error)
        except DiskFullError as error:  # what is not written down is done again
            self._stop(error)

    def _advance(self, job: Job, share: float) -> None:
        self._progress.advance(job, share)
        self._display.tick()

    def _settle(self, step: Job | Finished, result: str) -> None:
        self.counts[result] += 1
        if self._plan.single:
            self.only = step.source, step.target, result

    def _skip(self, candidate: Candidate) -> None:
        self._progress.skip(is_video(candidate), candidate.size)

    def _fail(self, candidate: Candidate | None, error: EdgeColorError) -> None:
        self.counts["failed"] += 1
        self._display.failed(candidate.source if candidate else None, str(error))

    def _stop(self, error: DiskFullError | None = None) -> None:
        """error: of the manifest; an output's is told with its file."""
        self.stopped = "the disk is full"
        if error is not None:
            self._display.failed(None, str(error))

    def _expected(self) -> int:
        known = self._manifest.record_of_source if self._manifest is not None and not self._options.overwrite else lambda _: None
        left = ((c.source, c.size) for c in self._plan.candidates if known(c.name) is None)
        return expected_bytes(left, self._settings)


def is_video(candidate: Candidate) -> bool:
    """By its name; what it is in truth is known when it is opened."""
    return candidate.source.suffix.lower() in VIDEO_SUFFIXES
