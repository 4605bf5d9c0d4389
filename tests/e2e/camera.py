"""Cameras for the end-to-end tests: a real RTSP server in a process of its own, an HTTP MJPEG camera, and one that sends garbage."""

from __future__ import annotations

import base64
import http.server
import json
import os
import queue
import random
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import pytest
import simplejpeg

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-libav gstreamer1.0-plugins-base gstreamer1.0-plugins-good " \
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
_PROBE = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); " \
    "assert all(map(Gst.ElementFactory.find, ('x264enc', 'avdec_h264', 'rtph264pay', 'intervideosink', 'jpegenc')))"
_START_S = 20.0


def need_rtsp_server() -> None:
    """Skip the test by name where gst-rtsp-server is not installed, and fail in CI."""
    probe = subprocess.run([SYSTEM_PYTHON, "-c", _PROBE], capture_output=True, check=False) if Path(SYSTEM_PYTHON).exists() else None
    if probe is None or probe.returncode:
        message = f"gst-rtsp-server is not installed; apt install {PACKAGES}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def free_port() -> int:
    """A TCP port of 127.0.0.1 at which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Camera:
    """An RTSP camera in a process of its own, gone when the block is left.

    url: the picture, without credentials; url_with_password where the camera asks for some. publish_url takes RECORD
    (H.264), published_url shows again what came in there, published() counts it. kill() is a power cut, freeze() a hang
    (the connection stays up and silent), restart() a reboot at the same address, perhaps with other options.
    """

    def __init__(
        self, codec: Literal["h264", "mjpeg", "opaque"] = "h264", size: tuple[int, int] = (320, 240), rate: int = 25, *, color: bool = True,
        user: str = "", password: str = "", auth: Literal["digest", "basic"] = "digest", pattern: str = "smpte", gop: int = 10,
        bitrate: int = 2000,
    ) -> None:
        self.options: dict[str, Any] = {
            "codec": codec, "size": size, "rate": rate, "color": color, "user": user, "password": password, "auth": auth,
            "pattern": pattern, "gop": gop, "bitrate": bitrate, "port": free_port(),
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        need_rtsp_server()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def port(self) -> int:
        return int(self.options["port"])

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    @property
    def url_with_password(self) -> str:
        return f"rtsp://{self.options['user']}:{self.options['password']}@127.0.0.1:{self.port}/live"

    @property
    def publish_url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/publish"

    @property
    def published_url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/published"

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the camera is not running"
        return self._process

    def start(self) -> None:
        assert self._process is None, "the camera runs already"
        # The server says nothing when its port is taken, and lets another answer in its place.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", self.port))
        script = Path(__file__).with_name("rtsp_server.py")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        output, lines = self._process.stdout, self._lines
        assert output is not None
        self._reader = threading.Thread(target=lambda: [lines.put(line.strip()) for line in output], daemon=True)
        self._reader.start()
        self._tell(json.dumps(self.options))
        answer = self._answer(_START_S)
        assert answer == f"ready {self.port}", answer

    def kill(self) -> None:
        """kill -9: the kernel closes its connections."""
        if self._process is None:
            return
        self._process.kill()  # ends a stopped process too
        self._process.wait(10)
        self._reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def restart(self, **options: Any) -> None:
        """Kill and start again at the same address, with some options changed."""
        self.kill()
        self.options |= options
        self.start()

    def resize(self, width: int, height: int) -> None:
        """Change the picture's size while somebody watches, without a new connection."""
        self._tell(f"size {width} {height}")
        assert self._answer() == "sized"

    def published(self) -> dict[str, int]:
        """What came in at publish_url: frames (decoded), codec_frames (H.264 units), width, height."""
        self._tell("published")
        found: dict[str, int] = json.loads(self._answer())
        return found

    def wait_published(self, frames: int, seconds: float = 20.0) -> dict[str, int]:
        """Wait until so many frames have been received and decoded in all."""
        end = time.monotonic() + seconds
        while (found := self.published())["frames"] < frames:
            assert time.monotonic() < end, f"not {frames} frames within {seconds} s: {found}"
            time.sleep(0.05)
        return found

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _answer(self, seconds: float = 10.0) -> str:
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"the camera did not answer within {seconds} s; exit code {self.process.poll()}") from None


