"""What can be chosen about the HTTP server, and what is refused before anything listens."""

from __future__ import annotations

import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError, ServeError
from edgecolor.sinks.http import HttpOptions, parse_address
from tests.conftest import ROOT
from tests.unit.test_http_access import RFC, TOKEN

LOGIN = {"username": "eve", "password_hash": Secret(RFC)}


def test_by_default_it_is_this_machine_only_and_needs_nothing() -> None:
    options = HttpOptions()
    assert options.addresses() == [("127.0.0.1", 8080)] and not options.is_guarded() and options.tls() is None


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80", "127.0.0.1:80, 0.0.0.0:81", "[::ffff:192.0.2.1]:80"])
def test_beyond_loopback_it_refuses_without_credentials(address: str) -> None:
    with pytest.raises(ConfigError, match=r"not a loopback address.*hash-password"):
        HttpOptions(address=address)
    assert HttpOptions(address=address, **LOGIN).is_guarded()
    assert HttpOptions(address=address, token=Secret(TOKEN)).is_guarded()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"username": "eve"}, "both"),
        ({"password_hash": Secret(RFC)}, "both"),
        ({**LOGIN, "username": "e:ve"}, "colon"),
        ({**LOGIN, "password_hash": Secret("hunter22")}, "password_hash"),
        ({"token": Secret("short")}, "16 letters"),
        ({"token": Secret("with spaces in between")}, "16 letters"),
        ({"tls_certificate": "a.pem"}, "both"),
        ({"viewers": 0}, "viewers"),
        ({"quality": 0}, "quality"),
        ({"quality": 101}, "quality"),
        ({"label": "middle"}, "bottom-left"),
        ({"probe": "open"}, "closed"),
        ({"hosts": ("https://camera.example",)}, "without scheme"),
        ({"hosts": ("camera.example:80",)}, "port"),
        ({"address": ""}, "HOST:PORT"),
        ({"address": "127.0.0.1:80,"}, "HOST:PORT"),
    ],
)
def test_contradictions_are_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        HttpOptions(**wrong)
    assert "hunter22" not in str(caught.value) and "spaces" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    shown = repr(HttpOptions(**LOGIN, token=Secret(TOKEN)))
    assert TOKEN not in shown and RFC not in shown


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http", "127.0.0.1:-1", "", ":8080", "::1:80", "[::1:80", "example.org:80",
     pytest.param("127.0.0.1:" + 5000 * "1", id="5000 digits")],
)
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_address(address)


def test_addresses_are_understood() -> None:
    assert parse_address("[::1]:8080") == ("::1", 8080)
    assert parse_address("localhost:0") == ("127.0.0.1", 0)
    assert parse_address("127.1.2.3:65535") == ("127.1.2.3", 65535)


def test_bad_tls_files_are_named(tmp_path: Path) -> None:
    junk, empty = tmp_path / "junk.pem", tmp_path / "empty.pem"
    junk.write_text("this is no certificate")
    empty.write_text("")
    options = HttpOptions(tls_certificate=str(tmp_path / "nothing.pem"), tls_key=str(junk))
    with pytest.raises(ServeError, match=r"nothing\.pem: can not be read"):
        options.tls()
    for file in (junk, empty):
        with pytest.raises(ServeError, match=file.name) as caught:
            replace(options, tls_certificate=str(file), tls_key=str(file)).tls()
        assert isinstance(caught.value.__cause__, ssl.SSLError)


def test_options_are_checked_without_loading_a_web_server() -> None:
    code = "import sys; from edgecolor.sinks.http import HttpOptions; print({'aiohttp', 'prometheus_client'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip() == "set()"
