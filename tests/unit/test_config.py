"""Configuration: dataclasses from files, environment and flags, and what is said when something in them is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from edgecolor.config import add_environment, build, check_privacy
from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError, CredentialsError
from edgecolor.layers import Layers, Text, read_layers


@dataclass(frozen=True)
class Door:
    width: float = 1.0
    kind: Literal["oak", "steel"] = "oak"
    names: tuple[str, ...] = ()
    size: tuple[int, int] = (1, 2)
    key: Secret = field(default_factory=Secret)
    url: str = ""
    locked: bool = False
    locks: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.width < 5:
            raise ConfigError(f"width is {self.width}; it must be between 0 and 5")
        if self.locked and self.locks == 0:
            raise ConfigError("locked needs locks")


@dataclass(frozen=True)
class Part:
    name: str
    weight: float = 1.0


@dataclass(frozen=True)
class House:
    door: Door = field(default_factory=Door)
    part: tuple[Part, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)


def house(folder: Path, text: str) -> House:
    return build(House, layers(folder, text))


def layers(folder: Path, text: str, mode: int = 0o600) -> Layers:
    path = folder / "house.toml"
    path.write_text(text)
    path.chmod(mode)
    return read_layers(path)


def test_every_kind_of_field_is_read(tmp_path: Path) -> None:
    found = house(tmp_path, """
        shares = { a = 1, b = 2.5 }
        [door]
        width = 2
        kind = "steel"
        names = ["front", "back"]
        size = [3, 4]
        key = "sesame"
        locked = true
        [[part]]
        name = "roof"
        [[part]]
        name = "wall"
        weight = 2.5
    """)
    door = Door(2.0, "steel", ("front", "back"), (3, 4), Secret("sesame"), "", True)
    assert found == House(door, (Part("roof"), Part("wall", 2.5)), {"a": 1.0, "b": 2.5})
    assert isinstance(found.door.width, float)
    assert house(tmp_path, "") == House()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[door]\n\nwidht = 1", 3, "door: unknown key 'widht'; did you mean 'width'?"),
        ("[doors]\n", 1, "unknown key 'doors'; did you mean 'door'?"),
        ("[door]\nwidth = 'x'", 2, "door.width must be a number, not 'x'"),
        ("[door]\nwidth = true", 2, "door.width must be a number, not True"),
        ("[door]\nwidth = nan", 2, "door.width must be a number"),
        ("[door]\nlocks = 1.5", 2, "door.locks must be a whole number, not 1.5"),
        ("[door]\nlocked = 1", 2, "door.locked must be true or false, not 1"),
        ("[door]\nkind = 'glass'", 2, "door.kind: 'glass' is none of oak, steel"),
        ("[door]\nkind = ['oak']", 2, "door.kind: ['oak'] is none of oak, steel"),
        ("[door]\nurl = 3", 2, "door.url must be a string, not 3"),
        ("[door]\nnames = 'front'", 2, "door.names must be a list"),
        ("[door]\nnames = ['front',\n 3]", 2, "door.names[1] must be a string"),
        ("[door]\nsize = [1]", 2, "door.size must be a list of 2"),
        ("door = 3", 1, "door must be a table"),
        ("part = 3", 1, "part must be a list"),
        ("[[part]]\nname = 'a'\n[[part]]\nweight = 1", 3, "part[1]: name is missing"),
        ("[door]\nlocks = 1\nwidth = 9", 3, "door.width: width is 9.0; it must be between 0 and 5"),
        ("[door]\nlocks = 0\nlocked = true", 3, "door.locked: locked needs locks"),
        ("[door]\nwidth = 1" + "0" * 400, 2, "door.width: a whole number has more than 64 bits"),
        ("[door]\n\nlocks = 1" + "0" * 5000, 3, "is not TOML: a whole number has more than 64 bits"),
        ("[door]\nnames = [0x" + "f" * 5000 + "]", 2, "door.names[0]: a whole number has more than 64 bits"),
        ("[door]\nurl = 'a'\nkey = \"b\\u0000\"", 3, "door.key has a NUL character in it"),
        ("[door]\nwidth = 1\nwidth = 2\n", 3, "is not TOML"),
        ("\n[door\n", 2, "is not TOML"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_key(text: str, line: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        house(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'house.toml'}:{line}: {said}")


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(ConfigError, match=r"x\.toml: can not be read"):
        read_layers(path)
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError, match=r"x\.toml:2: is not UTF-8"):
        read_layers(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="too large"):
        read_layers(path)
    for text in ("a = " + "[" * 100_000, "a." * 3000 + "b = 1", "a = " + "[" * 30 + "]" * 30):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"x\.toml: is nested too deeply"):
            read_layers(path)


def test_the_environment_wins_over_the_file_and_flags_win_over_both(tmp_path: Path) -> None:
    found = layers(tmp_path, "[door]\nwidth = 2\nlocks = 7\nnames = ['a']")
    variables = {"HOUSE_DOOR_WIDTH": "3", "HOUSE_DOOR_NAMES": "b, c", "HOUSE_DOOR_LOCKED": "Yes", "HOUSE_DOOR_SIZE": "5,6", "OTHER": "x"}
    assert add_environment(found, House, variables, "HOUSE") == []
    found.put(("door", "width"), Text("4"), "--width")
    door = build(House, found).door
    assert (door.width, door.locks, door.names, door.locked, door.size) == (4.0, 7, ("b", "c"), True, (5, 6))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HOUSE_DOOR_WIDTH", "wide", "HOUSE_DOOR_WIDTH must be a number, not 'wide'"),
        ("HOUSE_DOOR_WIDTH", "7", "HOUSE_DOOR_WIDTH: width is 7.0"),
        ("HOUSE_DOOR_LOCKED", "maybe", "HOUSE_DOOR_LOCKED must be true or false"),
        ("HOUSE_DOOR_LOCK", "1", "HOUSE_DOOR_LOCK: door has no key 'lock'; did you mean 'locks'?"),
    ],
)
def test_an_error_in_the_environment_names_the_variable(name: str, value: str, said: str) -> None:
    found = Layers()
    with pytest.raises(ConfigError) as caught:
        add_environment(found, House, {name: value}, "HOUSE")
        build(House, found)
    assert str(caught.value).startswith(said)


def test_variables_of_unknown_sections_are_told_not_refused() -> None:
    assert add_environment(Layers(), House, {"HOUSE_PORT_80_TCP": "tcp://1", "HOUSEKEEPING": "1"}, "HOUSE") == ["HOUSE_PORT_80_TCP"]


def test_a_secret_may_come_from_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    secret.chmod(0o600)
    assert house(tmp_path, f"[door]\nkey_file = '{secret}'").door.key == Secret("sesame")
    assert house(tmp_path, f"[door]\nkey_file = '{secret}'\nkey = ''").door.key == Secret("sesame")
    assert house(tmp_path, "[door]\nkey_file = ''\nkey = 'x'").door.key == Secret("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert house(tmp_path, "[door]\nkey_file = 'secret'").door.key == Secret("sesame")
    with pytest.raises(ConfigError, match=r":2: door.key_file: key is given as well"):
        house(tmp_path, f"[door]\nkey_file = '{secret}'\nkey = 'x'")
    secret.chmod(0o644)
    with pytest.raises(CredentialsError, match=r"house.toml:2: door.key_file: .*chmod 600"):
        house(tmp_path, f"[door]\nkey_file = '{secret}'")


def test_a_secret_in_a_later_layer_takes_the_place_of_a_file(tmp_path: Path) -> None:
    found = layers(tmp_path, "[door]\nkey_file = '/absent'")
    found.put(("door", "key"), Text("sesame"), "HOUSE_DOOR_KEY")
    assert build(House, found).door.key == Secret("sesame")
    found.put(("door", "key_file"), Text("/absent"), "--key-file")
    with pytest.raises(CredentialsError, match=r"^--key-file: /absent"):
        build(House, found)


def test_errors_never_show_a_secret(tmp_path: Path) -> None:
    for text in ("[door]\nkey = ['sesame']", "[door]\nurl = ['rtsp://u:sesame@host/']", "[door]\nwidth = 9\nkey = 'sesame'"):
        with pytest.raises(ConfigError) as caught:
            house(tmp_path, text)
        assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("text", ["[door]\nkey = 'sesame'", "[door]\nurl = 'rtsp://me:sesame@host/'"])
def test_a_file_with_a_secret_must_not_be_readable_by_everybody(text: str, tmp_path: Path) -> None:
    check_privacy(layers(tmp_path, text, 0o640), House)
    with pytest.raises(CredentialsError, match=r"house.toml:2: door.* chmod 600"):
        check_privacy(layers(tmp_path, text, 0o644), House)
    check_privacy(layers(tmp_path, "[door]\nkey = ''\nurl = 'rtsp://me@host/'", 0o644), House)
