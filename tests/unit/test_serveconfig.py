"""The configuration of serve: its example, what is shown of it, and which place wins."""

from __future__ import annotations

import argparse
import dataclasses
import re
import tomllib
import typing
from pathlib import Path

import pytest

from edgecolor.config import known_keys
from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError, CredentialsError
from edgecolor.serveconfig import ServeConfig, as_toml, entries, example, load
from tests.conftest import ROOT

SECTIONS = {f.name: typing.get_type_hints(ServeConfig)[f.name] for f in dataclasses.fields(ServeConfig)}


def written(folder: Path, text: str) -> Path:
    path = folder / "serve.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_example_holds_every_key_once_with_its_default_and_no_other(tmp_path: Path) -> None:
    text = example()
    assert text == (ROOT / "systemd" / "example.toml").read_text("utf-8")
    whole = re.sub(r"(?m)^#(?! |$)", "", text)
    table = tomllib.loads(whole)
    assert {name: set(keys) for name, keys in table.items()} == {name: set(known_keys(cls)) for name, cls in SECTIONS.items()}
    table["source"]["address"] = ""  # the one setting that the example makes
    defaults: dict[str, dict[str, object]] = {}
    for section, key, value in entries(ServeConfig()):
        shown = "" if isinstance(value, Secret) else list(value) if isinstance(value, tuple) else value
        defaults.setdefault(section, {})[key] = shown
    for section, keys in defaults.items():
        for key, value in keys.items():
            assert (table[section][key], type(table[section][key])) == (value, type(value)), f"{section}.{key}"
    # As it stands and with every line in force it is a good configuration, and it is not for everybody's eyes to refuse.
    assert load(written(tmp_path, text), {}, {}).config.source.address == "demo"
    assert load(written(tmp_path, whole), {}, {}).config == load(written(tmp_path, text), {}, {}).config


def test_later_places_win_and_each_value_tells_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, "[source]\naddress = 'rtsp://me:sesame@cam/'\ntimeout = 2\n[live]\ncolorize = 'never'\n[http]\nquality = 50\n")
    environment = {"EDGECOLOR_SOURCE_TIMEOUT": "3", "EDGECOLOR_LIVE_COLORIZE": "always", "PATH": "x", "EDGECOLOR_PORT": "tcp://10.0.0.1"}
    loaded = load(path, environment, {("live", "colorize"): ("auto", "--colorize")})
    config = loaded.config
    assert (config.source.timeout, config.live.colorize, config.http.quality) == (3.0, "auto", 50)
    assert loaded.warnings == ["EDGECOLOR_PORT is no setting of EdgeColor, and is ignored"]
    shown = as_toml(loaded)
    for line in (
        f'address = "rtsp://me@cam/"  # {path}:2', "timeout = 3.0  # EDGECOLOR_SOURCE_TIMEOUT", 'colorize = "auto"  # --colorize',
        f"quality = 50  # {path}:7", 'transport = "tcp"',
    ):  # fmt: skip
        assert line in shown.splitlines()


def test_what_is_shown_is_a_configuration_again_but_for_secrets(tmp_path: Path) -> None:
    text = "[source]\naddress = 'demo'\nusername = 'me'\npassword = 'sesame'\n[http]\nhosts = ['a.example', 'b']\n"
    loaded = load(written(tmp_path, text), {}, {})
    shown = as_toml(loaded)
    assert "sesame" not in shown + repr(loaded.config) and 'password = "***"' in shown
    again = load(written(tmp_path, shown), {}, {}).config
    assert again.http == loaded.config.http and again.source.password == Secret("***")
    assert loaded.config.secrets() == ["sesame"]


