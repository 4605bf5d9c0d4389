"""Starts real server processes for the end-to-end tests and reads what they send."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

DEMO = [sys.executable, "-m", "edgecolor", "serve", "demo", "--http", "127.0.0.1:0", "--threads", "1"]
# The real pipeline, sink and page, but with a network whose colours are strong and known: what the page shows must not
# depend on how well a model was trained.
VIVID = """
from edgecolor.sources import open_source
from tests.e2e.live import *

serve_live(open_source("demo"))
"""


class Server:
    """A running server process: its address, and its stderr once it has ended."""

    def __init__(self, command: list[str], stdin: int | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        # Both pipes are drained all the time: a full one would stop the server.
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        self.headers: dict[str, str] = {}  # sent with each request
        self._readers = [
            threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout], daemon=True),
            threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_listening(self, seconds: float = 60) -> Server:
        try:
            self.url = self.lines.get(timeout=seconds).strip()
        except queue.Empty:
            raise AssertionError(f"no address within {seconds} s; stderr: {self.stderr}") from None
        address = urlsplit(self.url)
        assert address.hostname is not None and address.port is not None, self.url
        self.host, self.port = address.hostname, address.port
        return self

    def connect(self) -> http.client.HTTPConnection:
        """A connection; over TLS whatever the certificate says, where the address asks for it."""
        if self.url.startswith("https:"):
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            return http.client.HTTPSConnection(self.host, self.port, timeout=15, context=trusting)
        return http.client.HTTPConnection(self.host, self.port, timeout=15)

    @property
    def stderr(self) -> str:
        return "".join(self.errors)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            connection.request("GET", path, headers={**self.headers, **headers})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        return json.loads(self.get("/state")[2])

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
        """Ask for /state until the condition holds."""
        end = time.monotonic() + seconds
        while not condition(state := self.state()):
            assert time.monotonic() < end, f"not within {seconds} s; the last state is {state}"
            time.sleep(0.05)
        return state

    def connections(self) -> int:
        """Sockets that the process holds open."""
        return sum(1 for fd in Path(f"/proc/{self.process.pid}/fd").iterdir() if _is_socket(fd))

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10) -> tuple[int, float]:
        """Send a signal and wait for the end: the exit code, and the seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        took = time.monotonic() - begin
        self.join()
        return code, took

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def join(self) -> None:
        """Once the process has ended: wait until all that it wrote has been read."""
        for reader in self._readers:
            reader.join(5)


def _is_socket(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except FileNotFoundError:  # closed meanwhile
        return False


@contextmanager
def started(command: list[str], stdin: int | None = None) -> Iterator[Server]:
    """A server process that is gone afterwards, whatever happens."""
    server = Server(command, stdin)
    try:
        yield server.wait_listening()
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)
        server.join()
        for pipe in (server.process.stdin, server.process.stdout, server.process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


@contextmanager
def stuck_viewer(server: Server, view: str = "color") -> Iterator[socket.socket]:
    """A viewer that has asked for a stream and reads nothing; it is stuck already when this returns."""
    with socket.socket() as viewer:
        viewer.settimeout(15)
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connecting: it sets the window
        before = server.state()["viewers"]
        viewer.connect((server.host, server.port))
        viewer.sendall(f"GET /stream.mjpg?view={view} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        asked = server.wait_for(lambda state: state["viewers"] == before + 1)
        # Ten frames are far more than the small buffers hold.
        server.wait_for(lambda state: state["views"][view]["encoded"] > asked["views"][view]["encoded"] + 10)
        yield viewer


def read_head(connection: socket.socket) -> bytes:
    """An answer up to the end of its headers, or whatever came before the connection ended."""
    answer = b""
    while b"\r\n\r\n" not in answer and (data := connection.recv(65536)):
        answer += data
    return answer


def script(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@dataclass(frozen=True)
class Part:
    sequence: int
    pts: float
    origin: str
    jpeg: bytes


class Viewer:
    """Reads /stream.mjpg part by part over a socket of its own."""

    def __init__(self, server: Server, view: str = "color", path: str = "") -> None:
        self.connection = server.connect()
        self.connection.request("GET", path or f"/stream.mjpg?view={view}", headers=server.headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        kind = self.answer.getheader("Content-Type", "")
        found = re.fullmatch(r"multipart/x-mixed-replace; ?boundary=(\S+)", kind)
        assert self.status != 200 or found, kind
        self.boundary = found.group(1) if found else ""

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.answer.close()
        self.connection.close()

    def part(self) -> Part:
        stream: BinaryIO = self.answer
        assert stream.readline() == f"--{self.boundary}\r\n".encode()
        headers: dict[str, str] = {}
        while (line := stream.readline()) != b"\r\n":
            assert line.endswith(b"\r\n"), line
            name, _, value = line.decode().partition(": ")
            headers[name] = value.strip()
        assert headers["Content-Type"] == "image/jpeg"
        jpeg = stream.read(int(headers["Content-Length"]))
        assert stream.readline() == b"\r\n"
        return Part(int(headers["X-Sequence"]), float(headers["X-Pts"]), headers["X-EdgeColor-Origin"], jpeg)
