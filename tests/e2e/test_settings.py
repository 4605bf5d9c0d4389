"""`edgecolor config`, and how `edgecolor serve` takes its settings, as real processes."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgecolor.cli import main
from edgecolor.commands.config import UNIT_SECRETS
from edgecolor.credentials import Secret
from edgecolor.sinks.http.access import PasswordHash
from tests.conftest import ROOT
from tests.e2e.serving import Server, started

COMMAND = [sys.executable, "-m", "edgecolor"]


def edgecolor(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, input=stdin, env=environment, cwd=ROOT)


def written(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "serve.toml"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_check_says_good_or_names_file_line_and_key(tmp_path: Path) -> None:
    done = edgecolor("config", "check", written(tmp_path, "[http]\nquality = 50\n"))
    assert done.returncode == 0 and done.stdout.strip().endswith("serve.toml: good") and "it names no source" in done.stderr
    done = edgecolor("config", "check", written(tmp_path, "[source]\naddress = 'demo'\n"))
    assert done.returncode == 0 and done.stdout.strip().endswith("serve.toml: good") and not done.stderr
    for text, said in (("[http]\nqualty = 50", "serve.toml:2: http: unknown key 'qualty'; did you mean 'quality'?"),
                       ("[http]\n\nquality = 0", "serve.toml:3: http.quality: "), ("[http", "serve.toml:1: is not TOML")):  # fmt: skip
        done = edgecolor("config", "check", written(tmp_path, text))
        assert done.returncode == 2 and said in done.stderr and not done.stdout and "Traceback" not in done.stderr
    done = edgecolor("config", "check", written(tmp_path, "[source]\npassword = 'sesame'", 0o644))
    assert done.returncode == 2 and "serve.toml:2: source.password holds a secret" in done.stderr and "sesame" not in done.stderr
    assert edgecolor("config", "check", str(tmp_path / "absent")).returncode == 2


def test_secrets_that_systemd_would_hand_over_are_found_beside_the_settings(tmp_path: Path) -> None:
    path = written(tmp_path, "[http]\naddress = '0.0.0.0:8080'\ntoken_file = 'token'\n", 0o644)
    done = edgecolor("config", "check", path)
    assert done.returncode == 2 and "serve.toml:3: http.token_file: token: can not be read" in done.stderr
    secrets = tmp_path / "serve.secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "token").write_text("0123456789abcdef0123\n")
    (secrets / "token").chmod(0o600)
    for action in ("check", "show"):
        done = edgecolor("config", action, path)
        assert done.returncode == 0 and "0123456789" not in done.stdout, done.stderr
    (secrets / "webtoken").write_text("0123456789abcdef0123\n")
    (secrets / "webtoken").chmod(0o600)
    other = written(tmp_path, "[http]\ntoken_file = 'webtoken'\n", 0o644)
    assert edgecolor("config", "check", other).returncode == 2, "the unit hands over no secret of that name"
    (secrets / "token").chmod(0o644)
    path = written(tmp_path, "[http]\naddress = '0.0.0.0:8080'\ntoken_file = 'token'\n", 0o644)
    assert f"{secrets / 'token'}: everybody" in edgecolor("config", "check", path).stderr
    (tmp_path / "token").write_text("short\n")
    (tmp_path / "token").chmod(0o600)
    done = edgecolor("config", "check", path, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert done.returncode == 2 and "the token must have 16 letters" in done.stderr, "systemd's own come first"


@pytest.mark.parametrize(("text", "said"), [
    ("[source]\naddress = 'rstp://cam/1'", "did you mean rtsp://?"),
    ("[source]\naddress = 'rtsp://cam/1'\ncredentials = 'camera'", "camera: can not be read"),
    ("[network]\nmodel = 'edgecolour'", "edgecolour"),
    ("[publish]\nurl = 'rtsp://server/x'\ncredentials = 'publish'", "publish: can not be read"),
    ("[publish]\nurl = 'rtsp://me:sesame@server/x'\npassword = 'sesame'\nusername = 'me'", "in its address and in the options as well"),
    ("[publish]\nurl = 'rtsp://server/x'\nencoder = 'h264_magic'", "h264_magic"),
    ("[http]\ntls_certificate = '/absent.pem'\ntls_key = '/absent.key'", "/absent.pem: can not be read for TLS"),
])  # fmt: skip
def test_what_would_end_the_service_at_its_start_is_not_called_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert main(["config", "check", written(tmp_path, text)]) == 2
    found = capsys.readouterr()
    assert said in found.err and "sesame" not in found.err and not found.out


def test_what_systemd_will_hand_over_is_not_looked_for_in_a_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = "/run/credentials/edgecolor@front.service/tls_key"
    assert main(["config", "check", written(tmp_path, f"[http]\ntls_certificate = '/etc/ssl/front.pem'\ntls_key = '{key}'")]) == 0
    secrets = tmp_path / "serve.secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "camera").write_text("me:sesame\n")
    (secrets / "camera").chmod(0o600)
    assert main(["config", "check", written(tmp_path, "[source]\naddress = 'rtsp://cam/1'\ncredentials = 'camera'")]) == 0


def test_a_password_is_asked_for_where_there_is_something_to_read_it_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stdin, said in ((None, "no standard input"), (io.StringIO("caf\udce9\n"), "not UTF-8")):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["config", "hash-password"]) == 2
        assert said in capsys.readouterr().err


def test_a_server_starts_without_a_standard_input(tmp_path: Path) -> None:
    command = [*COMMAND, "serve", "--config", written(tmp_path, "[source]\naddress = 'absent.mp4'\n")]
    done = subprocess.run(["sh", "-c", 'exec "$@" 0<&-', "sh", *command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "absent.mp4" in done.stderr and "Traceback" not in done.stderr and done.returncode in (1, 2)


def test_the_secrets_that_are_looked_for_are_those_that_the_unit_names() -> None:
    unit = (ROOT / "systemd/edgecolor@.service").read_text()
    assert re.findall(r"^LoadCredential=(\w+):/etc/edgecolor/%i\.secrets/\1$", unit, re.MULTILINE) == list(UNIT_SECRETS)


def test_what_is_no_file_is_said_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (".", "/", ""):
        assert main(["config", "check", name]) == 2
        assert "Is a directory" in capsys.readouterr().err


def test_secrets_that_this_user_can_not_see_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "[http]\ntoken_file = 'token'\n", 0o644)
    (tmp_path / "serve.secrets").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # what root, who may run the tests, is never told
    assert main(["config", "check", path]) == 2
    assert f"secrets of the service lie in {tmp_path / 'serve.secrets'}" in capsys.readouterr().err


def test_show_prints_what_is_in_effect_without_secrets(tmp_path: Path) -> None:
    path = written(tmp_path, "[source]\naddress = 'rtsp://me:sesame@cam/'\n[http]\nquality = 50\n")
    variables = {"EDGECOLOR_HTTP_QUALITY": "60", "EDGECOLOR_PUBLISH_PASSWORD": "open", "EDGECOLOR_PUBLISH_USERNAME": "me"}
    done = edgecolor("config", "show", path, **variables)
    assert done.returncode == 0, done.stderr
    shown = tomllib.loads(done.stdout)
    assert shown["source"]["address"] == "rtsp://me@cam/" and shown["publish"]["password"] == "***"
    assert "quality = 60  # EDGECOLOR_HTTP_QUALITY" in done.stdout
    assert "sesame" not in done.stdout + done.stderr


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    done = edgecolor("config", "example")
    assert done.returncode == 0 and edgecolor("config", "check", written(tmp_path, done.stdout)).returncode == 0


def matches(text: str, password: str) -> bool:
    return PasswordHash.parse(Secret(text.strip())).matches(password.encode())


def test_a_password_is_hashed_from_stdin() -> None:
    done = edgecolor("config", "hash-password", stdin="open sesame\n")
    assert done.returncode == 0 and matches(done.stdout, "open sesame") and not matches(done.stdout, "open")
    assert "sesame" not in done.stdout + done.stderr
    empty = edgecolor("config", "hash-password", stdin="")
    assert empty.returncode == 2 and "empty" in empty.stderr and "Traceback" not in empty.stderr


@pytest.mark.parametrize(("again", "code"), [("sesame", 0), ("semolina", 2)])
def test_a_password_is_asked_for_twice_at_a_terminal_and_not_shown(again: str, code: int) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, "config", "hash-password"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
                          start_new_session=True, text=True) as process:  # fmt: skip
        os.close(theirs)
        # Without a terminal of its own, getpass asks on stderr and reads stdin with its echo switched off.
        assert process.stderr is not None and process.stdout is not None
        for answer in ("sesame", again):
            asked = ""
            while not asked.endswith(": "):
                letter = process.stderr.read(1)
                assert letter, asked
                asked += letter
            os.write(ours, f"{answer}\n".encode())
        printed, said = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == code
        os.close(ours)
    assert matches(printed, "sesame") if code == 0 else "differ" in said and not printed
    assert "sesame" not in printed + said


def test_wrong_settings_of_serve_end_it_with_code_2_before_anything_starts(tmp_path: Path) -> None:
    for arguments, said in (
        ([], "no source"),
        (["demo", "--colorize", "sometimes"], "--colorize: 'sometimes' is none of auto, always, never"),
        (["demo", "--quality", "best"], "--quality must be a whole number, not 'best'"),
        (["demo", "--http", "0.0.0.0:0"], "--http: 0.0.0.0:0 is not a loopback address"),
        (["demo", "--publish", "http://x/"], "--publish: url 'http://x/' can not be published to"),
        (["demo", "--config", "/absent.toml"], "/absent.toml: can not be read"),
    ):
        done = edgecolor("serve", *arguments)
        assert done.returncode == 2 and said in done.stderr and not done.stdout and "Traceback" not in done.stderr
    done = edgecolor("serve", "demo", "--publish", "rtsp://127.0.0.1:1/x", "--encoder", "h264_magic", "--http", "127.0.0.1:0")
    assert done.returncode == 1 and "h264_magic" in done.stderr and not done.stdout
    done = edgecolor("serve", "demo", EDGECOLOR_HTTP_VIEWER="3")
    assert done.returncode == 2 and "EDGECOLOR_HTTP_VIEWER: http has no key 'viewer'; did you mean 'viewers'?" in done.stderr


def test_serve_takes_file_environment_and_flags_and_tells_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "source.address = 'demo'\nhttp.address = '127.0.0.1:0'\nlive.colorize = 'never'\nnetwork.threads = 1\n"
    path = written(tmp_path, text)
    monkeypatch.setenv("EDGECOLOR_LIVE_CHROMA_RATE", "2")
    with started([*COMMAND, "serve", "--config", path, "--colorize", "always"]) as server:
        state = server.wait_for(lambda state: state["state"] == "live")
        assert state["chroma"]["mode"] == "always" and state["chroma"]["limit"] == 2
        assert state["model"]["name"] == "edgecolor" and len(state["model"]["sha256"]) == 64
        assert state["publish"] is None and state["version"]
        assert server.stop()[0] == 0


def test_no_password_is_ever_shown_and_one_in_the_command_line_is_warned_of() -> None:
    url = "rtsp://me:sesame@127.0.0.1:1/live"
    command = [*COMMAND, "serve", url, "--publish", url, "--http", "127.0.0.1:0", "--threads", "1", "--log-format", "json"]
    with started(command) as server:
        server.wait_for(lambda state: state["state"] == "lost")
        everything = "".join(server.get(path)[2].decode("utf-8", "replace") for path in ("/state", "/healthz", "/metrics", "/"))
        _stop(server)
    logged = [json.loads(line) for line in server.stderr.splitlines() if line.startswith("{")]
    warned = [entry["message"] for entry in logged if "has a password in it" in entry["message"]]
    assert len(warned) == 2 and {message.split()[0] for message in warned} == {"SOURCE", "--publish"}
    assert any("is lost (unreachable)" in entry["message"] for entry in logged)
    assert "sesame" not in everything + server.stderr


def _stop(server: Server) -> None:
    code, seconds = server.stop()
    assert code == 0 and seconds < 8
