"""One run over one video, or over one part of it: read, look ahead, guess, smooth, lift, write; in bounded memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from edgecolor.colorizer import Colorizer
from edgecolor.errors import VideoError
from edgecolor.frame import Frame, Plane
from edgecolor.label import burn
from edgecolor.sources.planes import matrix_of, range_of
from edgecolor.videos.behind import Behind
from edgecolor.videos.encoding import Encoding, encoding_of
from edgecolor.videos.forms import Form, form_of, luma_of, refill
from edgecolor.videos.guessing import Guesser, chroma_of
from edgecolor.videos.motion import Float, Motion, Place
from edgecolor.videos.muxers import muxer_for
from edgecolor.videos.options import VideoOptions, VideoReport
from edgecolor.videos.output import Growing, output_error
from edgecolor.videos.parts import PART_MUXER, Span
from edgecolor.videos.reading import Reader
from edgecolor.videos.smoothing import Smoothing, Step
from edgecolor.videos.verdicts import Verdicts
from edgecolor.videos.writing import Writer, display_matrix

Progress = Callable[[float, float], None]

AHEAD_S, _MOST_AHEAD = 0.5, 40
_BLOCK = 6  # pictures for which one look at the future is enough
_HELD_BYTES = 24 << 20  # pictures that wait for their future; large ones see less of it
_ENCODED_BYTES, _MOST_ENCODED = 6 << 20, 8  # pictures that wait for the encoder: blocks of them are done at once
_MOST_ASIDE = 100  # packets of other streams that wait for a picture, once the file has begun
_GUESS_NICENESS = 10  # all threads wait for the encoder's: those that guess, which has time, give way to them
_RUN_IN_S = 2.0  # before a part, so that its first colours are those of the part before it
# At low rates, or where few are asked for, a guess comes before its turn: what is new has no colours until then, and only half a second
# of the future is seen.
_GUESS_S = 0.25
_UNSURE = 0.4  # and where so little of a picture was found again
_MISSING_S, _MISSING_FRAMES = 0.06, 1.5  # less is left to roundings


class _Held(NamedTuple):
    """A picture that waits for its future."""

    picture: Any
    step: Step
    scene: int


class Job:
    """One run over one file, or over one part of it. ``run`` raises as ``engine.colorize_video`` does."""

    def __init__(
        self, source: Path, target: Path, colorizer: Colorizer, options: VideoOptions, progress: Progress | None, tool: str,
        span: Span | None = None,
    ) -> None:  # fmt: skip
        self.span, self.over = span, False
        self.source, self.target, self.colorizer, self.options, self.tool = source, target, colorizer, options, tool
        self.progress = progress or (lambda done, total: None)
        self.held: deque[_Held] = deque()
        self.waiting: deque[_Held] = deque()  # those of them whose place in time is not known yet
        self.asked: deque[tuple[Step, Future[Float]]] = deque()
        self.all_seen = False
        self.verdicts = Verdicts()
        self.scenes = {"gray": 0, "color": 0}
        self.frames = 0
        self.interlaced = self.late_fields = False
        self.encoding: Encoding | None = None
        self._before: tuple[int, str] | None = None
        self._start = self._end = 0.0
        self._fresh = True  # the smoothing has no past that belongs to the next step

    def run(self, temporary: Path) -> VideoReport:
        """Write the temporary file."""
        with ExitStack() as stack:
            # Planes of video are small: handing them out to OpenCV's threads takes longer than the work,
            # and the other cores encode.
            stack.callback(cv2.setNumThreads, cv2.getNumThreads())
            cv2.setNumThreads(1)
            self.reader = reader = Reader(self.source, deinterlace=self.options.deinterlace)
            stack.callback(reader.close)
            self.aside: list[Any] = []
            if self.span is not None and self.span.start is not None:
                reader.begin_at(self.span.start - round(_RUN_IN_S / reader.time_base))
            pictures = reader.pictures(None if self.span else self._set_aside)
            first = next(pictures)
            self._prepare(first)
            file = stack.enter_context(Growing(temporary, "xb+"))
            self.writer = writer = Writer(file, self.target, reader, tool=self.tool, leave_out=self.options.leave_out,
                                          muxer=PART_MUXER if self.span else None)
            stack.callback(writer.abandon)
            self.hand = ThreadPoolExecutor(1, "edgecolor-guess", _give_way)  # guesses are made one after the other, beside all else
            stack.callback(self.hand.shutdown, cancel_futures=True)
            self.behind = Behind(self.encoded)
            stack.callback(self.behind.drop)
            try:
                for picture in _chain(first, pictures):
                    self._see(picture)
                    if self._ripe():
                        for _ in range(self.block):
                            self._write()
                    self._pass_on()
                    if self.over:
                        break
                self._place(self.motion.rest())
                self.all_seen = True
                while self.held and not self.over:
                    self._write()
                self._pass_on()
                self.behind.finish()
                writer.finish()
                if file.failure is not None:
                    raise file.failure
            except OSError as error:
                if file.failure is not None:
                    raise output_error(self.target, file.failure) from error
                raise
            return self._report()  # before the reader is closed: PyAV's streams are not to be asked afterwards

    def _prepare(self, first: Any) -> None:
        form = form_of(first.format.name)
        assert form is not None
        self.form: Form = form
        self._start = float(first.pts * self.reader.time_base)
        self.quarters = round(first.rotation / 90) % 4
        self.turned = display_matrix(first)
        self.guesser = Guesser(self.colorizer, self.quarters)
        height, width = self.colorizer.network.size
        grid = (width // 4, height // 4) if self.quarters % 2 else (height // 4, width // 4)
        self.motion = Motion(grid)
        self.scene = -1
        self.since_guess = 0
        self.guessed_at = 0.0
        size = sum(plane.buffer_size for plane in first.planes)
        seldom = min(self.options.every, ceil(_GUESS_S * self.reader.rate))
        self.most_ahead = max(seldom + 2, min(_MOST_AHEAD, _HELD_BYTES // size))
        self.block = max(1, min(_BLOCK, self.most_ahead // 3))
        self.encoded = max(2, min(_MOST_ENCODED, _ENCODED_BYTES // size))
        self.smoothing = Smoothing(self.options.smoothing, self.block)

    def _see(self, picture: Any) -> None:
        seconds = float(picture.pts * self.reader.time_base)
        step = Step(seconds, self.guesser.guide(picture))
        self.since_guess += 1
        due = self.since_guess >= self.options.every or seconds - self.guessed_at >= _GUESS_S
        places = self.motion.push(step.guide, due=due)
        if places and places[-1].link is None:
            self.scene += 1
        if picture.interlaced_frame and not self.interlaced:
            self.interlaced = self.encoding is None
            self.late_fields = self.encoding is not None
        if not self.options.force:
            self.verdicts.see(picture, seconds, self.scene)
        self.held.append(_Held(picture, step, self.scene))
        self.waiting.append(self.held[-1])
        self._place(places, due=due)
        self._end = seconds + float((picture.duration or 0) * self.reader.time_base)

    def _place(self, places: list[Place], *, due: bool = False) -> None:
        """Give places to those that waited longest; guess for the newest when it is due, and wherever motion does not tell enough."""
        for place in places:
            picture, step, _ = held = self.waiting.popleft()
            step.place = place
            unsure = place.link is None or (place.share == 1 and float(place.link.sure_back.mean()) < _UNSURE)
            if (unsure or (due and held is self.held[-1])) and self.verdicts.newest() != "color":
                self._ask(picture, step)
                self.since_guess, self.guessed_at = 0, step.seconds

    def _ask(self, picture: Any, step: Step) -> None:
        self.asked.append((step, self.hand.submit(self.guesser.grid, step.guide, picture)))

    def _receive(self, but: int = 0) -> None:
        """Take the guesses that were asked for, but so many of the newest."""
        while len(self.asked) > but:
            step, guess = self.asked.popleft()
            step.grid = guess.result()

    def _ripe(self) -> bool:
        """Whether enough is seen of the future of the next block of pictures."""
        if len(self.held) - len(self.waiting) <= self.block:
            return False
        return self.held[-1].step.seconds - self.held[self.block - 1].step.seconds >= AHEAD_S or len(self.held) > self.most_ahead

    def _write(self) -> None:
        picture, step, scene = self.held[0]
        verdict = "gray" if self.options.force else self.verdicts.at(step.seconds, scene)
        if self.span is not None and self.span.end is not None and picture.pts >= self.span.end:
            self.over = True
            return
        if self._before != (scene, verdict):
            self.scenes[verdict] += 1
            self._fresh = True
        self._before = scene, verdict
        if self.span is not None and self.span.start is not None and picture.pts < self.span.start:
            if verdict == "gray":
                self._grid(picture, step)  # the smoothing remembers it
            self.held.popleft()
            return
        if self.encoding is None:
            self._begin(picture)
        assert self.encoding is not None
        result = self._coloured(picture, step) if verdict == "gray" else refill(picture, self.encoding.form, None)
        self.held.popleft()
        self.behind.do(partial(self.writer.encode, result))
        self.frames += 1
        self.progress(step.seconds - self._start, self.reader.seconds)

    def _grid(self, picture: Any, step: Step) -> Float:
        steps = [held.step for held in self.held]
        newest = self.asked[-1][0] if self.asked else None
        if newest in steps[self.block + 1 :] and not self.all_seen:
            self._receive(but=1)  # that one is being made beside this
            del steps[steps.index(newest) :]
        else:
            self._receive()
        if step.grid is None and self._fresh:
            self._ask(picture, step)
            self._receive()
        if self._fresh and step.place is not None:
            steps[0] = Step(step.seconds, step.guide, Place(None, step.place.share), step.grid)
        self._fresh = False
        return self.smoothing(steps)

    def _coloured(self, picture: Any, step: Step) -> Any:
        assert self.encoding is not None
        form = self.encoding.form
        chroma = chroma_of(self._grid(picture, step), step.guide, picture, form, fields=self.interlaced and bool(picture.interlaced_frame))
        if self.options.label == "off":
            return refill(picture, form, chroma)
        luma, chroma = self._labelled(luma_of(picture), chroma, picture)
        return refill(picture, form, chroma, luma)

    def _labelled(self, luma: Plane, chroma: tuple[Plane, Plane], picture: Any) -> tuple[Plane, tuple[Plane, Plane]]:
        shift = 0 if self.form.depth == 8 else 16 - self.form.depth
        shown = np.ascontiguousarray(upright(luma, self.turned))
        frame = Frame(shown << shift, color_range=range_of(picture), matrix=matrix_of(picture), origin="guess")
        label: Any = self.options.label
        burnt = np.empty_like(luma)
        upright(burnt, self.turned)[:] = burn(frame, label).y >> shift
        rows, columns = np.nonzero(burnt != luma)
        if rows.size:
            height, width = chroma[0].shape
            down, across = luma.shape[0] / height, luma.shape[1] / width
            place = (
                slice(int(rows.min() / down), int(np.ceil((rows.max() + 1) / down))),
                slice(int(columns.min() / across), int(np.ceil((columns.max() + 1) / across))),
            )
            assert self.encoding is not None
            for plane in chroma:
                plane[place] = 1 << (self.encoding.form.depth - 1)
        return burnt, chroma

    def _begin(self, picture: Any) -> None:
        codec, self.encoding = encoding_of(self.source, self.target, picture, self.options, fields=self.interlaced)
        self.writer.begin(codec, self.encoding, picture, self.aside)

    def _set_aside(self, packet: Any) -> None:
        """Keep a packet of another stream until the file has begun. Where many come without a picture, they do not pile up."""
        self.aside.append(packet)
        if len(self.aside) >= _MOST_ASIDE:
            self._pass_on()

    def _pass_on(self) -> None:
        """Packets of other streams, once the file has begun."""
        if self.encoding is not None and self.aside:
            packets, self.aside = self.aside, []
            self.behind.do(partial(self._copy, packets))

    def _copy(self, packets: list[Any]) -> None:
        for packet in packets:
            self.writer.copy(packet)

    def _report(self) -> VideoReport:
        if self.encoding is None:
            raise VideoError(f"{self.source}: a part of it has no picture that can be decoded")
        reader = self.reader
        warnings = [*self.writer.warnings, *self.encoding.warnings]
        if reader.stopped:
            warnings.append(f"reading stopped after {self._end - self._start:.2f} s: {reader.stopped}")
        if not self.over and reader.promised - self._end > max(_MISSING_S, _MISSING_FRAMES / float(reader.rate)):
            warnings.append(f"it should end at {reader.promised:.2f} s, and the last picture that could be read ends at {self._end:.2f} s")
        if missing := reader.gaps.missing:
            first = float((reader.gaps.first or 0) * reader.time_base)
            warnings.append(f"{missing} pictures are missing on the way, the first at {first:.2f} s: damage, or a pause in the recording")
        if reader.damaged:
            warnings.append(f"{reader.damaged} damaged packets could not be decoded")
        if reader.repaired:
            warnings.append(f"{reader.repaired} frames had times that did not rise; they come right after the one before")
        if reader.timeline.restarts:
            warnings.append(f"its times start anew on the way ({reader.timeline.restarts} x); what follows then comes right after")
        if reader.timeline.moved:
            warnings.append(f"{reader.timeline.moved} packets of other streams had times that fell back; they come after the one before")
        if not muxer_for(self.target).comments and self.options.label == "off" and self.scenes["gray"]:
            warnings.append("the format has no place to say that colours are guessed; --label burns it into the picture")
        if self.late_fields:
            warnings.append("the picture becomes interlaced on the way; it is not marked so")
        return VideoReport(
            self.frames, self._end - self._start, sum(self.scenes.values()), self.scenes["gray"], self.scenes["color"],
            self.encoding.codec, self.encoding.form.name, self.options.verify_luma, tuple(self.writer.kept), reader.damaged,
            tuple(warnings),
        )  # fmt: skip


def upright(plane: Plane, matrix: list[int] | None) -> Plane:
    """A view of a plane as it is displayed, turned by quarters and mirrored. matrix: as of ``display_matrix``."""
    if matrix is None:
        return plane
    across, down = matrix[0], matrix[4]
    if abs(matrix[1]) > abs(matrix[0]):
        plane, across, down = plane.T, matrix[3], matrix[1]
    return plane[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def _give_way() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, os.nice(0) + _GUESS_NICENESS))  # on Linux of a thread


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
