"""Frozen dataclasses <- TOML <- environment <- flags. An error names file, line and key; an unknown key, the nearest known one.

Fields may be str, int, float, bool, Literal, Secret, a tuple or a dict of those, a dataclass, or a tuple of dataclasses.
For every Secret field NAME there is a key NAME_file as well: a file whose first line is the secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
import stat
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from edgecolor.credentials import Secret, has_password, read_secret, without_password
from edgecolor.errors import ConfigError, CredentialsError
from edgecolor.layers import Key, Layers, Text, dotted

T = TypeVar("T")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def add_environment(layers: Layers, cls: type[Any], environment: Mapping[str, str], prefix: str) -> list[str]:
    """Lay PREFIX_SECTION_KEY over the layers, for the sections and keys of ``cls``; returns names whose section is unknown.

    Those are the caller's to warn of: they may be somebody else's. Raises ConfigError for an unknown key of a known section.
    """
    sections = {name.upper(): (name, hint) for name, hint in typing.get_type_hints(cls).items()}
    strange = []
    for name, value in sorted(environment.items()):
        if not name.startswith(f"{prefix}_"):
            continue
        section, _, key = name.removeprefix(f"{prefix}_").partition("_")
        if section not in sections:
            strange.append(name)
            continue
        known, hint = sections[section]
        keys = known_keys(hint)
        if key.lower() not in keys:
            raise ConfigError(f"{name}: {known} has no key {key.lower()!r}{_nearest(key.lower(), keys)}")
        layers.put((known, key.lower()), Text(value), name)
    return strange


def known_keys(cls: type[Any]) -> list[str]:
    """Keys of a dataclass's table: its fields, and NAME_file for each Secret."""
    names = []
    hints = typing.get_type_hints(cls)
    for name in (f.name for f in dataclasses.fields(cls)):
        names.append(name)
        if hints[name] is Secret and f"{name}_file" not in hints:
            names.append(f"{name}_file")
    return names


def check_privacy(layers: Layers, cls: type[Any]) -> None:
    """Raise CredentialsError when the file holds a password and everybody on the machine can read or change it."""
    if not layers.file:
        return
    found = next((path for path, hint, value in _leaves(cls, layers.table) if path not in layers.places and _is_secret(hint, value)), None)
    if found is not None and Path(layers.file).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise CredentialsError(
            f"{layers.place(found)} holds a secret, and everybody on this machine can read the file: chmod 600 {layers.file}, "
            "or move the secret to a file of its own"
        )


def _leaves(cls: Any, table: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any, Any]]:
    hints = typing.get_type_hints(cls) if dataclasses.is_dataclass(cls) else {}
    found = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _leaves(hints.get(key), value, (*path, key))
        else:
            found.append(((*path, key), hints.get(key), value))
    return found


