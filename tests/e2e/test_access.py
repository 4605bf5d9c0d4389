"""Who is let in, over real connections: credentials, TLS, host names, and clients that mean harm."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.certificates import own_certificate
from tests.e2e.serving import Server, Viewer, read_head, script, started

TOKEN = "0123456789abcdefTOKEN"
PASSWORD = "correct horse: battery"
# A guarded server; {} stands for more options. The hash is cheap, so that tests are quick.
GUARDED = f"""
import base64
from edgecolor.credentials import Secret
from edgecolor.sinks.http import access
from edgecolor.sources import open_source
from tests.e2e.live import *

access._N, access._P = 1024, 1
options = dict(
    address="127.0.0.1:0", username="eve", password_hash=Secret(access.hash_password(Secret({PASSWORD!r}))), token=Secret({TOKEN!r}),
)
options.update(MORE)
serve_live(open_source("demo"), Gray(), HttpOptions(**options))
"""
PATHS = ["/", "/stream.mjpg", "/snapshot.jpg", "/?action=stream", "/?action=snapshot", "/state", "/metrics", "/nothing"]


def basic(user: str = "eve", password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def guarded(**more: object) -> list[str]:
    return script(GUARDED.replace("MORE", repr(more)))


@contextlib.contextmanager
def live(command: list[str], headers: dict[str, str] | None = None) -> Iterator[Server]:
    with started(command) as server:
        server.headers = headers or {"Authorization": f"Bearer {TOKEN}"}
        server.wait_for(lambda state: state["state"] == "live")
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with live(guarded()) as server:
        yield server
        code, _ = server.stop()
        assert code == 0 and "Traceback" not in server.stderr, server.stderr
        for secret in (TOKEN, PASSWORD, basic(), "scrypt$"):
            assert secret not in server.stderr


@contextlib.contextmanager
def nobody(server: Server) -> Iterator[Server]:
    """The server as somebody sees it who has no credentials."""
    headers, server.headers = server.headers, {}
    try:
        yield server
    finally:
        server.headers = headers


@pytest.mark.parametrize("path", PATHS)
def test_without_credentials_nothing_is_shown_and_they_are_asked_for(server: Server, path: str) -> None:
    with nobody(server):
        status, headers, body = server.get(path)
        assert status == 401 and headers["www-authenticate"].startswith('Basic realm="EdgeColor"')
        assert json.loads(body) == {"error": "no credentials"}


@pytest.mark.parametrize("path", ["/", "/snapshot.jpg?view=gray", "/state", "/metrics", "/healthz"])
def test_password_and_token_open_everything(server: Server, path: str) -> None:
    with nobody(server):
        assert server.get(path, Authorization=basic())[0] == 200
        assert server.get(path, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert server.get(f"{path}{'&' if '?' in path else '?'}token={TOKEN}")[0] == 200


def test_a_player_with_a_token_in_the_address_gets_the_stream(server: Server) -> None:
    with nobody(server), Viewer(server, path=f"/stream.mjpg?view=gray&token={TOKEN}") as viewer:
        assert viewer.part().jpeg


def test_a_probe_without_credentials_gets_one_word_and_no_names(server: Server) -> None:
    with nobody(server):
        status, _, body = server.get("/healthz")
        assert (status, json.loads(body)) == (200, {"state": "live"})
    with live(guarded(probe="closed")) as closed, nobody(closed):
        assert closed.get("/healthz")[0] == 401


def test_wrong_credentials_are_refused_and_soon_not_even_heard() -> None:
    with live(guarded()) as server:
        assert server.get("/state", Authorization=basic("eve", "wrong"))[0] == 401
        assert server.get("/state", Authorization=basic("bob"))[0] == 401
        assert server.get("/healthz", Authorization="Bearer wrong")[0] == 401
        statuses = [server.get("/state?token=wrong")[0] for _ in range(10)]
        assert statuses[0] == 401 and statuses[-1] == 429
        status, headers, body = server.get("/state")
        assert status == 429 and int(headers["retry-after"]) > 0 and json.loads(body)["error"], "the right one is not heard either"
        assert server.stop()[0] == 0 and "wrong" not in server.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return own_certificate(tmp_path_factory.mktemp("tls"))


def test_tls_with_a_certificate_that_is_verified_at_several_addresses(certificate: tuple[Path, Path]) -> None:
    cert, key = map(str, certificate)
    with live(guarded(tls_certificate=cert, tls_key=key, address="127.0.0.1:0, 127.0.0.2:0")) as server:
        assert server.url.startswith("https://127.0.0.1:")
        silent = socket.create_connection((server.host, server.port), timeout=15)
        second = server.lines.get(timeout=5).strip()
        assert re.fullmatch(r"https://127\.0\.0\.2:\d+/", second)
        with Viewer(server, "gray") as viewer:
            assert [viewer.part().jpeg[:2] for _ in range(3)] == [b"\xff\xd8"] * 3
        verifying = ssl.create_default_context(cafile=cert)
        request = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"
        plain = socket.create_connection((server.host, server.port), timeout=10)
        with verifying.wrap_socket(plain, server_hostname="localhost") as tls:
            assert tls.version() in ("TLSv1.2", "TLSv1.3")
            tls.sendall(request)
            assert read_head(tls).startswith(b"HTTP/1.0 200")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")  # or this client would refuse by itself
        cut_off = pytest.raises((ssl.SSLError, ConnectionResetError))
        with socket.create_connection((server.host, server.port), timeout=10) as plain, cut_off as refused:
            old.wrap_socket(plain)
        assert getattr(refused.value, "reason", "") != "NO_PROTOCOLS_AVAILABLE", "it was the client that refused"
        # Plain HTTP where TLS is spoken, and a handshake that never comes: cut, without a trace.
        for bytes_sent in (request, b"\x16\x03\x01\xff\xff" + b"\0" * 64):
            with socket.create_connection((server.host, server.port), timeout=15) as plain:
                plain.sendall(bytes_sent)
                with contextlib.suppress(ConnectionResetError):
                    assert b"HTTP/" not in plain.recv(4096)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        silent.close()
        assert server.stop()[0] == 0 and server.stderr == ""


def refused(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode != 0 and done.stdout == "", done.stdout
    return done.stderr.splitlines()[-1]


def test_files_that_are_no_certificate_and_addresses_without_credentials_are_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with ThreadPoolExecutor(2) as pool:
        errors = pool.map(refused, [
            guarded(tls_certificate=str(junk), tls_key=str(junk)),
            script(GUARDED.replace("MORE", "{}").replace("HttpOptions(**options)", 'HttpOptions("0.0.0.0:0")')),
        ])  # fmt: skip
    first, second = errors
    assert "ServeError" in first and str(junk) in first
    assert "ConfigError" in second and "needs credentials" in second


def own_address() -> str:
    """An address of this machine beyond loopback; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no address beyond loopback")
        return str(probe.getsockname()[0])


