"""What systemd is told, over real datagram sockets, and when the heartbeat stops."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecolor.service import Notifier, Pulse, Service, status

LIVE: dict[str, Any] = {
    "state": "live", "reason": None, "temperature_c": 51.4,
    "source": {"tries": 1, "retry_in_s": None},
    "frames": {"in": 0, "out": 0, "placeholders": 0, "rate": 24.96, "rate_in": 25.0},
    "chroma": {"mode": "auto", "feed": "gray", "active": True, "guesses": 0, "rate": 4.0, "limit": None, "throttled": False},
}  # fmt: skip


class Systemd:
    """The other end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(10)

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, socket_folder: Path) -> Iterator[tuple[Systemd, str]]:
    name = str(socket_folder / "notify") if request.param == "path" else f"@edgecolor-test-{os.getpid()}"
    other = Systemd(name.replace("@", "\0", 1) if name.startswith("@") else name)
    yield other, name
    other.socket.close()


class Line:
    """A pipeline's state that moves as told, and a clock."""

    def __init__(self, timeout: float = 5.0) -> None:
        self.now, self.timeout, self.state = 100.0, timeout, copy.deepcopy(LIVE)
        self.pulse = Pulse(lambda: self.now)
        self.look()

    def look(self) -> str | None:
        return self.pulse.standstill(self.state, self.timeout)

    def run(self, seconds: float, **moving: float) -> str | None:
        """The first standstill that is seen, looking every second; moving: counters and their steps."""
        for _ in range(int(seconds)):
            self.now += 1
            for name, step in moving.items():
                table = next(t for t in (self.state["frames"], self.state["chroma"], self.state["source"]) if name.rstrip("_") in t)
                table[name.rstrip("_")] += step
            if found := self.look():
                return found
        return None


def test_messages_reach_systemd_and_its_variables_go_no_further(systemd: tuple[Systemd, str]) -> None:
    other, name = systemd
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    notifier = Notifier(environment)
    assert environment == {"HOME": "/"} and notifier.watchdog == 30.0
    notifier.send("READY=1", "STATUS=up")
    assert other.heard() == ["READY=1", "STATUS=up"]
    service = Service({"NOTIFY_SOCKET": name})
    service.reloading()
    first, second, _ = other.heard()
    assert first == "RELOADING=1" and second.startswith("MONOTONIC_USEC=") and int(second.partition("=")[2]) > 0
    service.stopping()
    assert other.heard()[0] == "STOPPING=1"
    service.ready("reload refused: a\nREADY=0\x1b rtsp://me:sesame@cam/" + "x" * 600)
    ready, said = other.heard()
    assert ready == "READY=1" and said.startswith("STATUS=reload refused: a READY=0  rtsp://me@cam/xxx") and said.endswith("…")


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "/nobody/listens"}, {"WATCHDOG_USEC": "1000000"}]
)
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.send("READY=1")
    assert notifier.watchdog is None


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog is None


def test_frames_that_move_are_a_pulse() -> None:
    line = Line()
    assert line.run(300, in_=25, out=25, guesses=3) is None


def test_frames_that_come_and_do_not_go_are_a_standstill_that_may_end() -> None:
    line = Line()
    assert line.run(30, in_=25, out=25, guesses=3) is None
    assert "output has sent nothing" in (line.run(12, in_=25, guesses=3) or "")
    assert line.run(30, in_=25, out=25, guesses=3) is None


def test_seldom_frames_are_no_standstill() -> None:
    line = Line(timeout=100.0)
    for _ in range(10):
        assert line.run(1, in_=1) is None  # it comes, and is on its way for some seconds
        assert line.run(4) is None
        assert line.run(1, out=1, guesses=1) is None
        assert line.run(60) is None


def test_a_lost_camera_is_no_standstill_while_placeholders_go_out() -> None:
    line = Line()
    line.state["state"], line.state["chroma"]["active"] = "lost", False
    assert line.run(300, placeholders=1, tries=1) is None
    line.state["source"]["retry_in_s"] = 20.0
    assert line.run(300, placeholders=1) is None
    assert "output has sent nothing" in (line.run(12) or "")


