"""`edgecolor serve demo` as a real process, seen from outside: what it prints, sends, refuses, and how it ends."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.serving import DEMO, VIVID, Server, Viewer, read_head, script, started, stuck_viewer

CLIP = Path(__file__).parents[1] / "data" / "demo.mp4"

# A server whose source does what the test says, line by line on stdin: "frame", "color" (one with colours of its own), "fail",
# "bug", "end". It is lost when it is silent for half a second, and the pipeline gives it one more to say so itself.
SCRIPTED = """
import sys
from edgecolor.errors import SourceError
from edgecolor.frame import Frame
from tests.e2e.live import *

class Scripted:
    name, rate, live, timeout = "scripted", 10.0, True, 0.5
    def frames(self, stop):
        for number, line in enumerate(sys.stdin):
            if line == "fail\\n":
                raise SourceError("scripted: the camera is gone")
            if line == "bug\\n":
                raise KeyError("nobody foresaw this")
            if line == "end\\n":
                return
            y = np.full((48, 64), 100, np.uint8)
            chroma = np.random.default_rng(number).integers(0, 256, (2, 24, 32), np.uint8) if line == "color\\n" else (None, None)
            yield Frame(y, *chroma, sequence=number)

serve_live(Scripted(), Gray())
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with started(DEMO) as server:
        server.wait_for(lambda state: state["state"] == "live")
        yield server


def decoded(jpeg: bytes) -> np.ndarray:
    """(H, W, 3) RGB; raises on a damaged file."""
    return simplejpeg.decode_jpeg(jpeg)


