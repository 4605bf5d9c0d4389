"""Configuration in layers: nested tables from several places, laid over one another, which know where each value stands."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecolor.errors import ConfigError
from edgecolor.toml import Key, key_lines, line_of

__all__ = ["Key", "Layers", "Text", "dotted", "read_layers"]
_LARGEST_FILE = 1 << 20
_DEEPEST = 20


class Text(str):
    """A value from a flag or the environment: everything is text there, and is read as what the field wants."""


@dataclass
class Layers:
    """Nested tables merged from several places, later ones over earlier ones, and where each value stands."""

    table: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    lines: dict[Key, int] = field(default_factory=dict)
    places: dict[Key, str] = field(default_factory=dict)  # of values that are not from the file

    def put(self, path: tuple[str, ...], value: Any, place: str) -> None:
        """Lay one value over what is there. place: what to call it in errors, as EDGECOLOR_HTTP_ADDRESS or --http.

        A secret takes the place of one from a file (NAME_file), and the other way round.
        """
        table = self.table
        for key in path[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{self.place(path[:-1])}: {key} must be a table")
        name = path[-1]
        table.pop(name.removesuffix("_file") if name.endswith("_file") else f"{name}_file", None)
        table[name] = value
        self.places[path] = place

    def place(self, path: Key, named: Key | None = None) -> str:
        """Where a key stands, and its name (or that of ``named``): edgecolor.toml:12: source.timeout."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        line = line_of(path, self.lines)
        where = self.file if line is None else f"{self.file}:{line}"
        name = dotted(path if named is None else named)
        return f"{where}: {name}" if where and name else where or name


def read_layers(path: Path) -> Layers:
    """A TOML file as the first layer. Raises ConfigError with file and line."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: can not be read: {error.strerror}") from error
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{path}: is too large to be a configuration")
    try:
        # tomllib takes CR LF for a line's end as well, and so does the count of lines.
        text = content.decode()
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        message, line_number = str(error), ""
        if found := re.search(r" \(at line (\d+), column (\d+)\)$", message):
            message, line_number = message[: found.start()] + f" at column {found[2]}", f":{found[1]}"
        elif message.endswith("(at end of document)"):
            line_number = f":{text.rstrip().count(chr(10)) + 1}"
        raise ConfigError(f"{path}{line_number}: is not TOML: {message}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    except ValueError:  # of int(), which takes no thousands of digits; tomllib does not say where they stand
        digits = re.search(rf"[0-9_]{{{sys.get_int_max_str_digits()},}}", text)
        line_number = f":{text.count(chr(10), 0, digits.start()) + 1}" if digits else ""
        raise ConfigError(f"{path}{line_number}: is not TOML: a whole number has more than 64 bits") from None
    layers = Layers(table, str(path), key_lines(text))
    _check_values(table, layers, ())
    return layers


def _check_values(value: Any, layers: Layers, path: Key) -> None:
    """Raise ConfigError for what tomllib lets through and no setting can be: it would be an error of another kind later."""
    if len(path) > _DEEPEST:
        raise ConfigError(f"{layers.file}: is nested too deeply")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{layers.place(path)}: a whole number has more than 64 bits")
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{layers.place(path)} has a NUL character in it")
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _check_values(item, layers, (*path, key))


def dotted(path: Key) -> str:
    """A path as a person writes it: stage[0].steps."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
