"""Fifty viewers at once, some of whom stop reading: the others keep their frames, and the server its size."""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.serving import VIVID, Server, script, started

VIEWERS, STOPPED = 50, 5
FRAMES = 60  # that are watched; the clip plays 10 a second


class Crowd:
    """Streams read by one thread with select, so that this process is not what is measured; some of them never read."""

    def __init__(self, server: Server, stack: contextlib.ExitStack) -> None:
        self.found: dict[socket.socket, list[int]] = {}
        self.tails: dict[socket.socket, bytes] = {}
        self.selector = stack.enter_context(selectors.DefaultSelector())
        for number in range(VIEWERS):
            viewer = stack.enter_context(socket.socket())
            stops = number < STOPPED
            if stops:
                viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connecting: it sets the window
            viewer.settimeout(15)
            viewer.connect((server.host, server.port))
            viewer.sendall(b"GET /stream.mjpg?view=color HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not stops:
                viewer.setblocking(False)
                self.found[viewer], self.tails[viewer] = [], b""
                self.selector.register(viewer, selectors.EVENT_READ)

    def read(self) -> None:
        """Take what has come within a tenth of a second."""
        for key, _ in self.selector.select(0.1):
            viewer = key.fileobj
            assert isinstance(viewer, socket.socket)
            data = viewer.recv(1 << 20)
            assert data, "a viewer that reads was let go"
            self.found[viewer] += (int(n) for n in re.findall(rb"X-Sequence: (\d+)\r\n", self.tails[viewer] + data))
            # What a header that is cut in two leaves behind, without one that was counted already.
            self.tails[viewer] = data[-30:].rpartition(b"\r\n")[2] if b"\r\n" in data[-30:] else data[-30:]

    def newest(self) -> int:
        return max((found[-1] for found in self.found.values() if found), default=-1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started(script(VIVID)) as server:
        server.wait_for(lambda state: state["state"] == "live")
        yield server


def memory(server: Server) -> int:
    """Resident memory in bytes."""
    return int(re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())[0]) * 1024


def test_of_fifty_viewers_five_stop_reading_and_the_others_keep_nine_frames_of_ten(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        crowd = Crowd(server, stack)
        deadline = time.monotonic() + 60
        while not all(len(found) > 5 for found in crowd.found.values()):
            crowd.read()
            assert time.monotonic() < deadline, "not all of them see a picture"
        small, before, first = memory(server), server.state()["views"]["color"], crowd.newest()
        while crowd.newest() < first + FRAMES:
            crowd.read()
            assert time.monotonic() < deadline, f"{crowd.newest() - first} frames in a minute"
        last, after = crowd.newest(), server.state()["views"]["color"]
        assert after["watchers"] == VIEWERS, "those who stopped are still there, and cost no more than their places"
        encoded = after["encoded"] - before["encoded"]
        assert encoded <= last - first + 5, "one encode a frame for all"
        kept = [sum(first < number <= last for number in found) for found in crowd.found.values()]
        assert min(kept) >= 0.9 * min(encoded, last - first), f"of {encoded} encoded frames the unluckiest saw {min(kept)}"
        assert all(found == sorted(set(found)) for found in crowd.found.values())
        assert memory(server) < small + 16e6, "what is not taken is piled up"
    server.wait_for(lambda state: state["viewers"] == 0)
