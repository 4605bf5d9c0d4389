"""Configuration in layers: nested tables from several places, laid over one another, which know where each value stands."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecolor.errors import ConfigError
from edgecolor.toml import Key, key_lines, line_of

__all__ = ["Key", "Layers", "Text", "dotted", "read_layers"]
_LARGEST_FILE = 1 << 20


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
    return Layers(table, str(path), key_lines(text))


def dotted(path: Key) -> str:
    """A path as a person writes it: stage[0].steps."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
