"""What tomllib leaves out: on which line of a TOML text a key stands, and how values are written.

Source: TOML 1.0.0, https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from typing import Any

Key = tuple[str | int, ...]  # keys, and numbers within arrays of tables
_CLOSING = {"[": "]", "{": "}"}


def key_lines(text: str) -> dict[Key, int]:
    """Paths of tables and keys -> line of their first mention, from 1. ``text`` must be TOML that tomllib accepts.

    Keys inside an inline table or an array have no line of their own: theirs is that of the key which holds it.
    """
    lines: dict[Key, int] = {}
    arrays: Counter[Key] = Counter()
    table: Key = ()
    place = _next_statement(text, 0)
    while place < len(text):
        line = text.count("\n", 0, place) + 1
        if text[place] == "[":
            array = text.startswith("[[", place)
            end = _key_end(text, place + 1 + array, "]")
            table = _within(_parse_key(text[place + 1 + array : end]), arrays)
            if array:
                arrays[table] += 1
                table = (*table, arrays[table] - 1)
            place = end + 1 + array
            lines.setdefault(table, line)
        else:
            end = _key_end(text, place, "=")
            path = table
            for part in _parse_key(text[place:end]):
                path = (*path, part)
                lines.setdefault(path, line)
            place = _value_end(text, end + 1)
        place = _next_statement(text, place)
    return lines


def line_of(path: Key, lines: dict[Key, int]) -> int | None:
    """Line of a path, or of the nearest table around it; None when the text mentions neither."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _within(keys: tuple[str, ...], arrays: Counter[Key]) -> Key:
    """The path of a table's header: below an array of tables it means the array's last one."""
    path: Key = ()
    for key in keys[:-1]:
        path = (*path, key)
        if arrays[path]:
            path = (*path, arrays[path] - 1)
    return (*path, keys[-1])


def _parse_key(text: str) -> tuple[str, ...]:
    found: Any = tomllib.loads(f"{text.strip()} = 0")
    keys = []
    while isinstance(found, dict):
        (key, found), = found.items()
        keys.append(key)
    return tuple(keys)


def _next_statement(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n#":
        place = _line_end(text, place) if text[place] == "#" else place + 1
    return place


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _key_end(text: str, place: int, stop: str) -> int:
    while text[place] != stop:
        place = _string_end(text, place) if text[place] in "\"'" else place + 1
    return place


def _value_end(text: str, place: int) -> int:
    """Where the value that begins at ``place`` ends: at the end of its line, or of that with its last bracket."""
    open_brackets: list[str] = []
    while place < len(text) and (open_brackets or text[place] not in "\r\n"):
        letter = text[place]
        if letter in "\"'":
            place = _string_end(text, place)
            continue
        if letter == "#":
            place = _line_end(text, place)
            continue
        if letter in _CLOSING:
            open_brackets.append(_CLOSING[letter])
        elif open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
        place += 1
    return place


def _string_end(text: str, place: int) -> int:
    quote = text[place]
    if not text.startswith(quote * 3, place):
        end = place + 1
        while text[end] != quote:
            end += 2 if text[end] == "\\" and quote == '"' else 1
        return end + 1
    end = place + 3
    while not text.startswith(quote * 3, end):
        end += 2 if text[end] == "\\" and quote == '"' else 1
    end += 3
    while text.startswith(quote, end):  # up to two quotes may stand right before the closing ones
        end += 1
    return end


def written(value: Any) -> str:
    """A str, int, float, bool, or list or tuple of those, as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's too; DEL is the one letter that only TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    return repr(value)
