"""One connection of an RTSP publisher: frames are encoded and sent by a thread of its own.

FFmpeg can not be called off while it writes to a server that hangs; then the thread is left behind, and ends with the connection.
While FFmpeg greets a server, and takes leave of it, PyAV holds the interpreter's lock: no other thread runs. So a server is knocked at
first, each of its answers may take _HANDSHAKE_S at most, and one that refuses is asked seldom (edgecolor.sinks.publish).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av

from edgecolor.credentials import Secret, split_address
from edgecolor.frame import Frame
from edgecolor.meters import Latest, Meter
from edgecolor.sinks.h264 import Encoder, Form

if TYPE_CHECKING:
    from edgecolor.sinks.publish import PublishOptions

_LOG = logging.getLogger(__name__)
_PORT = 554
_ANSWER_S = 5.0  # for a connection and a first answer
_HANDSHAKE_S = 3.0  # for each further answer; a handshake has some five, and the watchdog bites after 30 s
_REPEAT_S = 1.0  # a placeholder is sent again so often: players give up on a stream that says nothing


class Session:
    """One connection and the thread that encodes for it. ended: set at its end; failure: why, None when nothing failed.

    refused: what failed is the user or password. next_frame: the frame of another form that ended it.
    """

    def __init__(
        self, name: str, target: Secret, options: PublishOptions, form: Form, frames: Meter, on_connected: Callable[[Form], None],
    ) -> None:
        self.form = form
        self.slot: Latest[Frame] = Latest()
        self.connected_at: float | None = None
        self.failure: str | None = None
        self.refused = False
        self.next_frame: Frame | None = None
        self.ended = Event()
        self.thread = Thread(target=self._run, name="edgecolor-publish-session", daemon=True)
        self._name, self._target, self._options, self._frames, self._on_connected = name, target, options, frames, on_connected
        self._busy_since: float | None = None
        self._last_sent = 0.0

    def stuck_for(self) -> float:
        """Seconds that the newest call into FFmpeg has taken so far."""
        since = self._busy_since
        return 0.0 if since is None else monotonic() - since

    def good_for(self) -> float:
        """Seconds from the connection to the last frame that was sent."""
        return 0.0 if self.connected_at is None else max(0.0, self._last_sent - self.connected_at)

    def _run(self) -> None:
        try:
            self._publish()
        except av.FFmpegError as error:
            self.refused = isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError)
            silent = self.connected_at is None and self.stuck_for() >= _HANDSHAKE_S
            self.failure = f"the server did not answer within {_HANDSHAKE_S:g} s" if silent else _reason(error, self.refused)
        except OSError as error:
            self.failure = error.strerror or str(error)
        except Exception as error:  # noqa: BLE001 - a thread's last stop: the stream is tried again, and the state says why
            _LOG.error("publishing to %s failed", self._name, exc_info=True)
            self.failure = f"{type(error).__name__}: {error}"
        self._busy_since = None
        self.ended.set()

    def _publish(self) -> None:
        self._busy_since = monotonic()
        knock(self._target)
        self._busy_since = monotonic()
        # What is encoded is muxed by FFmpeg's own RTSP client; its address holds the password, and its errors do too.
        options = {"rtsp_transport": self._options.transport, "timeout": str(round(_HANDSHAKE_S * 1e6))}
        with av.open(self._target.reveal(), "w", format="rtsp", options=options) as output:
            encoder = Encoder(output, self.form, self._options.encoder, self._options.bitrate, self._options.threads, self._options.label)
            output.start_encoding()
            self._on_connected(self.form)
            self._busy_since, self.connected_at = None, monotonic()
            self._last_sent = self.connected_at
            shown: Frame | None = None
            while not self.slot.closed:
                frame = self.slot.take(_REPEAT_S)
                repeated = frame is None
                if frame is None:
                    # A placeholder only: a picture of the camera that is sent again would look live.
                    if shown is None or shown.origin != "placeholder" or self.slot.closed:
                        continue
                    frame = shown
                elif Form.of(frame) != self.form:
                    self.next_frame = frame
                    return
                elif frame.cb is None and frame.captured < self.connected_at:
                    continue  # made when nobody wanted its colour: it would be a flash of gray
                shown = frame
                self._busy_since = monotonic()
                for packet in encoder.encode(frame, monotonic() if repeated else frame.captured):
                    output.mux(packet)
                self._busy_since = None
                self._last_sent = monotonic()
                self._frames.tick()
            self._busy_since = monotonic()


def knock(target: Secret) -> None:
    """Connect once before FFmpeg does, which would wait for ever for a server that hangs. Raises OSError."""
    place, _, _ = split_address(target.reveal())
    parts = urlsplit(place)
    with socket.create_connection((parts.hostname or "", parts.port or _PORT), _ANSWER_S) as connection:
        connection.settimeout(_ANSWER_S)
        connection.sendall(f"OPTIONS {place} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: EdgeColor\r\n\r\n".encode())
        try:
            answer = connection.recv(16)
        except TimeoutError:
            raise OSError(None, f"the server did not answer within {_ANSWER_S:g} s") from None
    if not answer.startswith(b"RTSP/"):
        raise OSError(None, "what answers there does not speak RTSP" if answer else "the server hung up")


def _reason(error: av.FFmpegError, refused: bool) -> str:
    if refused:
        return "the server refuses this user and password, or asks for some"
    return f"{error.strerror}" if error.strerror else type(error).__name__
