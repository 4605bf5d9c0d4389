"""Which frames are in colour already: by tests of some frames, by the median of those around a frame, within one scene."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from edgecolor.errors import VideoError
from edgecolor.monochrome import THRESHOLD, feed_share
from edgecolor.sources.planes import frame_of
from edgecolor.videos.forms import form_of, luma_of
from edgecolor.videos.reading import Reader

Verdict = Literal["gray", "color"]

_INTERVAL_S = 0.15  # between tests
_AROUND_S = 0.5  # tests within so many seconds count
# A scene turns to colour above the upper share and to gray below the lower one: a lamp is no sunrise.
_TO_GRAY, _TO_COLOR = 0.02, 0.045
_FLAT = 4.0  # codes of 8 bits: a picture of less contrast, as in a fade to black, says nothing


def share_of(picture: Any) -> float | None:
    """``monochrome.feed_share`` of a picture in plain form; None when it is too flat to tell. Gray formats have 0."""
    form = form_of(picture.format.name)
    assert form is not None
    if form.steps is None:
        return 0.0
    luma = luma_of(picture)[::8, ::8]
    if float(np.std(luma)) < _FLAT * 2 ** (form.depth - 8):
        return None
    try:
        return feed_share(frame_of(picture, captured=0.0, sequence=0))
    except VideoError:
        return None  # no way to 8 bits


class Verdicts:
    """Takes tests as pictures are read, and gives verdicts as they are written, later."""

    def __init__(self) -> None:
        self._tests: deque[tuple[float, int, float]] = deque()  # seconds, scene, share
        self._tested: tuple[float, int] | None = None
        self._last: tuple[int, Verdict] | None = None

    def see(self, picture: Any, seconds: float, scene: int) -> None:
        """A picture was read. scene: counts cuts. Most are not even looked at."""
        if self._tested is not None and self._tested[1] == scene and seconds - self._tested[0] < _INTERVAL_S:
            return
        self._tested = seconds, scene
        share = share_of(picture)
        if share is not None:
            self._tests.append((seconds, scene, share))

    def newest(self) -> Verdict | None:
        """What the newest test alone says; None: nothing."""
        return None if not self._tests else "gray" if self._tests[-1][2] < _TO_COLOR else "color"

    def at(self, seconds: float, scene: int) -> Verdict:
        """The verdict on a picture; call it in the pictures' order. What can not be told is as before, and left alone at first."""
        while self._tests and self._tests[0][0] < seconds - _AROUND_S:
            self._tests.popleft()
        shares = [share for time, of, share in self._tests if of == scene and time <= seconds + _AROUND_S]
        before = self._last[1] if self._last is not None else "color"
        if shares:
            fresh = self._last is None or self._last[0] != scene
            limit = THRESHOLD if fresh else _TO_GRAY if before == "color" else _TO_COLOR
            before = "gray" if median(shares) < limit else "color"
        self._last = scene, before
        return before


def has_gray(path: Path) -> bool:
    """Whether any scene of a file is gray: it is read until the first one. Raises VideoError."""
    reader = Reader(path)
    try:
        recent: deque[tuple[float, float]] = deque()
        tested: float | None = None
        told = False
        for picture in reader.pictures():
            seconds = float(picture.pts * reader.time_base)
            if tested is not None and seconds - tested < _INTERVAL_S:
                continue
            tested = seconds
            share = share_of(picture)
            if share is None:
                continue
            recent.append((seconds, share))
            while recent[0][0] < seconds - 2 * _AROUND_S:
                recent.popleft()
            if (not told and share < THRESHOLD) or median(share for _, share in recent) < _TO_GRAY:
                return True
            told = True
        return not told  # nothing but flat pictures: black is gray too
    finally:
        reader.close()
