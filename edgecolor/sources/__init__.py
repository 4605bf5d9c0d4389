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

    name: what a person called it, without any password. rate: frames a second that it promises, 0.0 when unknown.
    """

    name: str
    rate: float

    def frames(self, stop: Event) -> Iterator[Frame]:
        """Yield frames in real time until ``stop`` is set. Returning earlier means the end; a loss raises SourceError."""
        ...


def open_source(name: str) -> Source:
    """The source that ``name`` means. Raises ConfigError when it means none, and the source's own errors."""
    if name == "demo":
        from edgecolor.sources.demo import open_demo

        return open_demo()
    raise ConfigError(f"source {name!r} is unknown; known: {', '.join(KNOWN)}")