def luma_of(jpeg: bytes) -> np.ndarray:
    """The JPEG's own Y plane."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).astype(int)


# What it sends


def test_one_line_is_printed_and_it_is_the_address(demo: Server) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", demo.url)
    assert demo.lines.empty()
    status, headers, body = demo.get("/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert b"not evidence" in body


@pytest.mark.parametrize("view", ["color", "gray", "split"])
def test_a_stream_is_parts_that_move_forward(demo: Server, view: str) -> None:
    with Viewer(demo, view) as viewer:
        parts = [viewer.part() for _ in range(15)]
    sequences = [part.sequence for part in parts]
    assert sequences == sorted(set(sequences))
    assert all(decoded(part.jpeg).shape == (432, 768, 3) for part in parts)
    assert len({part.jpeg for part in parts}) > 5, "the picture moves; single frames of the clip repeat the one before"
    header = simplejpeg.decode_jpeg_header(parts[0].jpeg)
    assert header[2:] == (("Gray", "Gray") if view == "gray" else ("YCbCr", "420"))


@pytest.mark.parametrize("view", ["color", "gray", "split"])
def test_luma_is_the_clips_own_stretched_to_full_range(demo: Server, view: str) -> None:
    with Viewer(demo, view) as viewer:
        part = viewer.part()
    with av.open(str(CLIP)) as clip:
        position = part.sequence % clip.streams.video[0].frames
        picture = next(islice(clip.decode(video=0), position, None))
        limited = picture.to_ndarray()[: picture.height, : picture.width].astype(float)
    want = np.clip(np.rint((limited - 16) * 255 / 219), 0, 255)
    error = np.abs(luma_of(part.jpeg) - want)
    assert error.mean() < 2.0, "the range is wrong, or it is another frame"
    # The bound is tight enough: luma that was not stretched is far outside of it.
    assert np.abs(limited - want).mean() > 4.0


def test_snapshots_are_whole_jpegs_of_the_view_that_was_asked_for(demo: Server) -> None:
    for view, components in (("color", "YCbCr"), ("gray", "Gray"), ("split", "YCbCr")):
        status, headers, body = demo.get(f"/snapshot.jpg?view={view}")
        assert (status, headers["content-type"], headers["cache-control"]) == (200, "image/jpeg", "no-store")
        assert body[:2] == b"\xff\xd8" and body[-2:] == b"\xff\xd9"
        assert simplejpeg.decode_jpeg_header(body)[2] == components
        # The camera's own picture is not marked; guessed colour is, with nothing that looks like a JPEG inside the JPEG.
        assert body.count(b"digitalsourcetype/algorithmicallyEnhanced") == (view != "gray")
        assert body.count(b"\xff\xd8") == body.count(b"\xff\xd9") == 1
        assert decoded(body).shape == (432, 768, 3)


def test_colour_is_where_it_belongs_with_a_network_of_known_colours() -> None:
    with started(script(VIVID)) as server:
        server.wait_for(lambda state: state["state"] == "live")
        pictures = {view: decoded(server.get(f"/snapshot.jpg?view={view}")[2]).astype(int) for view in ("color", "gray", "split")}
        spread = {view: picture.max(axis=2) - picture.min(axis=2) for view, picture in pictures.items()}
        assert spread["gray"].max() == 0
        assert np.median(spread["color"][:, :380]) > 20 and np.median(spread["color"][:, 390:]) > 20
        assert spread["split"][:, :380].max() <= 4 and np.median(spread["split"][:, 390:]) > 20
        red, green, _ = np.moveaxis(pictures["color"], 2, 0)
        assert np.median((red - green)[:, :100]) > 20 > -20 > np.median((red - green)[:, -100:])


def test_healthz_and_state_while_all_is_well(demo: Server) -> None:
    status, _, body = demo.get("/healthz")
    assert (status, json.loads(body)) == (200, {"state": "live", "reason": None})
    with Viewer(demo):  # colours are guessed while somebody watches
        state = demo.wait_for(lambda state: state["frames"]["rate"] > 9 and state["chroma"]["rate"] > 0)
    assert state["frames"]["rate"] < 11 and state["chroma"]["rate"] < 15  # the latter from few guesses
    assert state["model"]["name"] == "edgecolor" and state["source"]["name"] == "demo"


def test_metrics_are_valid_and_tell_of_viewers_and_frames(demo: Server) -> None:
    with Viewer(demo, "split") as viewer:
        viewer.part()
        status, headers, body = demo.get("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]
    found = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert found["edgecolor_up",] == 1 and found["edgecolor_viewers", "split"] == 1
    assert found["edgecolor_frames_out_total",] > 0 and found["edgecolor_encodes_total", "split"] > 0
    assert found["edgecolor_sent_bytes_total",] > 10_000 and found["edgecolor_latency_seconds_count",] > 0
    assert found["process_resident_memory_bytes",] > 1e6


def test_the_addresses_of_mjpg_streamer_work(demo: Server) -> None:
    with Viewer(demo, path="/?action=stream") as viewer:
        assert decoded(viewer.part().jpeg).shape == (432, 768, 3)
    status, headers, body = demo.get("/?action=snapshot&view=gray")
    assert (status, headers["content-type"]) == (200, "image/jpeg") and simplejpeg.decode_jpeg_header(body)[2] == "Gray"
    assert demo.get("/?action=command")[0] == demo.get("/?action=")[0] == 400


def test_the_page_takes_nothing_from_elsewhere(demo: Server) -> None:
    _, headers, body = demo.get("/")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert not re.search(rb"(src|href)\s*=\s*[\"']?(https?:)?//", body)


# Viewers


def test_one_encode_serves_all_viewers_and_views_nobody_watches_are_not_encoded(demo: Server) -> None:
    demo.wait_for(lambda state: all(view["watchers"] == 0 for view in state["views"].values()))
    before = demo.state()
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(demo, "split")) for _ in range(10)]
        with ThreadPoolExecutor(10) as pool:
            got = list(pool.map(lambda viewer: {part.sequence: part.jpeg for part in (viewer.part() for _ in range(20))}, viewers))
        after = demo.state()
    encoded = after["views"]["split"]["encoded"] - before["views"]["split"]["encoded"]
    frames = after["frames"]["out"] - before["frames"]["out"]
    assert 15 <= encoded <= frames + 1, "ten viewers, yet one encode a frame"
    assert sum(len(parts) for parts in got) == 200
    common = set.intersection(*(set(parts) for parts in got))
    assert len(common) > 5
    assert all(len({parts[sequence] for parts in got}) == 1 for sequence in common), "all saw the same bytes"
    for view in ("color", "gray"):
        assert after["views"][view]["encoded"] == before["views"][view]["encoded"]
    gone = demo.wait_for(lambda state: state["viewers"] == 0)
    idle = demo.wait_for(lambda state: state["frames"]["out"] > gone["frames"]["out"] + 1)  # what was being encoded for them is done
    later = demo.wait_for(lambda state: state["frames"]["out"] > idle["frames"]["out"] + 5)
    assert later["views"]["split"]["encoded"] == idle["views"]["split"]["encoded"]


def test_a_viewer_that_stops_reading_slows_nobody_and_sees_no_old_frames_later(demo: Server) -> None:
    with stuck_viewer(demo) as stuck:
        with Viewer(demo) as viewer:
            first = viewer.part()
            begin = time.monotonic()
            parts = [viewer.part() for _ in range(40)]
            seconds = time.monotonic() - begin
        assert parts[-1].sequence - first.sequence <= seconds * 10 + 3
        assert seconds < 8, "40 frames at 10 a second"
        # What the stuck viewer finds now are the few frames that filled the buffers, then the newest one.
        found: list[int] = []
        data = b""
        while not found or found[-1] < parts[-1].sequence:
            data += stuck.recv(65536)
            found = [int(n) for n in re.findall(rb"X-Sequence: (\d+)", data)]
        assert found == sorted(found)
        assert max(np.diff(found)) > 20, f"nothing was skipped: {found}"


def test_the_last_byte_of_a_frame_is_followed_by_the_next_parts_header(demo: Server) -> None:
    with socket.create_connection((demo.host, demo.port), timeout=15) as viewer:
        viewer.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
        data = b""
        while data.count(b"Content-Length") < 1 or b"\xff\xd9\r\n" not in data:
            data += viewer.recv(65536)
        assert re.search(rb"\xff\xd9\r\n--edgecolor-frame\r\nContent-Type: image/jpeg\r\n", data)


def test_viewers_beyond_the_limit_get_503_and_places_are_given_back() -> None:
    with started(DEMO) as server:
        server.wait_for(lambda state: state["state"] == "live")
        with contextlib.ExitStack() as stack:
            viewers = [stack.enter_context(Viewer(server, "gray")) for _ in range(64)]
            assert {viewer.status for viewer in viewers} == {200}
            status, _, body = server.get("/stream.mjpg")
            assert status == 503 and "64" in json.loads(body)["error"]
            assert server.get("/healthz")[0] == 200
        server.wait_for(lambda state: state["viewers"] == 0)
        with Viewer(server) as viewer:
            assert viewer.part().jpeg


def test_a_viewer_that_takes_nothing_for_long_is_let_go_with_its_connection() -> None:
    code = "from edgecolor.sinks.http import transport\ntransport.STUCK_S = 2.0\n" + VIVID
    with started(script(code)) as server:
        idle = 3  # the listening socket, and the pair by which the event loop wakes itself
        server.wait_for(lambda state: server.connections() == idle)
        with stuck_viewer(server):
            server.wait_for(lambda state: server.connections() == idle + 1)
            server.wait_for(lambda state: state["viewers"] == 0)
            server.wait_for(lambda state: server.connections() == idle)
        assert server.stop()[0] == 0 and "Traceback" not in server.stderr, server.stderr


def test_a_viewer_that_leaves_is_forgotten(demo: Server) -> None:
    with Viewer(demo, "gray") as viewer:
        viewer.part()
        demo.wait_for(lambda state: state["viewers"] == 1)
    demo.wait_for(lambda state: state["viewers"] == 0 and state["views"]["gray"]["watchers"] == 0)


def test_the_state_tells_of_a_single_stream_by_the_name_that_it_was_given(demo: Server) -> None:
    def word(name: str) -> str:
        return json.loads(demo.get(f"/state?stream={name}")[2])["stream"]

    assert "stream" not in demo.state() and word("mine") == word("") == "gone"
    with Viewer(demo, path="/stream.mjpg?view=gray&t=mine") as viewer, Viewer(demo, path=f"/stream.mjpg?t={'x' * 500}"), Viewer(demo):
        viewer.part()
        demo.wait_for(lambda state: state["viewers"] == 3)
        assert (word("mine"), word("x" * 500), word("other"), word("")) == ("running", "running", "gone", "gone")
    demo.wait_for(lambda state: state["viewers"] == 0)
    assert word("mine") == "gone"


# Refusals


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/stream.mjpg?view=sepia", 400),
        ("/snapshot.jpg?view=", 400),
        ("/snapshot.jpg?view=COLOR", 400),
        ("/snapshot.jpg?view=%00", 400),
        ("/nothing", 404),
        ("/../../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("//stream.mjpg", 404),
    ],
)
def test_wrong_paths_and_values_are_json_errors(demo: Server, path: str, status: int) -> None:
    found, headers, body = demo.get(path)
    assert found == status and headers["content-type"].startswith("application/json")
    assert json.loads(body)["error"]


def test_a_foreign_host_name_is_refused(demo: Server) -> None:
    assert demo.get("/state", Host="evil.example")[0] == 421
    assert demo.get("/state", Host="localhost")[0] == 200
    assert demo.get("/state", Host="[::1]:1234")[0] == 200


MALFORMED = [
    b"\r\n\r\n\r\nnonsense\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1 extra\r\nHost: localhost\r\n\r\n",
    b"GE\x00T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked, gzip\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /stream.mjpg?view=%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    b"DELETE /state HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PUT /snapshot.jpg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    b"HEAD /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http://evil.example/state HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET http://[bad/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + b"\r\n\r\n",
]


def test_malformed_requests_get_4xx_and_never_a_traceback() -> None:
    with started(DEMO) as server:
        for request in MALFORMED:
            with socket.create_connection((server.host, server.port), timeout=10) as connection:
                connection.sendall(request)
                answer = read_head(connection)
            assert re.match(rb"HTTP/[01]\.[019] 4\d\d ", answer), (request[:60], answer[:200])
            assert b"Traceback" not in answer
        # Cut short in the middle of a request: no answer is due, but nothing may break either.
        for request in (b"", b"G", b"GET / HTTP/1.1\r\nHost: loc", b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort"):
            with socket.create_connection((server.host, server.port), timeout=10) as connection:
                connection.sendall(request)
        assert server.get("/healthz")[0] in (200, 503)
        assert server.stop()[0] == 0
        assert "Traceback" not in server.stderr and "Error" not in server.stderr, server.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:0", "example.org:80"])
def test_other_than_loopback_is_refused(address: str) -> None:
    done = subprocess.run([*DEMO[:5], "--http", address], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert "loopback" in done.stderr or "HOST:PORT" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = subprocess.run([*DEMO[:5], "--http", address], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert f"can not listen on {address}" in done.stderr and "Traceback" not in done.stderr


# The end, and what went wrong


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_two_seconds_with_viewers_of_every_kind(number: int) -> None:
    with started(DEMO) as server, contextlib.ExitStack() as stack:
        server.wait_for(lambda state: state["state"] == "live")
        stack.enter_context(Viewer(server))
        stack.enter_context(stuck_viewer(server, "gray"))
        stack.enter_context(socket.create_connection((server.host, server.port)))  # says nothing
        server.wait_for(lambda state: state["viewers"] == 2)
        code, took = server.stop(number)
        assert code == 0 and took < 2.0, f"exit code {code} after {took:.2f} s"
        assert "did not stop" not in server.stderr and "Traceback" not in server.stderr, server.stderr
        assert server.lines.empty()


def test_no_thread_is_left_when_it_has_ended() -> None:
    code = VIVID.replace("serve_live(", "try:\n    serve_live(") + "except SystemExit as end:\n    code = end.code\n"
    with started(script(code + "import threading\nprint(code, [t.name for t in threading.enumerate()])")) as server:
        server.wait_for(lambda state: state["state"] == "live")
        assert server.stop()[0] == 0
        assert server.lines.get(timeout=5) == "0 ['MainThread']\n"


@contextlib.contextmanager
def scripted() -> Iterator[tuple[Server, Callable[[str], None]]]:
    with started(script(SCRIPTED), stdin=subprocess.PIPE) as server:
        yield server, server.tell


def test_healthz_is_503_with_a_reason_before_the_first_frame_and_when_frames_stop() -> None:
    with scripted() as (server, say):
        status, _, body = server.get("/healthz")
        assert status == 503 and json.loads(body)["state"] in ("starting", "lost") and json.loads(body)["reason"]
        say("frame")
        server.wait_for(lambda state: state["state"] == "live")
        assert server.get("/healthz")[0] == 200
        server.wait_for(lambda state: state["state"] == "lost", seconds=5)
        status, _, body = server.get("/healthz")
        assert status == 503 and "no frame" in json.loads(body)["reason"]
        say("frame")
        server.wait_for(lambda state: state["state"] == "live")
        assert server.get("/healthz")[0] == 200


def test_a_lost_source_is_a_placeholder_in_every_view_and_never_an_old_frame() -> None:
    with scripted() as (server, say), contextlib.ExitStack() as stack:
        say("frame")
        server.wait_for(lambda state: state["state"] == "live")
        viewers = {view: stack.enter_context(Viewer(server, view)) for view in ("color", "gray", "split")}
        server.wait_for(lambda state: state["viewers"] == 3)
        say("frame")
        assert all(viewer.part().origin == "guess" for viewer in viewers.values())
        server.wait_for(lambda state: state["state"] == "lost", seconds=5)
        for view, viewer in viewers.items():
            part = viewer.part()
            assert part.origin == "placeholder" and b"algorithmicallyEnhanced" not in part.jpeg
            for path in (f"/snapshot.jpg?view={view}", f"/?action=snapshot&view={view}"):
                status, headers, body = server.get(path)
                assert (status, headers["x-edgecolor-state"], headers["x-edgecolor-origin"]) == (200, "lost", "placeholder")
                assert luma_of(body).std() > 10, "words on a dark ground, not the flat picture of the source"
        say("frame")
        for viewer in viewers.values():
            while (part := viewer.part()).origin == "placeholder":
                pass
            assert abs(luma_of(part.jpeg)[:24].mean() - 100) < 2, "the picture, above the label"
        assert server.get("/healthz")[0] == 200


def test_a_snapshot_waits_for_a_placeholder_where_nobody_watches() -> None:
    with scripted() as (server, say):
        say("frame")
        server.wait_for(lambda state: state["state"] == "lost", seconds=5)
        status, headers, _ = server.get("/snapshot.jpg")
        assert (status, headers["x-edgecolor-origin"]) == (200, "placeholder")


def test_a_snapshot_waits_as_long_as_a_slow_camera_takes() -> None:
    code = """
