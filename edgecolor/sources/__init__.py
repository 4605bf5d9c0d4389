"""Sources of frames. One module a kind, imported only when that kind is opened."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Literal, Protocol, get_args
from urllib.parse import urlsplit

from edgecolor.credentials import Secret, split_address, without_password
from edgecolor.errors import ConfigError
from edgecolor.frame import Frame

Transport = Literal["tcp", "udp"]
NoiseReduction = Literal["", "off", "fast", "high-quality", "minimal"]
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
SCHEMES = tuple(_PORTS)
KNOWN = ("demo", *(f"{scheme}://HOST/PATH" for scheme in SCHEMES), "/dev/videoN", "picamera[:N]", "a path of a video file")
PICAMERA_INSTALL = "apt install python3-picamera2, and make the virtual environment with --system-site-packages"
_PICAMERA = re.compile(r"picamera2?(?::(\d{1,3}))?")
_DEVICE = re.compile(r"/dev/(video\d+|v4l/by-(id|path)/.+)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_SHORTEST_TIMEOUT_S, _LONGEST_TIMEOUT_S = 0.5, 600.0
_LONGEST_EXPOSURE_S = 600.0


@dataclass(frozen=True)
class SourceOptions:
    """What can be asked of a source; each kind uses what concerns it. Raises ConfigError.

    timeout: seconds without a frame after which a live source is lost, 0.5 to 600. decoder: an FFmpeg decoder by name in
    place of the usual one, such as h264_v4l2m2m. Network: transport of RTSP; username and password, or credentials: a file
    (see edgecolor.credentials); certificate: a PEM file that an rtsps:// or https:// camera's certificate must lead to,
    the system's authorities when empty, "any" to trust whatever answers. Files: loop plays for ever. V4L2 and picamera: size
    as WxH, rate in frames a second (0: the device's own). V4L2: pixel_format by FFmpeg's name (mjpeg, yuyv422, gray).
    """

    transport: Transport = "tcp"
    timeout: float = 5.0
    decoder: str = ""
    username: str = ""
    password: Secret = field(default_factory=Secret)
    credentials: str = ""
    certificate: str = ""
    loop: bool = False
    size: str = ""
    rate: float = 0.0
    pixel_format: str = ""

    def __post_init__(self) -> None:
        if self.transport not in get_args(Transport):
            raise ConfigError(f"transport {self.transport!r} is unknown; known: {', '.join(get_args(Transport))}")
        if not _SHORTEST_TIMEOUT_S <= self.timeout <= _LONGEST_TIMEOUT_S:
            raise ConfigError(f"timeout {self.timeout:g} is not between {_SHORTEST_TIMEOUT_S:g} and {_LONGEST_TIMEOUT_S:g} seconds")
        if self.size and not _SIZE.fullmatch(self.size):
            raise ConfigError(f"size {self.size!r} is not WIDTHxHEIGHT, as in 1280x720")
        if not 0 <= self.rate <= 1000:
            raise ConfigError(f"rate {self.rate:g} is not between 0 and 1000 frames a second")
        if self.credentials and (self.username or self.password):
            raise ConfigError("username or password, and a credentials file as well: give one of the two")


@dataclass(frozen=True)
class PicameraOptions:
    """What a camera at the board's connector can be told. Raises ConfigError.

    exposure: seconds, 0 for automatic. gain: analogue gain, 0 for automatic. noise_reduction: "" leaves the choice to picamera2.
    lowest_rate: frames a second down to which automatic exposure may slow the camera in the dark; 0: it keeps its rate.
    """

    exposure: float = 0.0
    gain: float = 0.0
    noise_reduction: NoiseReduction = ""
    lowest_rate: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.exposure <= _LONGEST_EXPOSURE_S:
            raise ConfigError(f"exposure {self.exposure:g} is not between 0 and {_LONGEST_EXPOSURE_S:g} seconds")
        if not 0 <= self.gain <= 1000:
            raise ConfigError(f"gain {self.gain:g} is not between 0 and 1000")
        if self.noise_reduction not in get_args(NoiseReduction):
            raise ConfigError(f"noise_reduction {self.noise_reduction!r} is none of {', '.join(get_args(NoiseReduction)[1:])}")
        if not 0 <= self.lowest_rate <= 1000:
            raise ConfigError(f"lowest_rate {self.lowest_rate:g} is not between 0 and 1000 frames a second")


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


def is_network_address(name: str) -> bool:
    """Whether ``name`` means a camera over the network."""
    scheme = _SCHEME.match(name)
    return scheme is not None and scheme[1] in SCHEMES


def host_and_port(address: str) -> tuple[str, int]:
    """Where a camera over the network is asked for. Raises ConfigError, without the password, for an address that can not be meant."""
    place, _, _ = split_address(address)
    shown = without_password(address)
    try:
        parts = urlsplit(place)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        host.encode("idna")  # as it will be when it is looked up
    except ValueError:
        raise ConfigError(
            f"source {shown}: a port is a number up to 65535, an IPv6 address stands in brackets, a name has 1 to 63 letters between dots"
        ) from None
    if not host or "@" in host:
        raise ConfigError(f"source {shown}: it names no host; percent-encode the password, or give it in a credentials file")
    return host, port


def open_source(name: str, options: SourceOptions | None = None, picamera: PicameraOptions | None = None) -> Source:
    """The source that ``name`` means (see KNOWN). A camera need not be there yet: its loss is told by ``frames``.

    Raises ConfigError when the name means no source or an option does not fit, VideoError for a file that is no video.
    """
    options = options or SourceOptions()
    if name == "demo":
        from edgecolor.sources.demo import open_demo

        return open_demo()
    if found := _PICAMERA.fullmatch(name):
        from edgecolor.sources.picamera import PicameraSource

        return PicameraSource(int(found[1] or 0), options, picamera or PicameraOptions())
    scheme = _SCHEME.match(name)
    if is_network_address(name):
        from edgecolor.sources.network import NetworkSource

        return NetworkSource(name, options)
    if _DEVICE.fullmatch(name):
        from edgecolor.sources.v4l2 import V4l2Source

        return V4l2Source(name, options)
    if scheme is None and (Path(name).suffix or "/" in name or Path(name).is_file()):
        from edgecolor.sources.video import VideoSource

        return VideoSource(name, loop=options.loop)
    nearest = difflib.get_close_matches((scheme[1] if scheme else name).lower(), ("demo", *SCHEMES, "picamera"), n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]}{'://' if nearest[0] in SCHEMES else ''}?" if nearest else ""
    raise ConfigError(f"source {without_password(name)!r} is unknown; known: {', '.join(KNOWN)}{hint}")
