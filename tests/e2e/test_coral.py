"""A live server whose Coral is unplugged while it serves: real processes, the real runtime, and a library that fails on demand."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.serving import Viewer, started
from tests.edgetpu import build_library, write_compiled

SERVE = [sys.executable, "-m", "edgecolor", "serve", "demo", "--http", "127.0.0.1:0", "--threads", "1", "--delegate", "edgetpu:usb"]


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Coral that works until this file exists."""
    build_library(tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("EDGETPU_STUB", f"unplugged:{tmp_path / 'unplugged'}")
    return tmp_path / "unplugged"


def test_without_a_fallback_it_ends_and_says_why(plug: Path, tmp_path: Path) -> None:
    with started([*SERVE, "--model", str(write_compiled(tmp_path))]) as server, Viewer(server) as viewer:
        while viewer.part().origin != "guess":
            pass
        model = server.state()["model"]
        assert (model["name"], model["delegate"], model["delegate_lost"]) == ("edgecolor_edgetpu", "edgetpu:usb", None)
        plug.touch()
        assert server.process.wait(30) == 1
        server.join()
        assert "'edgetpu:usb' failed at work; was it unplugged?" in server.stderr and "Traceback" not in server.stderr


@pytest.mark.parametrize("fallback", ["", "cpu"])
def test_another_network_is_for_the_next_start_since_a_coral_has_one_owner(plug: Path, tmp_path: Path, fallback: str) -> None:
    file = tmp_path / "front.toml"
    settings = f"""
[source]
address = "demo"
[http]
address = "127.0.0.1:0"
[network]
model = "{write_compiled(tmp_path)}"
delegate = "edgetpu:usb"
delegate_fallback = "{fallback}"
threads = 1
"""
    file.write_text(settings)

    def reload(changed: str, answer: str) -> None:
        file.write_text(changed)
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while answer not in server.stderr:
            assert time.monotonic() < end, server.stderr
            time.sleep(0.02)

    with started([sys.executable, "-m", "edgecolor", "serve", "--config", str(file)]) as server, Viewer(server) as viewer:
        while viewer.part().origin != "guess":
            pass
        reload(settings.replace("threads = 1", "threads = 2"), "with a delegate (edgetpu:usb) that counts at a restart only")
        assert "the new settings are not taken, the old ones stay" in server.stderr
        reload(f"{settings}[live]\nchroma_rate = 3.0\n", "reloaded: demo")
        state = server.wait_for(lambda state: state["state"] == "live" and state["chroma"]["limit"] == 3)
        assert state["model"]["delegate"] == "edgetpu:usb" and state["model"]["delegate_lost"] is None
        assert server.stop()[0] == 0


def test_with_a_fallback_viewers_stay_and_the_state_tells(plug: Path, tmp_path: Path) -> None:
    command = [*SERVE, "--model", str(write_compiled(tmp_path)), "--delegate-fallback", "cpu"]
    with started(command) as server, Viewer(server) as viewer:
        while viewer.part().origin != "guess":
            pass
        plug.touch()
        state = server.wait_for(lambda state: state["model"]["delegate_lost"] is not None)
        assert state["model"]["name"] == "edgecolor" and state["model"]["delegate"] is None
        guesses = state["chroma"]["guesses"]
        server.wait_for(lambda state: state["chroma"]["guesses"] > guesses + 2)
        assert viewer.part().origin in ("guess", "camera") and server.state()["state"] == "live"
        assert server.stderr.count("colours are guessed on the CPU from now on") == 1
        assert server.stop()[0] == 0
    # Started again, as systemd does where the library ends the process: it is absent, and the CPU it is.
    with started(command) as server:
        assert "was it unplugged" not in server.stderr and server.state()["model"]["delegate"] is None
        assert server.stop()[0] == 0