import itertools
from edgecolor.frame import Frame
from edgecolor.sinks.http import server
from tests.e2e.live import *

server._SNAPSHOT_S = 0.1

class Slow:
    name, rate, live, timeout = "slow", 2.0, True, 20.0
    def frames(self, stop):
        for number in itertools.count():
            yield Frame(np.full((48, 64), 100, np.uint8), sequence=number)
            if stop.wait(0.5):
                return

serve_live(Slow(), Gray())
"""
    with started(script(code)) as server:
        server.wait_for(lambda state: state["state"] == "live")
        assert [server.get("/snapshot.jpg")[0] for _ in range(4)] == [200] * 4


def test_stills_are_waited_for_as_long_as_the_allowed_guesses_take() -> None:
    code = """
from edgecolor.live import LiveOptions
from edgecolor.sinks.http import server
from edgecolor.sources import open_source
from tests.e2e.live import *

server._SNAPSHOT_S = 0.1
serve_live(open_source("demo"), Gray(), live=LiveOptions(chroma_rate=0.5))
"""
    with started(script(code)) as server:
        server.wait_for(lambda state: state["state"] == "live")
        assert [server.get("/snapshot.jpg")[0] for _ in range(3)] == [200] * 3


def test_the_cameras_own_colours_are_neither_marked_nor_labelled() -> None:
    with scripted() as (server, say), Viewer(server, "color") as viewer:
        server.wait_for(lambda state: state["viewers"] == 1)
        for _ in range(200):
            say("color")
            part = viewer.part()
            if part.origin == "camera":
                break
        assert part.origin == "camera" and b"algorithmicallyEnhanced" not in part.jpeg
        assert luma_of(part.jpeg).min() > 60, "no label's dark ground"


def test_a_lost_source_ends_the_process_with_its_error() -> None:
    with scripted() as (server, say):
        say("frame")
        server.wait_for(lambda state: state["state"] == "live")
        say("fail")
        assert server.process.wait(5) == 1
        server.join()
        assert "SourceError: scripted: the camera is gone" in server.stderr


def test_threads_that_share_one_process_do_not_hide_a_bug() -> None:
    with scripted() as (server, say):
        say("bug")
        assert server.process.wait(5) == 1
        server.join()
        assert "KeyError" in server.stderr and "nobody foresaw this" in server.stderr


def test_a_missing_model_is_said_before_anything_is_served() -> None:
    done = subprocess.run([*DEMO, "--model", "nothing"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "no model is called 'nothing'" in done.stderr and "Traceback" not in done.stderr


def test_an_unknown_source_is_wrong_usage() -> None:
    command = [sys.executable, "-m", "edgecolor", "serve", "gopher://camera/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "known: demo" in done.stderr