def _is_secret(hint: Any, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and (hint is Secret or has_password(value))


def build(cls: type[T], layers: Layers, path: Key = ()) -> T:
    """The dataclass of the merged tables. Raises ConfigError, or CredentialsError for a secret's file, naming place and key.

    A class may raise ConfigError itself for values that it does not take: then the key at fault is found and named.
    """
    return _build(cls, layers.table, layers, path)


def _build(cls: type[T], table: Any, layers: Layers, path: Key) -> T:
    if not isinstance(table, dict):
        raise ConfigError(f"{layers.place(path)} must be a table, as in [{dotted(path)}]")
    hints, keys = typing.get_type_hints(cls), known_keys(cls)
    values: dict[str, Any] = {}
    for key, value in table.items():
        here = (*path, key)
        if key not in keys:
            raise ConfigError(f"{layers.place(here, path)}: unknown key {key!r}{_nearest(key, keys)}")
        if key not in hints:
            if value == "":
                continue
            key, value = key.removesuffix("_file"), _read_secret(value, layers, here)
            if table.get(key):
                raise ConfigError(f"{layers.place(here)}: {key} is given as well; keep one of the two")
        else:
            value = _convert(hints[key], value, layers, here)
            if hints[key] is Secret and not value and key in values:
                continue
        values[key] = value
    missing = [f.name for f in dataclasses.fields(cls) if f.name not in values  # type: ignore[arg-type]
               and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    if missing:
        raise ConfigError(f"{layers.place(path)}: {missing[0]} is missing")
    try:
        return cls(**values)
    except (ConfigError, CredentialsError) as error:
        raise type(error)(f"{layers.place(_culprit(cls, values, str(error), path))}: {error}") from error


def _culprit(cls: type[Any], values: dict[str, Any], message: str, path: Key) -> Key:
    """The key whose value alone makes the class raise the same error; else the first one that the message names; else the table."""
    for key, value in values.items():
        try:
            cls(**{key: value})
        except (ConfigError, CredentialsError) as error:
            if str(error) == message:
                return (*path, key)
        except TypeError:  # other fields are required as well
            break
    named = {found.start(): key for key in values if (found := re.search(rf"\b{re.escape(key)}\b", message))}
    return (*path, named[min(named)]) if named else path


def _read_secret(value: Any, layers: Layers, path: Key) -> Secret:
    if not isinstance(value, str):
        raise _wrong(layers, path, "the path of a file", value)
    try:
        return read_secret(value)
    except CredentialsError as error:
        raise CredentialsError(f"{layers.place(path)}: {error}") from None


def _convert(hint: Any, value: Any, layers: Layers, path: Key) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, layers, path)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{layers.place(path)}: {value!r} is none of {', '.join(map(str, arguments))}")
        return str(value) if isinstance(value, Text) else value
    if origin is tuple:
        return _convert_tuple(arguments, value, layers, path)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(layers, path, "a table", value)
        return {key: _convert(arguments[1], item, layers, (*path, key)) for key, item in value.items()}
    if hint is Secret:
        if not isinstance(value, str):
            raise ConfigError(f"{layers.place(path)} must be a string")  # without the value
        return Secret(str(value))
    if hint is bool:
        if isinstance(value, Text) and value.lower() in _TRUE + _FALSE:
            return value.lower() in _TRUE
        if not isinstance(value, bool):
            raise _wrong(layers, path, "true or false", value)
        return value
    if hint in (int, float):
        return _convert_number(hint, value, layers, path)
    if hint is not str:
        raise TypeError(f"{dotted(path)}: fields of type {hint} are not read from a configuration")
    if not isinstance(value, str):
        raise _wrong(layers, path, "a string", value)
    return str(value)


def _convert_number(hint: Any, value: Any, layers: Layers, path: Key) -> Any:
    if isinstance(value, Text):
        with contextlib.suppress(ValueError):
            value = hint(value)
    accepted = (int, float) if hint is float else (int,)
    if isinstance(value, bool) or not isinstance(value, accepted) or value != value:
        raise _wrong(layers, path, "a number" if hint is float else "a whole number", value)
    return hint(value)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, layers: Layers, path: Key) -> tuple[Any, ...]:
    if isinstance(value, Text):
        value = [Text(item.strip()) for item in value.split(",") if item.strip()]
    if not isinstance(value, list | tuple):
        raise _wrong(layers, path, "a list", value)
    if arguments[-1] is not Ellipsis and len(value) != len(arguments):
        raise _wrong(layers, path, f"a list of {len(arguments)}", value)
    hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
    return tuple(_convert(hint, item, layers, (*path, number)) for number, (hint, item) in enumerate(zip(hints, value, strict=True)))


def _wrong(layers: Layers, path: Key, wanted: str, value: Any) -> ConfigError:
    kinds: dict[type, str] = {dict: "a table", list: "a list"}
    found = kinds.get(type(value)) or repr(without_password(value) if isinstance(value, str) else value)
    return ConfigError(f"{layers.place(path)} must be {wanted}, not {found}")


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
