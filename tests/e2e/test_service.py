"""A real server process as systemd runs it: what it tells, and other settings while viewers watch."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.certificates import own_certificate
from tests.conftest import DATA, ROOT, need, short_folder
from tests.e2e.camera import Camera
from tests.e2e.serving import Server, Viewer, script, started

SETTINGS = """
[source]
address = "demo"
[network]
threads = 1
[live]
chroma_rate = 5
[http]
address = "127.0.0.1:0"
"""


class Told:
    """The messages that came to a notification socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.lines: list[str] = []

    def until(self, wanted: Callable[[str], bool], seconds: float = 30) -> list[str]:
        """All lines since the last call, up to the first message with a line that is wanted."""
        end, heard = time.monotonic() + seconds, []
        while True:
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                message = self._socket.recv(4096).decode().split("\n")
            except TimeoutError:
                raise AssertionError(f"not told within {seconds} s; told was {heard}") from None
            heard += message
            if any(map(wanted, message)):
                return heard

    def close(self) -> None:
        self._socket.close()


@contextmanager
def served(folder: Path, settings: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Told, Path]]:
    file = folder / "front.toml"
    file.write_text(settings)
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    with short_folder() as sockets, closing(Told(Path(sockets) / "notify")) as told:
        monkeypatch.setenv("NOTIFY_SOCKET", f"{sockets}/notify")
        with started([sys.executable, "-m", "edgecolor", "serve", "--config", str(file)]) as server:
            yield server, told, file


def is_line(begin: str) -> Callable[[str], bool]:
    return lambda line: line.startswith(begin)


def test_systemd_hears_of_every_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, SETTINGS, monkeypatch) as (server, told, _):
        told.until(is_line("READY=1"))
        assert server.get("/healthz")[0] in (200, 503)  # it listens already
        for _ in range(3):
            told.until(is_line("WATCHDOG=1"), 10)
        told.until(lambda line: line.startswith("STATUS=live: ") and "0 viewers" in line)
        with Viewer(server) as viewer:
            viewer.part()
            told.until(lambda line: "colour guesses/s of at most 5, 1 viewer" in line)
        assert server.stop()[0] == 0
        told.until(is_line("STOPPING=1"))