def test_a_password_in_a_flag_works_and_is_warned_of() -> None:
    loaded = load(None, {}, {("source", "address"): ("rtsp://me:sesame@cam/", "SOURCE")})
    assert loaded.config.source.address == "rtsp://me:sesame@cam/" and loaded.config.secrets() == ["sesame"]
    assert len(loaded.warnings) == 1 and loaded.warnings[0].startswith("SOURCE has a password") and "sesame" not in loaded.warnings[0]
    assert not load(None, {"EDGECOLOR_SOURCE_ADDRESS": "rtsp://me:sesame@cam/"}, {("http", "address"): ("127.0.0.1:0", "--http")}).warnings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[http]\nviewers = 3\nquality = 101", r":3: http\.quality: quality is 101; it must be between 1 and 100"),
        ("[http]\naddress = '0.0.0.0:80'", r":2: http\.address: 0\.0\.0\.0:80 is not a loopback address"),
        ("[http]\ntls_key = 'x'", r":2: http\.tls_key: TLS needs both"),
        ("[source]\ntimeout = 0.1", r":2: source\.timeout: timeout 0\.1 is not between 0\.5 and 600"),
        ("[source]\n\ntransport = 'sctp'", r":3: source\.transport: 'sctp' is none of tcp, udp"),
        ("[source]\naddress = 'rtsp://[::1/x'", r":2: source\.address: source rtsp://\[::1/x: .*an IPv6 address stands in brackets"),
        ("[source]\ntimeout = 1" + "0" * 400, r":2: source\.timeout: a whole number has more than 64 bits"),
        ("[live]\nchroma_rate = -1.0", r":2: live\.chroma_rate: chroma_rate is -1\.0; it must be 0 or more"),
        ("[live]\nretry_first = 50", r":2: live\.retry_first: "),
        ("[publish]\nurl = 'http://x'", r":2: publish\.url: url 'http://x' can not be published to"),
        ("[publish]\nurl = 'rtsp://[::1:8554/porch'", r":2: publish\.url: url 'rtsp://\[::1:8554/porch': .*an IPv6 address stands"),
        ("[publish]\nbitrate = 1", r":2: publish\.bitrate: bitrate 1 is not between 50 and 100000"),
        ("[network]\nthreads = -1", r":2: network\.threads: threads -1 is not between"),
        ("[network]\nthreads = 1\nmodel = 'auto'\ndelegate = 'edgetpu'", r":3: network\.model: model auto with delegate edgetpu: "),
        ("[sauce]\n", r":1: unknown key 'sauce'; did you mean 'source'\?"),
    ],
)
def test_what_a_room_refuses_is_named_by_file_line_and_key(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load(written(tmp_path, text), {}, {})
    assert str(caught.value).startswith(str(tmp_path / "serve.toml"))


@pytest.mark.parametrize("address", ["rtsp://me:sesame@cam/", "http://cam/video?channel=1&loginpas=sesame", "http://cam/video?auth=sesame"])
def test_a_password_in_a_file_for_everybody_is_refused_by_name(address: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"[source]\naddress = '{address}'")
    path.chmod(0o644)
    with pytest.raises(CredentialsError, match=r"serve\.toml:2: source\.address holds a secret.*chmod 600") as caught:
        load(path, {}, {})
    assert "sesame" not in str(caught.value)


def test_what_may_be_a_password_by_an_unknown_name_is_hidden_and_not_refused(tmp_path: Path) -> None:
    address = "rtsp://cam/axis-media/media.amp?streamprofile=Quality&videobitrate=1500"
    path = written(tmp_path, f"[source]\naddress = '{address}'")
    path.chmod(0o644)
    assert load(path, {}, {}).config.source.address == address


def test_every_flag_of_serve_is_a_setting() -> None:
    from edgecolor.commands.serve import _FLAGS

    for flag, takes, (section, key), _ in _FLAGS:
        assert key in known_keys(SECTIONS[section]), flag
        value = takes[0] if isinstance(takes, tuple) else None
        hint = typing.get_type_hints(SECTIONS[section]).get(key)
        if isinstance(takes, str) and "|" in takes:  # the help names the choices
            assert set(takes.split("|")) == set(typing.get_args(hint)) - {""}, flag
        if isinstance(takes, tuple):
            assert value is (not getattr(getattr(ServeConfig(), section), key)), flag


def test_flags_that_other_commands_have_too_are_told_in_the_same_words() -> None:
    from edgecolor.cli import add_model_options
    from edgecolor.commands.serve import _FLAGS

    parser = argparse.ArgumentParser()
    add_model_options(parser)
    others = {action.option_strings[-1]: action.help for action in parser._actions}
    ours = {flag: says for flag, _, _, says in _FLAGS}
    for flag in ("--runtime", "--threads", "--delegate"):
        assert ours[flag] == others[flag]
