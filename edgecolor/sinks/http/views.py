"""Ways to look at the frames: encoded once for all viewers of a view, and not at all for a view that nobody watches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic

from edgecolor.containers.header import Metadata
from edgecolor.containers.jpeg import embed
from edgecolor.frame import Frame
from edgecolor.jpeg import encode_jpeg
from edgecolor.label import burn
from edgecolor.sinks.http.options import Label

VIEWS = ("color", "gray", "split")
BOUNDARY = "edgecolor-frame"
# The next part's boundary and headers are sent right behind each frame, so that a viewer knows at once that it is whole.
# Chromium wants these headers to be complete, else it shows every frame when the next one comes; but then they can not
# tell a length that is not known yet, without which others (go2rtc) refuse a part. So it depends on the browser.
_PART_BEGIN = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n".encode()


@dataclass(frozen=True)
class Still:
    """One encoded frame. part: it as a part of a stream, from its length to the begin of the next part."""

    frame: Frame
    jpeg: bytes
    part: bytes
    part_chromium: bytes


@dataclass
class View:
    """One way to look at the frames; touched by the event loop's thread only, but for reading ``watchers`` and ``since``."""

    name: str
    watchers: int = 0  # streams, and snapshots that wait
    streams: int = 0
    since: float = 0.0  # time.monotonic() when the first of these watchers came
    encoded: int = 0
    newest: Still | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, still: Still) -> None:
        """Hand an encoded frame to all who wait for one."""
        self.encoded += 1
        self.newest = still
        self.wake()

    def wake(self) -> None:
        """Wake all who wait."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While entered, the view is kept up to date."""
        if not self.watchers:
            self.since = monotonic()
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1
            if not self.watchers:  # from now on it is not kept up to date: nobody may take it for new later
                self.newest = None


class Encoder:
    """Frames to JPEG as the views show them. Stateless, so that any thread may use it.

    xmp: the packet that marks every JPEG with guessed colour, live ones too: stills are cut from them. label: where the words
    stand that say the same to the eye, or "off". quality: 1 to 100.
    """

    def __init__(self, xmp: bytes, label: Label, quality: int) -> None:
        self._marking, self._label, self._quality = Metadata(xmp=xmp), label, quality

    def encode(self, frame: Frame, view: str) -> Still:
        """The frame as ``view`` shows it; what has guessed colours is marked, and nothing else."""
        guessed = frame.origin == "guess" and view != "gray"
        shown = look(frame, view)
        if guessed and self._label != "off":
            shown = burn(shown, self._label)
        jpeg = encode_jpeg(shown, self._quality)
        if guessed:
            jpeg = embed(jpeg, self._marking)
        headers = (
            f"Content-Length: {len(jpeg)}\r\nX-Sequence: {frame.sequence}\r\nX-Pts: {frame.pts or 0.0:.6f}\r\n"
            f"X-EdgeColor-Origin: {frame.origin}\r\n\r\n"
        )
        part = b"".join((headers.encode(), jpeg, b"\r\n", _PART_BEGIN))
        return Still(frame, jpeg, part, b"".join((jpeg, b"\r\n", _PART_BEGIN, b"\r\n")))


def stream_begin(chromium: bool) -> bytes:
    """What comes before the first part of a stream."""
    return _PART_BEGIN + (b"\r\n" if chromium else b"")


def is_due(view: View, frame: Frame) -> bool:
    """Whether this frame is to be encoded for this view.

    A frame without chroma from before the first viewer came was made when nobody wanted its colour: it would be a flash of
    gray. A later one without chroma is as colourful as it gets.
    """
    return view.watchers > 0 and (view.name == "gray" or frame.cb is not None or frame.captured >= view.since)


def look(frame: Frame, view: str) -> Frame:
    """The frame as a view shows it: without chroma, with it, or with it in the right half only."""
    if view == "color" or frame.cb is None or frame.cr is None:
        return frame
    if view == "gray":
        return replace(frame, cb=None, cr=None)
    cb, cr = frame.cb.copy(), frame.cr.copy()
    middle = cb.shape[1] // 2
    cb[:, :middle] = cr[:, :middle] = 128
    return replace(frame, cb=cb, cr=cr)
