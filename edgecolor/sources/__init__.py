"""Sources of frames. One module a kind, imported only when that kind is opened."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Protocol

from edgecolor.errors import ConfigError
from edgecolor.frame import Frame

KNOWN = ("demo",)


class Source(Protocol):
    """Where frames come from. ``frames`` is run in one thread, which also opens and closes whatever it reads.

    name: what a person called it, without any password. rate: frames a second that it promises, 0.0 when unknown (it may
    become known once frames come). live: whether a loss is worth trying again: True for cameras, False for files.
    timeout: seconds without a frame after which a live source counts as lost.
    """

    name: str
    rate: float
    live: bool
    timeout: float

    def frames(self, stop: Event) -> Iterator[Frame]:
        """Yield frames in real time, with the source's own chroma where it has some, until ``stop`` is set.

        Returning earlier means the end. A live source raises SourceLostError instead, and may be iterated again afterwards:
        each call opens the source anew. Sequence numbers go on rising over all calls.
        """
        ...


def open_source(name: str) -> Source:
    """The source that ``name`` means. Raises ConfigError when it means none, and the source's own errors."""
    if name == "demo":
        from edgecolor.sources.demo import open_demo

        return open_demo()
    raise ConfigError(f"source {name!r} is unknown; known: {', '.join(KNOWN)}")
