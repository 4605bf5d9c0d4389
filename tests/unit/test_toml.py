"""Lines of keys in TOML, and values written as TOML."""

from __future__ import annotations

import tomllib

import pytest

from edgecolor.toml import key_lines, line_of, written

TEXT = '''# a comment with = and [brackets]
top = 1
"quoted key" = "a # in a string"

[a]
x = """
[not a table]
y = 2
"""
list = [ # comment ]
  "one", 'tw"o',
  [3, 4],
]
inline = { k = 1, "m" = [ { z = 2 } ] }
dotted.key.deep = 5
[ a . b ]
c = 'C:\\\\path\\'
[[stage]]
name = "one\\"two"
[stage.data]
s = 1
[[stage]]
name = \'\'\'three
[four]\'\'\'
last = """quote at the end"""""
end = 1'''


def test_each_key_has_the_line_on_which_it_stands() -> None:
    tomllib.loads(TEXT)  # the text itself is TOML
    lines = key_lines(TEXT)
    assert lines == {
        ("top",): 2, ("quoted key",): 3, ("a",): 5, ("a", "x"): 6, ("a", "list"): 10, ("a", "inline"): 14, ("a", "dotted"): 15,
        ("a", "dotted", "key"): 15, ("a", "dotted", "key", "deep"): 15, ("a", "b"): 16, ("a", "b", "c"): 17, ("stage", 0): 18,
        ("stage", 0, "name"): 19, ("stage", 0, "data"): 20, ("stage", 0, "data", "s"): 21, ("stage", 1): 22, ("stage", 1, "name"): 23,
        ("stage", 1, "last"): 25, ("stage", 1, "end"): 26,
    }  # fmt: skip


def test_what_has_no_line_of_its_own_has_that_of_what_holds_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(("a", "inline", "m", 0, "z"), lines) == 14
    assert line_of(("a", "absent"), lines) == 5
    assert line_of(("absent",), lines) is None


@pytest.mark.parametrize("text", ["", "# only a comment", "\r\n\r\na = 1\r\n", "a = 1 # no end of line"])
def test_short_texts(text: str) -> None:
    assert key_lines(text) == ({("a",): text.count("\n", 0, text.find("a = ")) + 1} if "a = " in text else {})


@pytest.mark.parametrize("value", [True, False, 0, -3, 1.5, 1e300, 1e-9, "", 'a "b" \\ \n\t\x00\x7f é 🙂', [1, 2], [], ["a", "b"]])
def test_values_come_back_as_they_were_written(value: object) -> None:
    assert tomllib.loads(f"a = {written(value)}")["a"] == value