def test_other_settings_are_taken_while_viewers_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, SETTINGS, monkeypatch) as (server, told, file), Viewer(server) as viewer:
        viewer.part()
        told.until(is_line("READY=1"))
        file.write_text(SETTINGS.replace('"demo"', f'"{DATA / "demo.mp4"}"\nloop = true').replace("rate = 5", "rate = 2"))
        server.process.send_signal(signal.SIGHUP)
        heard = told.until(is_line("READY=1"))
        assert "RELOADING=1" in heard and any(line.startswith("MONOTONIC_USEC=") for line in heard)
        state = server.wait_for(lambda state: state["state"] == "live")
        assert state["source"]["name"].endswith("demo.mp4") and state["chroma"]["limit"] == 2 and state["viewers"] == 1
        # That clip has its own colours; they come over the connection of before.
        while viewer.part().origin != "camera":
            pass
        assert "reloaded" in server.stderr
        assert server.stop()[0] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("chroma_rate", "chroma_rat"), "front.toml:7: live: unknown key 'chroma_rat'; did you mean 'chroma_rate'?"),
        (('"demo"', '"dmo"'), "source 'dmo' is unknown"),
        (('"demo"', '"rtsp://[::1/x"'), "front.toml:3: source.address: source rtsp://[::1/x: a port is a number"),
        (("[live]", '[publish]\nurl = "rtsp://[::1:8554/porch"\n[live]'), "front.toml:7: publish.url: url 'rtsp://[::1:8554/porch'"),
        (("threads = 1", 'model = "absent"'), "absent"),
        (("[live]", '[publish]\nurl = "rtsp://127.0.0.1:1/x"\nencoder = "h264_magic"\n[live]'), "h264_magic"),
        (("[live]", '[log]\nformat = "json"\n[publish]\nurl = "rtsp://127.0.0.1:1/x"\nencoder = "h264_none"\n[live]'), "h264_none"),
        (('"127.0.0.1:0"', '"127.0.0.1:0"\ntls_certificate = "/absent"\ntls_key = "/absent"'), "/absent: can not be read for TLS"),
        (('"127.0.0.1:0"', '"192.0.2.1:80"\ntoken = "0123456789abcdef"'), "can not listen on 192.0.2.1:80"),
    ],
)
def test_wrong_settings_change_nothing_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], says: str
) -> None:
    with served(tmp_path, SETTINGS, monkeypatch) as (server, told, file):
        told.until(is_line("READY=1"))
        server.wait_for(lambda state: state["state"] == "live")
        file.write_text(SETTINGS.replace(*change))
        file.chmod(0o600)
        server.process.send_signal(signal.SIGHUP)
        heard = told.until(is_line("STATUS=reload refused"))
        assert says in heard[-1], heard
        # Since then it stands in each STATUS, and all goes on.
        told.until(lambda line: line.startswith("STATUS=live: ") and says in line)
        port = server.lines.get(timeout=10) if "192.0.2.1" in change[1] else server.url  # listening anew took another free port
        server.port = int(port.rstrip("/\n").rpartition(":")[2])
        state = server.wait_for(lambda state: state["state"] == "live")
        assert state["source"]["name"] == "demo" and says in server.stderr and '"level"' not in server.stderr, "[log] stays too"
        file.write_text(SETTINGS.replace("chroma_rate = 5", "chroma_rate = 3"))
        server.process.send_signal(signal.SIGHUP)
        told.until(lambda line: line.startswith("STATUS=live: ") and "refused" not in line)
        assert server.wait_for(lambda state: state["chroma"]["limit"] == 3)
        assert server.stop()[0] == 0


# A server that finds what nobody foresaw when it reads its settings anew. FILE: where they stand.
UNFORESEEN = """
from edgecolor import cli, serving

made = serving.parts_of
serving.parts_of = lambda config, before=None: made(config, before) if before is None else {}["nobody foresaw this"]
cli.main(["serve", "--config", FILE])
"""


def test_what_nobody_foresaw_is_a_refusal_too_with_its_traceback(tmp_path: Path) -> None:
    file = tmp_path / "front.toml"
    file.write_text(SETTINGS)
    with started(script(UNFORESEEN.replace("FILE", repr(str(file))))) as server:
        server.wait_for(lambda state: state["state"] == "live")
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while "KeyError" not in server.stderr:
            assert time.monotonic() < end and server.process.poll() is None, server.stderr
            time.sleep(0.02)
        assert "the new settings are not taken, the old ones stay: 'nobody foresaw this'" in server.stderr
        assert "Traceback" in server.stderr and server.state()["state"] == "live"
        assert server.stop()[0] == 0


def arenas(process: int) -> int:
    """Arenas of glibc's besides the first one: each reserves the 64 MB from a multiple of 64 MB on (malloc/arena.c, HEAP_MAX_SIZE)."""
    size = 64 << 20
    maps = [line.split() for line in Path(f"/proc/{process}/maps").read_text().splitlines()]
    spans = [(*(int(end, 16) for end in fields[0].split("-")), fields[1]) for fields in maps if len(fields) == 5]
    return sum(
        1 for (start, end, _), (rest, stop, rights) in pairwise(spans)
        if start % size == 0 and rest == end and stop == start + size and rights == "---p"
    )  # fmt: skip


def test_threads_share_what_was_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, SETTINGS, monkeypatch) as (server, _, _):
        server.wait_for(lambda state: state["state"] == "live")
        with Viewer(server) as viewer:
            for _ in range(5):
                viewer.part()
            assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) > 4
            assert arenas(server.process.pid) == 1


