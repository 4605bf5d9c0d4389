"""RTSP publish: the picture as H.264 to a server such as MediaMTX or go2rtc, which hands it on to any number of viewers.

One thread looks after the connection (edgecolor.sinks.rtsp) and makes a new one for ever.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from edgecolor.credentials import Secret, read_credentials, split_address, with_password, without_password
from edgecolor.errors import ConfigError, PublishError
from edgecolor.frame import Frame
from edgecolor.label import Position
from edgecolor.meters import Latest, Meter
from edgecolor.sinks.h264 import Form, check_encoder
from edgecolor.sinks.rtsp import Session

_LOG = logging.getLogger(__name__)
_STUCK_S = 10.0  # a server that takes nothing for so long is given up
_LEAVE_S = 1.0
_LOOK_S = 0.25
_RETRY_FIRST_S, _RETRY_MOST_S, _STEADY_S = 1.0, 30.0, 10.0
_REFUSED_S = 300.0  # servers take seconds to refuse, in which all else waits, and a password does not mend by itself

Label = Literal[Position, "off"]
Transport = Literal["tcp", "udp"]


@dataclass(frozen=True)
class PublishOptions:
    """Where to publish to, and how. Raises ConfigError.

    url: rtsp://HOST[:PORT]/PATH; empty for nowhere. username and password, or credentials: a file (see edgecolor.credentials).
    transport: of RTP. encoder: an FFmpeg encoder of H.264 by name, such as h264_v4l2m2m; libx264 when empty. bitrate: kbit/s,
    50 to 100000. threads: of libx264. label: the corner of the burnt-in label where colours are guessed, or "off".
    """

    url: str = field(default="", repr=False)
    username: str = ""
    password: Secret = field(default_factory=Secret)
    credentials: str = ""
    transport: Transport = "tcp"
    encoder: str = ""
    bitrate: int = 2000
    threads: int = 1
    label: Label = "bottom-right"

    def __post_init__(self) -> None:
        if self.transport not in get_args(Transport):
            raise ConfigError(f"transport {self.transport!r} is unknown; known: {', '.join(get_args(Transport))}")
        if not 50 <= self.bitrate <= 100_000:
            raise ConfigError(f"bitrate {self.bitrate} is not between 50 and 100000 kbit/s")
        if not 1 <= self.threads <= 64:
            raise ConfigError(f"threads {self.threads} is not between 1 and 64")
        if self.label not in labels():
            raise ConfigError(f"label is {self.label!r}; it must be one of {', '.join(labels())}")
        if self.credentials and (self.username or self.password):
            raise ConfigError("username or password, and a credentials file as well: give one of the two")
        if self.password and not self.username:
            raise ConfigError("a password without a username")
        if self.url:
            _check_url(self.url)


def labels() -> tuple[str, ...]:
    """What ``PublishOptions.label`` may be."""
    return (*get_args(Position), "off")


class PublishSink:
    """Publishes frames to ``options.url``. ``put`` leaves the newest frame and returns: a slow server slows nobody, but for its greeting.

    Raises PublishError when the encoder is absent or can not be used, CredentialsError for the credentials file. A server that
    can not be reached is no error: it is tried again for ever, and ``state`` tells.
    """

    def __init__(self, options: PublishOptions) -> None:
        self._options = options
        self._name = without_password(options.url)
        self._target = _target(options)
        check_encoder(options.encoder)
        self._waiting: Latest[Frame] = Latest()
        self._session: Session | None = None
        self._frames = Meter()
        self._dropped = self._connections = 0
        self._reason: str | None = None
        self._retry_at: float | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, name="edgecolor-publish", daemon=True)

    def does(self, options: PublishOptions) -> bool:
        """Whether it does what ``options`` ask for, whose credentials file is read anew. Raises CredentialsError."""
        return options == self._options and _target(options) == self._target

    def start(self) -> None:
        """Begin to publish with the first frame that is put."""
        self._thread.start()

    def stop(self) -> None:
        """End the stream; returns within some two seconds even when the server hangs."""
        self._stop.set()
        self._waiting.close()
        if self._thread.ident is not None:
            self._thread.join(2 * _LEAVE_S)

    def wants_color(self) -> bool:
        """Whether the server takes frames now."""
        session = self._session
        return session is not None and session.connected_at is not None

    def put(self, frame: Frame) -> None:
        """Leave the newest frame to be published."""
        session = self._session
        if session is None:
            self._waiting.put(frame)
        else:
            session.slot.put(frame)

    def state(self) -> dict[str, Any]:
        """Plain values for JSON. "state" is waiting (for a first frame), connecting, connected or retrying; "reason" says why not."""
        session, retry_at = self._session, self._retry_at
        if session is not None:
            state = "connected" if session.connected_at is not None else "connecting"
        else:
            state = "waiting" if retry_at is None else "retrying"
        return {
            "state": state,
            "url": self._name,
            "reason": None if state == "connected" else self._reason,
            "frames": self._frames.count,
            "rate": round(self._frames.rate(), 2),
            "dropped": self._dropped + (session.slot.dropped if session is not None else 0),
            "connections": self._connections,
            "retry_in_s": None if retry_at is None else round(max(0.0, retry_at - monotonic()), 1),
        }

    def _run(self) -> None:
        delay = _RETRY_FIRST_S
        while not self._stop.is_set():
            frame = self._waiting.take(_LOOK_S)
            if frame is None:
                continue
            session = Session(self._name, self._target, self._options, Form.of(frame), self._frames, self._greet)
            session.slot.put(frame)
            self._retry_at, self._session = None, session
            session.thread.start()
            failure = self._watch(session)
            self._session = None
            self._dropped += session.slot.dropped
            if failure is None:  # the picture has another form now
                if session.next_frame is not None:
                    self._waiting.put(session.next_frame)
                continue
            if failure != self._reason:  # once for all tries that fail in the same way
                _LOG.warning("publishing to %s stopped: %s; trying again", self._name, failure)
            self._reason = failure
            if session.good_for() >= _STEADY_S:
                delay = _RETRY_FIRST_S
            wait = (_REFUSED_S if session.refused else delay) * (1 - random.random() / 4)  # not all cameras of a house at once
            self._retry_at = monotonic() + wait
            self._stop.wait(wait)
            delay = delay if session.refused else min(_RETRY_MOST_S, 2 * delay)

    def _greet(self, form: Form) -> None:
        self._connections += 1
        self._reason = None
        _LOG.info("publishing to %s: %dx%d", self._name, form.width, form.height)

    def _watch(self, session: Session) -> str | None:
        """Wait for the end of a session; returns why it failed, None when it did not."""
        while not session.ended.wait(_LOOK_S):
            if self._stop.is_set():
                session.slot.close()
                session.thread.join(_LEAVE_S)
                return None
            if session.stuck_for() > _STUCK_S:
                session.slot.close()
                return f"the server took nothing for {_STUCK_S:.0f} s"
        return session.failure


def _check_url(url: str) -> None:
    place, _, _ = split_address(url)
    shown = without_password(url)
    try:
        parts = urlsplit(place)
        host, _ = parts.hostname or "", parts.port
        host.encode("idna")  # as it will be when it is looked up
    except ValueError:
        raise ConfigError(
            f"url {shown!r}: a port is a number up to 65535, an IPv6 address stands in brackets, a name has 1 to 63 letters between dots"
        ) from None
    if parts.scheme != "rtsp":
        raise ConfigError(f"url {shown!r} can not be published to: it must be rtsp://HOST/PATH")
    if not host or "@" in host:
        raise ConfigError(f"url {shown!r} names no host; percent-encode the password, or give it in a credentials file")


def _target(options: PublishOptions) -> Secret:
    """The address with its credentials, as FFmpeg wants it."""
    if not options.url:
        raise PublishError("there is no address to publish to; give url")
    place, user, password = split_address(options.url)
    if password and (options.password or options.credentials):
        raise ConfigError(f"publish {without_password(options.url)}: a password is in its address and in the options as well; keep one")
    if options.credentials:
        user, password = read_credentials(options.credentials)
    return with_password(place, user or options.username, password or options.password)
