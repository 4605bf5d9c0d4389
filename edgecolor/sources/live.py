"""What network cameras and capture devices share: a thread of its own reads the camera, and only its newest frame is kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from threading import Condition, Event, Thread
from time import monotonic
from typing import Any, Protocol

import av

from edgecolor.errors import EdgeColorError, SourceLostError
from edgecolor.frame import Frame
from edgecolor.sources.decoding import Decoding, known_decoder

_POLL_S = 0.1  # how long it takes to notice that a stop is wanted
_LEAVE_S = 0.5  # how long a stop waits for the camera to be closed
_UNTIMED = ("mpjpeg", "mjpeg", "jpeg_pipe")  # formats that hold no times
_HIGHEST_RATE = 250.0  # more is a time base that was mistaken for a rate


class Camera(Protocol):
    """How one kind of camera is opened, and what its failures mean."""

    def open(self) -> Any:
        """An open av.container.InputContainer; may block for about the timeout. Raises FFmpegError, OSError, EdgeColorError."""
        ...

    def opening_failed(self, error: Exception) -> Exception:
        """The typed error for an FFmpegError or OSError while opening."""
        ...

    def reading_failed(self, error: av.FFmpegError) -> SourceLostError:
        """The typed error for an FFmpegError between frames."""
        ...

    def interrupt(self) -> None:
        """End a read that hangs, where FFmpeg does not by its own timeout. Called from another thread; raises nothing."""
        ...


class LiveSource:
    """A camera whose own clock gives the time: nothing is paced, and what nobody took in time is dropped.

    FFmpeg blocks in its calls, and a container must be closed by the thread that reads it. So a thread reads, and
    ``frames`` waits for what it brings; when the camera hangs, the thread is left behind and ends by FFmpeg's own timeout, or by
    ``Camera.interrupt``.
    """

    live = True

    def __init__(self, name: str, camera: Camera, timeout: float, decoder: str = "") -> None:
        self.name, self.rate, self.timeout = name, 0.0, timeout
        self.camera = camera
        self.decoder = known_decoder(decoder) if decoder else ""
        self.numbers = count()
        self.proven = False  # whether its decoder has made a picture

    def frames(self, stop: Event) -> Iterator[Frame]:
        """Yield the newest frame each time until ``stop`` is set. Raises SourceLostError, ConfigError for a decoder that fails."""
        reader = _Reader(self)
        reader.start()
        try:
            while not stop.is_set():
                frame = reader.take(_POLL_S)
                if frame is not None:
                    yield frame
                elif reader.silent_for() > self.timeout:
                    raise SourceLostError(f"{self.name}: nothing came for {self.timeout:g} s", "silent")
        finally:
            reader.leave(_LEAVE_S)


class _Reader:
    """The thread that reads a camera once, and the slot with its newest frame."""

    def __init__(self, source: LiveSource) -> None:
        self._source = source
        self._left = False
        self._frame: Frame | None = None
        self._failure: Exception | None = None
        self._changed = Condition()
        self._alive = monotonic()  # the last sign of life
        self._thread = Thread(target=self._run, name="edgecolor-camera", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, seconds: float) -> Frame | None:
        """The newest frame that was not taken yet, or None when none came in time. Raises what ended the thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._failure is not None, seconds)
            frame, self._frame = self._frame, None
            if frame is None and self._failure is not None:
                raise self._failure
            return frame

    def silent_for(self) -> float:
        return monotonic() - self._alive

    def leave(self, seconds: float) -> None:
        """Tell the thread to close the camera, and wait for it a while."""
        self._left = True
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._source.camera.interrupt()
            self._thread.join(seconds)

    def _run(self) -> None:
        failure: Exception
        try:
            failure = self._read()
        except Exception as error:  # noqa: BLE001 - it is raised again in the thread that takes the frames
            failure = error
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _read(self) -> Exception:
        """Read until the camera ends, fails, or nobody wants it any more: returns why. Errors are returned rather than raised
        from one another, because those of FFmpeg hold the address with its password."""
        source = self._source
        failure: Exception | None = None
        try:
            container = source.camera.open()
        except EdgeColorError as error:  # some of them are an OSError as well
            failure = error
        except (av.FFmpegError, OSError) as error:
            failure = source.camera.opening_failed(error)
        if failure is not None:
            return failure
        with container:
            self._alive = monotonic()
            if not container.streams.video:
                return SourceLostError(f"{source.name}: sends no video", "unsupported")
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0.0)
            source.rate = rate if rate <= _HIGHEST_RATE else 0.0
            timed = container.format.name not in _UNTIMED
            decoding = Decoding(source.name, stream, source.decoder, source.numbers, timed=timed, proven=source.proven)
            return self._decode(container, decoding)

    def _decode(self, container: Any, decoding: Decoding) -> Exception:
        source = self._source
        # All streams, so that a camera that sends sound only does not keep this thread inside one call.
        packets = container.demux()
        while not self._left:
            packet: Any = None
            failure: Exception | None = None
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                failure = source.camera.reading_failed(error)
            if failure is None and packet is None:
                failure = SourceLostError(f"{source.name}: the camera ended the stream", "ended")
            if failure is not None:
                return decoding.garbage() or failure
            if packet.stream.type != "video" or packet.stream.index != decoding.stream.index:
                continue
            self._alive = monotonic()
            for frame in decoding.frames(packet):
                source.proven = True
                with self._changed:
                    self._frame = frame
                    self._changed.notify_all()
            if decoding.failure is not None:
                return decoding.failure
        return SourceLostError(f"{source.name}: left", "ended")  # nobody waits for it