class _Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _ThreadServer:
    """A TCP server in a thread of the test process, gone when the block is left."""

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        self.server = _Threads(("127.0.0.1", 0), handler)
        self.server.camera = self  # type: ignore[attr-defined]
        self.port: int = self.server.server_address[1]
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(10)


class _MjpegHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        camera: HttpCamera = self.server.camera  # type: ignore[attr-defined]
        if camera.user:
            token = base64.b64encode(f"{camera.user}:{camera.password}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {token}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
        if self.path.split("?")[0] != "/stream.mjpg":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
        self.end_headers()
        number = 0
        try:
            while not camera.ended.wait(1 / camera.rate):
                if camera.frozen.is_set():
                    continue
                jpeg = camera.jpeg(number)
                self.wfile.write(b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg))
                number += 1
                if number == camera.frames:
                    return
        except OSError:  # the viewer has gone
            return


class HttpCamera(_ThreadServer):
    """A camera of the kind that sends JPEGs over HTTP (multipart/x-mixed-replace), behind basic authentication if user is set.

    frames: how many it sends before it closes the connection; 0 for ever. garbage: random bytes in place of the JPEGs.
    frozen: an Event; while it is set nothing is sent.
    """

    def __init__(
        self, size: tuple[int, int] = (320, 240), rate: float = 25, *, color: bool = True, user: str = "", password: str = "",
        frames: int = 0, garbage: bool = False,
    ) -> None:
        super().__init__(_MjpegHandler)
        self.size, self.rate, self.color, self.user, self.password = size, rate, color, user, password
        self.frames, self.garbage = frames, garbage
        self.frozen = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream.mjpg"

    @property
    def url_with_password(self) -> str:
        return f"http://{self.user}:{self.password}@127.0.0.1:{self.port}/stream.mjpg"

    def picture(self, number: int) -> np.ndarray:
        """The picture of that number, (H, W, 3) uint8 RGB: stripes that move, coloured or gray; its top left corner tells the number."""
        width, height = self.size
        columns = (np.arange(width) + 4 * number) % 256
        picture = np.repeat(np.repeat(columns[None, :, None], height, 0), 3, 2).astype(np.uint8)
        if self.color:
            picture[..., 2] = 255 - picture[..., 0]
        picture[:32, :32] = number * 4 % 256
        return picture

    def jpeg(self, number: int) -> bytes:
        if self.garbage:
            return random.Random(number).randbytes(4000)
        encoded: bytes = simplejpeg.encode_jpeg(self.picture(number), 90, colorspace="RGB", colorsubsampling="420")
        return encoded


class _GarbageHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        camera: GarbageCamera = self.server.camera  # type: ignore[attr-defined]
        try:
            self.rfile.readline()
            while not camera.ended.wait(0.01):
                self.wfile.write(random.Random(1).randbytes(1000))
        except OSError:
            return


class GarbageCamera(_ThreadServer):
    """Answers whatever it is asked with random bytes: neither RTSP nor HTTP."""

    def __init__(self) -> None:
        super().__init__(_GarbageHandler)

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"


class _TlsHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        front: TlsFront = self.server.camera  # type: ignore[attr-defined]
        try:
            inside = socket.create_connection(("127.0.0.1", front.behind))
            with inside, front.context.wrap_socket(self.request, server_side=True) as outside:
                back = threading.Thread(target=_pass_on, args=(inside, outside), daemon=True)
                back.start()
                _pass_on(outside, inside)
                back.join(10)
        except OSError:  # the viewer did not like the certificate
            return


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


class TlsFront(_ThreadServer):
    """TLS before a camera that speaks none: rtsps:// or https:// at .port leads to the plain port ``behind``."""

    def __init__(self, behind: int, certificate: Path, key: Path) -> None:
        super().__init__(_TlsHandler)
        self.behind = behind
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
