"""Cameras over the network by FFmpeg: RTSP (rtsp, rtsps), and MJPEG or video over HTTP (http, https)."""

from __future__ import annotations

import socket
import ssl
from time import monotonic
from typing import Any

import av

from edgecolor.credentials import Secret, read_credentials, split_address, with_password, without_password
from edgecolor.errors import ConfigError, Loss, SourceLostError
from edgecolor.sources import SourceOptions, host_and_port
from edgecolor.sources.live import LiveSource

# Little is read ahead to learn what the stream is: a camera's description says it. That little is decoded at once and the
# newest picture wins, so that it is no delay; FFmpeg's "nobuffer" would throw it away, and with it the first key frame.
_PROBING = {"probesize": "32768", "analyzeduration": "100000"}
# Of LookupError are the decoders, demuxers and protocols that this FFmpeg was built without.
_UNSUPPORTED = (av.error.LookupError, av.error.PatchWelcomeError, av.error.NotImplementedError, av.error.ExperimentalError)


class NetworkSource(LiveSource):
    """A camera at an rtsp://, rtsps://, http:// or https:// address.

    Raises ConfigError for an address, options or a certificate's file that can not be meant, CredentialsError for a credentials file
    that can not be used. ``name`` and all messages show the address without its password.
    """

    def __init__(self, url: str, options: SourceOptions) -> None:
        camera = _NetworkCamera(url, options)
        super().__init__(camera.name, camera, options.timeout, options.decoder)


class _NetworkCamera:
    def __init__(self, url: str, options: SourceOptions) -> None:
        self.name = without_password(url)
        self.options = options
        self.host, self.port = host_and_port(url)
        place, user, password = split_address(url)
        self.scheme = place.partition(":")[0]
        if self.scheme in ("rtsps", "https") and options.certificate not in ("", "any"):
            try:
                _trusting(options.certificate)
            except ConfigError as error:
                raise ConfigError(f"source {self.name}: {error}") from error
        user, password = _credentials(self.name, user, password, options)
        self._url = with_password(place, user, password)
        self._place = place

    def open(self) -> Any:
        self._knock()
        # Later than the deadline of whoever takes the frames, which decides; this one ends the thread that was left behind.
        limit = self.options.timeout + 1.0
        return av.open(self._url.reveal(), options=self._ffmpeg_options(), timeout=(limit, limit))

    def opening_failed(self, error: Exception) -> Exception:
        if isinstance(error, ssl.SSLError):
            fix = "name the camera's own in the option certificate, or \"any\" to trust whatever answers"
            return self._lost("unreachable", f"its certificate is not trusted ({error.reason or error}); {fix}")
        if not isinstance(error, av.FFmpegError):
            return self._lost("unreachable", f"no connection: {getattr(error, 'strerror', None) or error}")
        reason = error.strerror
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            given = self._url.reveal() != self._place
            return self._lost("unauthorized", f"the camera {'refuses this' if given else 'asks for'} user and password")
        if isinstance(error, av.error.HTTPError | av.error.HTTPClientError):
            return self._lost("unreachable", f"{reason}; is the path of the address right?")
        if isinstance(error, _UNSUPPORTED):
            return self._lost("unsupported", reason)
        if isinstance(error, av.error.ExitError | av.error.TimeoutError):
            return self._lost("silent", f"the camera did not answer within {self.options.timeout:g} s")
        if isinstance(error, av.error.InvalidDataError):
            return self._lost("garbage", "what it answers is no stream")
        return self._lost("unreachable", f"no connection: {reason}")

    def reading_failed(self, error: av.FFmpegError) -> SourceLostError:
        if isinstance(error, av.error.ExitError | av.error.TimeoutError):
            return self._lost("silent", f"nothing came for {self.options.timeout:g} s")
        return self._lost("ended", f"the connection broke: {error.strerror}")

    def interrupt(self) -> None:
        """Nothing: FFmpeg keeps its timeout for what comes over the network."""

    def _lost(self, kind: Loss, reason: str) -> SourceLostError:
        return SourceLostError(f"{self.name}: {reason}", kind)

    def _knock(self) -> None:
        """Connect once before FFmpeg does: it tells "no route" and "no such name" from each other no better than from garbage.

        Raises OSError, SourceLostError.
        """
        begin = monotonic()
        with socket.create_connection((self.host, self.port), self.options.timeout) as connection:
            if self.scheme in ("rtsps", "https"):
                self._check_certificate(connection)
            if self.scheme != "rtsp":
                return
            connection.settimeout(max(0.1, self.options.timeout - (monotonic() - begin)))
            connection.sendall(f"OPTIONS {self._place} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: EdgeColor\r\n\r\n".encode())
            try:
                answer = connection.recv(16)
            except TimeoutError:
                raise self._lost("silent", f"the camera did not answer within {self.options.timeout:g} s") from None
        if not answer.startswith(b"RTSP/"):
            raise self._lost("garbage" if answer else "ended", "what answers there does not speak RTSP" if answer else "the camera hung up")

    def _check_certificate(self, connection: socket.socket) -> None:
        """FFmpeg is given a password only after the camera has shown a trusted certificate. Raises ssl.SSLError, SourceLostError."""
        if self.options.certificate == "any":
            return
        try:  # again each time: it may have been renewed
            context = _trusting(self.options.certificate)
        except ConfigError as error:
            raise self._lost("unreachable", str(error)) from error
        with context.wrap_socket(connection, server_hostname=self.host):
            pass

    def _ffmpeg_options(self) -> dict[str, str]:
        options = dict(_PROBING)
        if self.scheme in ("rtsp", "rtsps"):
            options |= {"rtsp_transport": self.options.transport, "allowed_media_types": "video"}
        else:
            # Empty: a camera is visited directly, whatever proxy the environment names for web pages.
            options |= {"http_proxy": "", "user_agent": "EdgeColor"}
        if self.scheme in ("rtsps", "https") and self.options.certificate != "any":
            authorities = self.options.certificate or ssl.get_default_verify_paths().cafile or ""
            options |= {"tls_verify": "1", "ca_file": authorities}
        return options


def _trusting(certificate: str) -> ssl.SSLContext:
    """A context that trusts the certificates of a PEM file, the system's authorities when ``certificate`` is empty. Raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=certificate or None)
    except ssl.SSLError as error:
        raise ConfigError(f"certificate {certificate}: holds no certificate in PEM form") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"certificate {certificate}: can not be read: {getattr(error, 'strerror', None) or error}") from error


def _credentials(name: str, user: str, password: Secret, options: SourceOptions) -> tuple[str, Secret]:
    """The one pair of user and password among those of the address, the options and the credentials file."""
    if password and (options.password or options.credentials):
        raise ConfigError(f"source {name}: a password is in its address and in the options as well; keep one")
    if user and options.username and user != options.username:
        raise ConfigError(f"source {name}: another user is in the options ({options.username}); keep one")
    if options.credentials:
        return read_credentials(options.credentials)
    user, password = user or options.username, password or options.password
    if password and not user:
        raise ConfigError(f"source {name}: a password without a user name")
    return user, password


