"""Sinks take finished frames. One module a kind, imported only when that kind is used."""

from __future__ import annotations

from typing import Protocol

from edgecolor.frame import Frame


class Sink(Protocol):
    """Where frames go. Called from one thread of the pipeline; an EdgeColorError that it raises ends the pipeline."""

    def wants_color(self) -> bool:
        """Whether the next frame is needed with chroma: guessing and lifting chroma for nobody is a waste."""
        ...

    def put(self, frame: Frame) -> None:
        """Take a frame, with chroma if it was wanted. Must return within the frame's interval.

        ``frame.origin`` says whose the colours are; a placeholder frame takes the place of a picture that is lost.
        """
        ...
