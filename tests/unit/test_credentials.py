"""Passwords: read from files that others can not read, and shown nowhere."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgecolor.credentials import Secret, read_credentials, read_secret, split_address, with_password, without_password
from edgecolor.errors import CredentialsError

PASSWORD = "geheim-4711"


def private(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


# Secret


def test_a_secret_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    @dataclass(frozen=True)
    class Options:
        password: Secret

    secret = Secret(PASSWORD)
    logging.getLogger("edgecolor").warning("%s %r %s", secret, secret, {"password": secret})
    shown = [str(secret), repr(secret), f"{secret:>20}", repr(Options(secret)), repr([secret]), caplog.text]
    assert all(PASSWORD not in text and "***" in text for text in shown)
    assert secret.reveal() == PASSWORD
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_secrets_compare_by_value_and_know_whether_they_are_empty() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") and not Secret() and str(Secret()) == ""


# Addresses


@pytest.mark.parametrize(
    ("url", "want"),
    [
        (f"rtsp://admin:{PASSWORD}@10.0.0.7:554/live", "rtsp://admin@10.0.0.7:554/live"),
        (f"rtsp://:{PASSWORD}@cam/live", "rtsp://cam/live"),
        ("rtsp://admin@cam/live", "rtsp://admin@cam/live"),
        ("rtsp://10.0.0.7:554/live?x=1", "rtsp://10.0.0.7:554/live?x=1"),
        (f"rtsp://u:{PASSWORD}@x@cam/live", "rtsp://u@cam/live"),
        (f"rtsp://u:{PASSWORD}/x#y?z@cam/live", "rtsp://u@cam/live"),
        (f"http://cam/video?user=admin&password={PASSWORD}&c=1", "http://cam/video?user=admin&password=***&c=1"),
        (f"http://cam/video?pwd={PASSWORD}", "http://cam/video?pwd=***"),
        (f"rtsp://u:{PASSWORD}@[fe80::1]:554/a?PASSWORD={PASSWORD}", "rtsp://u@[fe80::1]:554/a?PASSWORD=***"),
        (f"http://cam/videostream.cgi?loginuse=admin&loginpas={PASSWORD}", "http://cam/videostream.cgi?loginuse=admin&loginpas=***"),
        *((f"http://cam/a?channel=1&{name}={PASSWORD}&fps=10", f"http://cam/a?channel=1&{name}=***&fps=10")
          for name in ("pw", "PSW", "p", "x", "pass_word", "AUTH", "apikey", "session", "_")),
        ("http://cam/a?auth=YWRtaW46Z2VoZWlt==", "http://cam/a?auth=***"),
        ("http://cam/a?password=12&pw=", "http://cam/a?password=***&pw=***"),
        (f"rtsp://cam/user=admin&psw={PASSWORD}&channel=1", "rtsp://cam/user=admin&psw=***&channel=1"),
        (f"rtsp://cam/user=admin_password={PASSWORD}_channel=1.sdp", "rtsp://cam/user=***"),
        (f"rtsp://cam/user=admin?p={PASSWORD}/{PASSWORD}", "rtsp://cam/user=admin?p=***"),
        *((url, url) for url in (
            "rtsp://cam/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif", "http://cam/axis-cgi/mjpg/video.cgi?resolution=640x480",
            "rtsp://cam/Streaming/Channels/101?transportmode=unicast&profile=Profile_1", "http://host:1984/api/stream.mjpeg?src=garage",
            "http://cam/video?user=admin", "http://cam/video?1", "rtsp://cam/channel=1/stream=0.sdp?real_stream",
        )),
        (f"video?pw={PASSWORD}", "video?pw=***"),
        ("x=1280.mp4", "x=1280.mp4"),
        ("/dev/video0", "/dev/video0"),
        ("film.mp4", "film.mp4"),
        ("me@home.mp4", "me@home.mp4"),
    ],
)
def test_addresses_are_shown_without_the_password(url: str, want: str) -> None:
    assert without_password(url) == want


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("rtsp://admin:a%40b%2Fc@cam:554/live", ("rtsp://cam:554/live", "admin", "a@b/c")),
        ("rtsp://admin:a@b@cam/live", ("rtsp://cam/live", "admin", "a@b")),
        ("rtsp://admin:a/b@cam/live", ("rtsp://cam/live", "admin", "a/b")),
        ("rtsp://admin@cam/live", ("rtsp://cam/live", "admin", "")),
        ("rtsp://cam:554/live@home", ("rtsp://cam:554/live@home", "", "")),
        ("rtsp://[::1]/a:b@home", ("rtsp://[::1]/a:b@home", "", "")),
        ("rtsp://cam/live", ("rtsp://cam/live", "", "")),
    ],
)
def test_credentials_are_taken_out_of_an_address(url: str, want: tuple[str, str, str]) -> None:
    place, user, password = split_address(url)
    assert (place, user, password.reveal()) == want


@pytest.mark.parametrize("password", ["simple", "a@b:c/d?e#f%g h", "ключ", ""])
def test_an_address_with_credentials_can_be_taken_apart_again(password: str) -> None:
    address = with_password("rtsp://cam:554/live?x=1", "ad min", Secret(password))
    place, user, found = split_address(address.reveal())
    assert (place, user, found.reveal()) == ("rtsp://cam:554/live?x=1", "ad min", password)
    assert address.reveal().count("@") == 1


def test_an_address_without_a_user_stays_as_it_is() -> None:
    assert with_password("rtsp://cam/live", "", Secret()).reveal() == "rtsp://cam/live"


# Files


def test_user_and_password_are_the_first_line(tmp_path: Path) -> None:
    user, password = read_credentials(private(tmp_path / "camera", f"admin:{PASSWORD}:x\r\nrest\n".encode()))
    assert (user, password.reveal()) == ("admin", f"{PASSWORD}:x")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_that_everybody_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "camera", b"a:b\n", mode)
    with pytest.raises(CredentialsError, match="chmod 600"):
        read_credentials(path)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_owner_and_group_may_read_it(tmp_path: Path, mode: int) -> None:
    assert read_secret(private(tmp_path / "token", b"t\n", mode)) == Secret("t")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", f"{PASSWORD}\n".encode(), f":{PASSWORD}\n".encode(), f"{PASSWORD}:x".encode() + b"\xff", f"{PASSWORD}:\0".encode(),
        f"{PASSWORD}:x".encode() * 5000,
    ],
)
def test_files_of_another_form_are_refused_without_showing_what_is_in_them(tmp_path: Path, content: bytes) -> None:
    path = private(tmp_path / "camera", content)
    with pytest.raises(CredentialsError, match="camera") as caught:
        read_credentials(path)
    everything = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert PASSWORD not in everything


def test_a_missing_file_and_a_folder_are_typed_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(CredentialsError):
            read_credentials(path)


def test_systemd_credentials_are_found_by_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    private(tmp_path / "camera", b"a:b\n", 0o400)
    assert read_credentials("camera") == ("a", Secret("b"))
    with pytest.raises(CredentialsError, match="other"):
        read_credentials("other")


def test_a_path_with_a_slash_never_means_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    private(tmp_path / "camera", b"a:b\n")
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(CredentialsError):
        read_credentials("./camera")


def test_a_secret_can_be_copied_with_the_options_that_hold_it() -> None:
    assert copy.copy([Secret("a")]) == [Secret("a")]