def test_beyond_loopback_addresses_and_given_names_are_answered_and_viewers_of_one_client_are_limited() -> None:
    address = own_address()
    with live(guarded(address=f"{address}:0", hosts=("camera.example",), viewers_each=3)) as server:
        assert server.host == address and "travel readable" in server.stderr
        names = (address, "camera.example:8080", "CAMERA.example", "192.0.2.99:1", "localhost", socket.gethostname())
        assert {name: server.get("/healthz", Host=name)[0] for name in names} == dict.fromkeys(names, 200)
        assert server.get("/healthz", Host="evil.example")[0] == 421
        with contextlib.ExitStack() as stack:
            assert [stack.enter_context(Viewer(server, "gray")).status for _ in range(3)] == [200, 200, 200]
            status, _, body = server.get("/stream.mjpg")
            assert status == 503 and "one address" in json.loads(body)["error"]
            # Whatever a client says of whom it speaks for.
            assert server.get("/stream.mjpg", **{"X-Forwarded-For": "192.0.2.77", "Forwarded": "for=192.0.2.77"})[0] == 503
        server.wait_for(lambda state: state["viewers"] == 0)


# Clients that mean harm


def ended_after(connection: socket.socket, drip: bytes) -> float:
    """Send a byte of ``drip`` now and then until the server ends the connection: the seconds that it took."""
    begin = time.monotonic()
    connection.settimeout(0.5)
    for byte in drip:
        assert time.monotonic() - begin < 20, "never cut"
        try:
            connection.sendall(bytes([byte]))
            if not connection.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begin


