"""Logs: what each form looks like, and that no secret and no second line gets through."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from edgecolor.logs import JournalFormatter, JsonFormatter, LogOptions, TextFormatter, is_journal, masked, start_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, *values: object, level: int = logging.WARNING, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("edgecolor.room", level, "file.py", 1, message, values, info)


def failed(message: str) -> BaseException:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


def test_text_is_one_line_an_event_and_shows_control_characters_harmlessly() -> None:
    said = TextFormatter().format(record("camera %s", "says\x1b[2J\r\n2026-01-01 00:00:00 INFO forged\x00é"))
    first, second = said.split("\n")
    assert first.endswith(" WARNING edgecolor.room: camera says\\x1b[2J")
    assert second == "  2026-01-01 00:00:00 INFO forged\\x00é"


def test_the_journal_gets_a_priority_on_every_line_and_no_time() -> None:
    said = JournalFormatter().format(record("it broke", level=logging.ERROR, error=failed("two\nlines")))
    lines = said.split("\n")
    assert lines[0] == "<3>edgecolor.room: it broke" and len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)
    levels = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.CRITICAL: 2}
    for level, priority in levels.items():
        assert JournalFormatter().format(record("x", level=level)).startswith(f"<{priority}>")


def test_json_is_one_object_a_line() -> None:
    said = JsonFormatter().format(record("lost %d\n%s", 3, "é", error=failed("why")))
    assert "\n" not in said
    told = json.loads(said)
    assert told["message"] == "lost 3\né" and told["level"] == "warning" and told["logger"] == "edgecolor.room"
    assert told["exception"].endswith("ValueError: why") and told["time"].endswith("+00:00")


@pytest.mark.parametrize("formatter", [TextFormatter, JournalFormatter, JsonFormatter])
def test_no_secret_gets_through_not_even_in_a_traceback(formatter: type[logging.Formatter]) -> None:
    error = failed("can not open rtsp://me:sesame@cam/x, nor open-door, nor http://cam/?password=sesame&a=1")
    said = formatter({"open-door"}).format(record("tried %s and %s", "rtsp://me:sesame@cam/x", "open-door", error=error))  # type: ignore[call-arg]
    assert "sesame" not in said and "open-door" not in said
    assert "rtsp://me@cam/x" in said and "***" in said


def test_masking_leaves_the_rest_alone() -> None:
    assert masked("see https://example.org/a?view=c#d (12:30) me@home", {"me"}) == "see https://example.org/a?view=c#d (12:30) me@home"
    assert masked("'rtsp://u:p@h/1' <rtsp://u:p@h/2> rtsp://u:p/@h/3") == "'rtsp://u@h/1' <rtsp://u@h/2> rtsp://u@h/3"
    begin = monotonic()
    masked("rtsp://h/" + "a" * 100_000 + " rtsp://h/" + "user=" * 20_000)
    assert monotonic() - begin < 2, "the time is not that of the length"
    assert masked("longsecret long", {"long", "longsecret"}) == "*** ***"


def test_start_logging_sends_everything_once_at_its_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    start_logging(LogOptions("warning", "json"), ["open-door"], text)
    logging.getLogger("edgecolor.x").info("not this")
    logging.getLogger("edgecolor.x").warning("the open-door")
    assert [json.loads(line)["message"] for line in text.getvalue().splitlines()] == ["the ***"]
    with (tmp_path / "journal").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr("edgecolor.journal.SOCKET", tmp_path / "absent")
        start_logging(LogOptions(), stream=stream)
        logging.getLogger("edgecolor.x").info("to the journal")
    assert (tmp_path / "journal").read_text() == "<6>edgecolor.x: to the journal\n"


def test_stderr_is_the_journal_only_when_its_numbers_say_so(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})