def test_a_source_that_never_returns_is_a_standstill_after_its_own_time() -> None:
    line = Line(timeout=5.0)
    line.state["state"], line.state["chroma"]["active"] = "lost", False
    assert line.run(59, placeholders=1) is None
    assert "neither given a frame nor given up" in (line.run(5, placeholders=1) or "")
    patient = Line(timeout=60.0)
    patient.state["state"], patient.state["chroma"]["active"] = "lost", False
    assert patient.run(235, placeholders=1) is None
    assert patient.run(10, placeholders=1)


def test_a_guess_that_never_ends_is_a_standstill_but_a_slow_pace_is_none() -> None:
    line = Line()
    assert "no colour has been guessed" in (line.run(12, in_=25, out=25) or "")
    slow = Line()
    slow.state["chroma"]["limit"] = 0.05  # one in 20 s
    for _ in range(5):
        assert slow.run(20, in_=25, out=25) is None
        assert slow.run(1, in_=25, out=25, guesses=1) is None
    assert slow.run(70, in_=25, out=25)
    idle = Line()
    idle.state["chroma"]["active"] = False
    assert idle.run(100, in_=25, out=25) is None


def test_an_output_that_waits_for_a_seldom_guess_is_no_standstill() -> None:
    line = Line()
    line.state["chroma"]["limit"] = 0.02  # one in 50 s: a viewer who comes too soon after the last one waits so long for colour
    assert line.run(100, in_=25) is None
    assert line.run(1, in_=25, out=25, guesses=1) is None
    assert "output has sent nothing" in (line.run(160, in_=25, guesses=1) or "")
    line.state["chroma"]["active"] = False
    assert line.run(1, in_=25, out=25) is None
    assert "output has sent nothing" in (line.run(12, in_=25) or "")


def test_status_is_worth_reading() -> None:
    line = {**LIVE, "viewers": 1}
    assert status(line) == "live: 25.0 frames/s in, 25.0 out, 4.0 colour guesses/s, 1 viewer, 51 °C"
    chroma = {**LIVE["chroma"], "limit": 2.0, "throttled": True}
    assert status({**line, "chroma": chroma}).endswith("4.0 colour guesses/s of at most 2, 1 viewer, 51 °C (throttled)")
    chroma = {**LIVE["chroma"], "active": False, "feed": "color"}
    assert "the picture has colours of its own" in status({**line, "chroma": chroma})
    lost = {**line, "state": "lost", "reason": "no route", "source": {"tries": 4, "retry_in_s": 3.6}, "temperature_c": None, "viewers": 0}
    assert status(lost) == "lost: no route; next try in 4 s, 0 viewers"


def test_the_heartbeat_stops_with_the_frames_and_systemd_is_told_why(socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecolor.service._STALL_S", 0.2)
    other = Systemd(str(socket_folder / "notify"))
    service = Service({"NOTIFY_SOCKET": str(socket_folder / "notify"), "WATCHDOG_USEC": "100000"})
    state: dict[str, Any] = {**copy.deepcopy(LIVE), "viewers": 0}
    moving = {"out": 1}

    def look() -> dict[str, Any]:
        state["frames"]["in"] += 1
        state["frames"]["out"] += moving["out"]
        state["chroma"]["guesses"] += 1
        return state

    async def watch() -> None:
        reporting = asyncio.create_task(service.report(look, lambda: 5.0))

        async def heard() -> list[str]:
            return await asyncio.to_thread(other.heard)

        assert (await heard())[1] == "WATCHDOG=1"
        moving["out"] = 0
        while len(told := await heard()) > 1:
            pass
        assert told[0].startswith("STATUS=the output has sent nothing")
        moving["out"] = 1
        while len(told := await heard()) == 1:
            pass
        assert told[0].startswith("STATUS=live: ") and told[1] == "WATCHDOG=1"
        reporting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporting

    asyncio.run(asyncio.wait_for(watch(), 30))
    other.socket.close()


def test_sockets_of_systemd_are_taken_and_only_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp_fd, unix_fd = os.dup(tcp.fileno()), os.dup(unix.fileno())
        for number, (descriptor, found) in enumerate(((tcp_fd, 1), (unix_fd, 0))):
            monkeypatch.setattr("edgecolor.service._FIRST_SOCKET", descriptor)
            environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
            sockets = Service(environment).sockets
            assert not environment and len(sockets) == found, number
            for one in sockets:
                assert one.getsockname() == tcp.getsockname() and not one.get_inheritable()
                one.close()
        assert Service({"LISTEN_PID": "1", "LISTEN_FDS": "1"}).sockets == []