def test_another_address_is_served_after_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, SETTINGS, monkeypatch) as (server, told, file):
        told.until(is_line("READY=1"))
        file.write_text(SETTINGS.replace('"127.0.0.1:0"', '"127.0.0.1:0"\nquality = 50'))
        server.process.send_signal(signal.SIGHUP)
        told.until(is_line("READY=1"))
        server.wait_listening()
        assert server.get("/snapshot.jpg")[0] == 200
        assert server.stop()[0] == 0


def test_a_renewed_certificate_counts_from_a_reload_on_and_viewers_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        return ssl.get_server_certificate((server.host, server.port))

    certificate, key = own_certificate(tmp_path)
    tls = f'"127.0.0.1:0"\ntls_certificate = "{certificate}"\ntls_key = "{key}"'
    with served(tmp_path, SETTINGS.replace('"127.0.0.1:0"', tls), monkeypatch) as (server, told, file), Viewer(server) as viewer:
        told.until(is_line("READY=1"))
        first = shown()
        assert first.split() == certificate.read_text().split()
        own_certificate(tmp_path)
        assert shown() == first
        server.process.send_signal(signal.SIGHUP)
        told.until(is_line("READY=1"))
        renewed = shown()
        assert renewed != first and renewed.split() == certificate.read_text().split()
        key.write_text("broken")
        file.write_text(file.read_text().replace("chroma_rate = 5", "chroma_rate = 4"))
        server.process.send_signal(signal.SIGHUP)
        assert "not a PEM certificate and its key" in told.until(is_line("STATUS=reload refused for the certificate"))[-1]
        assert shown() == renewed and server.state()["chroma"]["limit"] == 4, "all else of the new settings counts"
        number = viewer.part().sequence
        while viewer.part().sequence <= number:
            pass
        assert server.state()["viewers"] == 1 and server.stop()[0] == 0


def test_a_changed_password_of_the_media_server_counts_from_a_reload_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "publish"
    credentials.write_text("cam:wrong\n")
    credentials.chmod(0o600)
    with Camera(user="cam", password="right") as camera:
        publish = f'[publish]\nurl = "{camera.publish_url}"\ncredentials = "{credentials}"\n'
        with served(tmp_path, SETTINGS + publish, monkeypatch) as (server, told, _):
            told.until(is_line("READY=1"))
            server.wait_for(lambda state: "refuses this user and password" in (state["publish"]["reason"] or ""))
            credentials.write_text("cam:right\n")
            server.process.send_signal(signal.SIGHUP)
            told.until(is_line("READY=1"))
            server.wait_for(lambda state: state["publish"]["state"] == "connected")
            server.process.send_signal(signal.SIGHUP)  # what has not changed goes on
            told.until(is_line("READY=1"))
            assert server.state()["publish"]["state"] == "connected" and server.state()["publish"]["connections"] == 1
            assert server.stop()[0] == 0


def test_it_serves_at_a_socket_that_systemd_opened(tmp_path: Path) -> None:
    activate = need("systemd-socket-activate", "systemd")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = tmp_path / "front.toml"
    file.write_text(SETTINGS.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    serve = [sys.executable, "-m", "edgecolor", "serve", "--config", str(file)]
    server = Server([activate, "-l", f"127.0.0.1:{port}", "-E", f"PYTHONPATH={ROOT}", *serve])
    try:
        end = time.monotonic() + 30
        while True:  # the first connection starts the server; until then systemd's program itself has to start
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 10).close()
                break
            assert time.monotonic() < end, server.stderr
            time.sleep(0.05)
        assert server.wait_listening().port == port
        file.write_text(file.read_text() + "quality = 50\n")  # another server at the same socket
        server.process.send_signal(signal.SIGHUP)
        server.wait_listening()
        assert server.wait_for(lambda state: state["state"] == "live")
        assert server.stop()[0] == 0 and "Traceback" not in server.stderr
    finally:
        server.process.kill()
        server.process.wait(10)
        server.join()
        for pipe in (server.process.stdout, server.process.stderr):
            if pipe is not None:
                pipe.close()
