"""What a person, or a program, sees of a run: a bar on a terminal, a line a minute elsewhere, JSON lines when asked for."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from edgecolor.archive.job import Job, Outcome
from edgecolor.archive.progress import Progress, spoken

_BAR_WIDTH = 30
_LINE_S, _JSON_S = 60.0, 5.0  # between lines of progress
_DRAW_S = 0.1


class Display:
    """Says what happens. json: events on stdout, one JSON object a line (see README). quiet: failures only."""

    def __init__(self, progress: Progress, *, json_lines: bool = False, quiet: bool = False) -> None:
        self._progress, self._json, self._quiet = progress, json_lines, quiet
        self._bar = not quiet and not json_lines and sys.stderr.isatty() and progress.files > 1
        self._said = progress.seconds

    def begin(self, job: Job) -> None:
        """A job is taken up."""
        if self._bar:
            self._draw(job)

    def tick(self) -> None:
        """Something moved; most of the time nothing is said."""
        since = self._progress.seconds - self._said
        if self._bar and since >= _DRAW_S:
            self._draw()
        elif self._json and since >= _JSON_S:
            self._said = self._progress.seconds
            self._event("progress", **self._state())
        elif not (self._bar or self._json or self._quiet) and since >= _LINE_S:
            self._said = self._progress.seconds
            print(f"edgecolor colorize: {self._line()}", file=sys.stderr, flush=True)

    def end(self, outcome: Outcome) -> None:
        """A job has ended."""
        job = outcome.job
        if outcome.error:
            self.failed(job.source, outcome.error)
        elif self._json:
            more = {"warnings": list(outcome.warnings)} if outcome.warnings else {}
            facts = {"source": str(job.source), "target": str(job.target), "result": outcome.result, "seconds": round(outcome.seconds, 3)}
            self._event("file", **facts, **more)
        if outcome.warnings and not self._quiet:
            if self._bar:
                _clear_line()
            for warning in outcome.warnings:
                report(f"{job.source}: warning: {warning}")
        if self._bar:
            self._draw()
        self.tick()

    def failed(self, source: Path | None, message: str) -> None:
        """A file, or a folder (None), could not be done."""
        if self._bar:
            _clear_line()
        report(message)
        if self._json:
            self._event("file", source=str(source) if source else None, target=None, result="failed", error=message)

    def settled(self, source: Path, target: Path, result: str) -> None:
        """A file needed no work, or would be worked on in a run that is not dry."""
        if self._json:
            self._event("file", source=str(source), target=str(target), result=result, seconds=0.0)
        elif result == "planned" and not self._quiet:
            print(f"{printable(str(source))} -> {printable(str(target))}")
        self.tick()

    def summary(self, counts: Counter[str], others: int, stopped: str | None) -> None:
        """The last words."""
        if self._bar:
            _clear_line()
        if self._json:
            numbers = {kind: counts[kind] for kind in ("colorized", "copied", "finished", "planned", "failed", "left")}
            self._event("summary", **numbers, others=others, stopped=stopped, seconds=round(self._progress.seconds, 3))
        elif not self._quiet:
            print(_summary(counts, others))

    def _state(self) -> dict[str, Any]:
        left = self._progress.remaining()
        return {
            "done": self._progress.done,
            "files": self._progress.files,
            "remaining_s": None if left is None else round(left, 1),
            "running": [
                {"source": str(job.source), "share": round(share, 4), "remaining_s": None if eta is None else round(eta, 1)}
                for job, share, eta in self._progress.running
            ],
        }

    def _line(self) -> str:
        progress = self._progress
        left = progress.remaining()
        parts = [f"{progress.done}/{progress.files}"]
        if left is not None:
            parts.append(f"{spoken(left)} left")
        for job, share, eta in progress.running:
            if share > 0:  # videos; a picture does not take long enough
                parts.append(f"{printable(job.source.name)} {share:.0%}" + (f", {spoken(eta)} left" if eta is not None else ""))
        return "; ".join(parts)

    def _draw(self, job: Job | None = None) -> None:
        self._said = self._progress.seconds
        filled = _BAR_WIDTH * self._progress.done // max(1, self._progress.files)
        text = f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {self._line()}"
        if job is not None and len(self._progress.running) == 1:
            text += f" {printable(job.source.name)[:40]}"
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\x1b[K{text[: width - 1] if width else text}", end="", file=sys.stderr, flush=True)

    def _event(self, event: str, **values: Any) -> None:
        write_json({"event": event, **values})


def write_json(entry: dict[str, Any], file: TextIO | None = None) -> None:
    """One object on a line of its own, flushed: who reads it may be waiting."""
    print(json.dumps(entry), file=file or sys.stdout, flush=True)


def report(message: str) -> None:
    """A failure, on stderr."""
    print(f"edgecolor colorize: {printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    """Text in which what a terminal would act on, or could not show, is escaped: file names may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _summary(counts: Counter[str], others: int) -> str:
    parts = [f"{counts['planned']} to do"] if counts["planned"] else [f"{counts['colorized']} colorized"]
    if counts["copied"]:
        parts.append(f"{counts['copied']} already in colour (copied)")
    if counts["finished"]:
        parts.append(f"{counts['finished']} done before")
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    if counts["left"]:
        parts.append(f"{counts['left']} not done")
    if others:
        parts.append(f"{others} other file{'s' * (others > 1)} skipped")
    return ", ".join(parts)


def _clear_line() -> None:
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