def test_slow_requests_are_cut_within_ten_seconds_and_nobody_else_suffers(server: Server) -> None:
    head = b"GET /state HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 4000
    with contextlib.ExitStack() as stack:
        first, second, silent = (stack.enter_context(socket.create_connection((server.host, server.port))) for _ in range(3))
        # The second one has been answered once already.
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_head(second).startswith(b"HTTP/1.1 200")
        silent.settimeout(15)
        with ThreadPoolExecutor(3) as pool:
            cut = [pool.submit(ended_after, one, head) for one in (first, second)]
            quiet = pool.submit(silent.recv, 1)
            assert server.get("/healthz")[0] == 200
            assert all(one.result() <= 10 for one in cut)
            assert quiet.result() == b""


@contextlib.contextmanager
def silent_crowd(server: Server) -> Iterator[None]:
    """Two hundred connections that say nothing; those beyond the limit have been ended."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection((server.host, server.port), timeout=10)) for _ in range(200)]
        with contextlib.suppress(ConnectionResetError):
            assert crowd[-1].recv(1) == b""  # they are accepted in turn
        yield


def wait_for_few(server: Server) -> None:
    deadline = time.monotonic() + 10
    while server.connections() > 10:
        assert time.monotonic() < deadline, "they are still held"
        time.sleep(0.05)


def test_a_crowd_of_silent_connections_is_bounded_and_does_not_last(server: Server) -> None:
    with silent_crowd(server):
        assert server.connections() <= 64 + 64 + 5
    wait_for_few(server)
    assert server.get("/healthz")[0] == 200


def test_a_crowd_that_begins_no_tls_is_bounded_by_the_files_that_the_process_may_open(certificate: tuple[Path, Path]) -> None:
    cert, key = map(str, certificate)
    # Under the limit for viewers, over that of the process: the board and the camera need descriptors as well.
    limited = ["sh", "-c", 'ulimit -n 200; exec "$@"', "sh", *guarded(tls_certificate=cert, tls_key=key)]
    with live(limited) as server:
        with silent_crowd(server):
            assert server.connections() <= 100 + 5
        wait_for_few(server)
        with silent_crowd(server):  # the places of those who never came in were given back
            assert 100 <= server.connections() <= 100 + 5
        wait_for_few(server)
        assert server.get("/healthz")[0] == 200
        assert server.stop()[0] == 0
        (warning,) = server.stderr.splitlines()
        assert "no more than 100 connections" in warning and "LimitNOFILE=" in warning


HOSTILE = [
    b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"../" * 1000),
    b"GET /?view=" + b"%ff" * 500 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /?token=%00%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /?token=" + b"a" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /?" + b"&".join(b"a%d=1" % n for n in range(400)) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " + b"A" * 3000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic \xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: \r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xc3\xa9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(100)) + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
    b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n",
    b"GET /state HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_requests_are_refused_without_a_traceback(server: Server, request_bytes: bytes) -> None:
    # A client of its own each time: wrong credentials are counted by address.
    source = (f"127.0.1.{HOSTILE.index(request_bytes) + 1}", 0)
    with socket.create_connection((server.host, server.port), timeout=15, source_address=source) as connection:
        connection.sendall(request_bytes)
        answer = read_head(connection)
    assert re.match(rb"HTTP/1\.[01] 4\d\d ", answer), answer[:200]
    assert b"Traceback" not in answer and b"aiohttp" not in answer.lower()
