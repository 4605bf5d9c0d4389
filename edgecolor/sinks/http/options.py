"""What can be chosen about the HTTP server, and which choices contradict each other."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError, ServeError
from edgecolor.jpeg import QUALITY
from edgecolor.label import Position
from edgecolor.sinks.http.access import PasswordHash

DEFAULT_ADDRESS = "127.0.0.1:8080"
Label = Literal[Position, "off"]
Probe = Literal["word", "closed"]
_SHORTEST_TOKEN = 16  # letters; failed tries are limited, but a token does not forgive a short one
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


@dataclass(frozen=True)
class HttpOptions:
    """Where to serve, to whom, and how. Raises ConfigError for what is wrong or contradicts itself.

    address: IP:PORT, or several with commas between; [::1]:8080 for IPv6, localhost for 127.0.0.1, port 0 for a free one.
    Other addresses than loopback need credentials: username and password_hash (see ``hash_password``), or token, or both
    kinds; then all addresses ask for them.
    tls_certificate (with its chain) and tls_key: PEM files, both or none.
    hosts: names by which the server may be asked for besides loopback, such as that under which a proxy is reached; an IP
    address always does on addresses other than loopback, and so does the machine's own name.
    viewers: most streams at once, and viewers_each: most of them to one address (IPv6: one /64 network), 0 for no such limit.
    Viewers on this machine are not counted singly: a proxy speaks for many.
    label: the corner of the burnt-in label where colours are guessed, or "off". quality: of the JPEGs, 1 to 100.
    probe: what /healthz tells without credentials: "word", the state and no more, or "closed", nothing.
    """

    address: str = DEFAULT_ADDRESS
    viewers: int = 64
    viewers_each: int = 16
    username: str = ""
    password_hash: Secret = field(default_factory=Secret)
    token: Secret = field(default_factory=Secret)
    tls_certificate: str = ""
    tls_key: str = ""
    hosts: tuple[str, ...] = ()
    label: Label = "bottom-right"
    quality: int = QUALITY
    probe: Probe = "word"

    def __post_init__(self) -> None:
        if self.viewers < 1 or self.viewers_each < 0:
            raise ConfigError(f"viewers is {self.viewers}, viewers_each {self.viewers_each}: at least 1 and 0")
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality is {self.quality}; it must be between 1 and 100")
        for name, value, known in (("label", self.label, labels()), ("probe", self.probe, get_args(Probe))):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(known)}")
        for name in self.hosts:
            if not _NAME.fullmatch(name.lower()):
                raise ConfigError(f"hosts has {name!r}, which is no host name; give it without scheme and port, as in camera.example.org")
        self._check_credentials()
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("TLS needs both tls_certificate and tls_key")
        foreign = [f"{host}:{port}" for host, port in self.addresses() if not is_loopback(host)]
        if foreign and not self.is_guarded():
            raise ConfigError(
                f"{', '.join(foreign)} is not a loopback address: serving a camera to the network needs credentials. Give username and "
                "password_hash (made by 'edgecolor config hash-password') or a token, or bind 127.0.0.1 and put a proxy before it"
            )

    def _check_credentials(self) -> None:
        if bool(self.username) != bool(self.password_hash):
            raise ConfigError("a password needs both username and password_hash")
        if ":" in self.username:
            raise ConfigError("username has a colon, which basic authentication can not send")
        if self.password_hash:
            PasswordHash.parse(self.password_hash)
        token = self.token.reveal()
        if token and (len(token) < _SHORTEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~-]+", token)):
            raise ConfigError(
                f"the token must have {_SHORTEST_TOKEN} letters or more, of A-Z a-z 0-9 . _ ~ - only; 'openssl rand -hex 24' makes one"
            )

    def addresses(self) -> list[tuple[str, int]]:
        """Each address as host and port. Raises ConfigError when one is malformed."""
        return [parse_address(one.strip()) for one in self.address.split(",")]

    def is_guarded(self) -> bool:
        """Whether credentials are asked for."""
        return bool(self.password_hash or self.token)

    def tls(self) -> ssl.SSLContext | None:
        """The context for TLS 1.2 and later, or None without TLS. Raises ServeError naming the file that can not be used."""
        if not self.tls_certificate:
            return None
        for path in (self.tls_certificate, self.tls_key):
            try:
                with Path(path).open("rb") as file:
                    file.read(1)
            except OSError as error:
                raise ServeError(f"{path}: can not be read for TLS: {error.strerror or error}") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # An empty password: OpenSSL would ask for that of an encrypted key at the terminal.
            context.load_cert_chain(self.tls_certificate, self.tls_key, password="")
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or str(error)
            raise ServeError(
                f"{self.tls_certificate} and {self.tls_key}: not a PEM certificate and its key without a passphrase ({why})"
            ) from error
        return context


def labels() -> tuple[str, ...]:
    """What ``HttpOptions.label`` may be."""
    return (*get_args(Position), "off")


def parse_address(address: str) -> tuple[str, int]:
    """IP:PORT ([::1]:8080 for IPv6, localhost for 127.0.0.1) -> host, port. Raises ConfigError when it is malformed."""
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not host or (":" in host) != bracketed or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise ConfigError(f"HTTP address {address!r} is not HOST:PORT, as in {DEFAULT_ADDRESS}")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(f"HTTP address {address!r}: HOST:PORT needs an IP address of this machine or localhost, not a name") from None
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine's loopback interface (names are not: they are resolved by others)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
