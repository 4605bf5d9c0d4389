"""Records as the journal gets them, over a real datagram socket."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecolor.journal import JournalHandler
from edgecolor.logs import LogOptions, start_logging


@pytest.fixture
def journal(tmp_path: Path, socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The journal's end; this process logs to it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, (tmp_path / "stderr").open("w") as stream:
        other.bind(str(socket_folder / "socket"))
        other.settimeout(10)
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr("edgecolor.journal.SOCKET", socket_folder / "socket")
        start_logging(LogOptions(), ["open-door"], stream)
        yield other
        for handler in root.handlers:
            handler.close()
        assert not (tmp_path / "stderr").read_text()
    root.handlers[:] = handlers
    root.setLevel(level)


def fields(datagram: bytes) -> dict[str, str]:
    """The native protocol, read as its documentation says."""
    found = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[9 + length :]
            assert datagram[len(line) + 9 + length : len(line) + 10 + length] == b"\n"
        found[name.decode()] = value.decode()
        datagram = rest
    return found


def test_a_record_has_its_level_place_and_own_fields(journal: socket.socket) -> None:
    logging.getLogger("edgecolor.room").warning("%s is gone, open-door", "the camera", extra={"fields": {"loss": "silent"}})
    told = fields(journal.recv(65536))
    assert told.pop("CODE_FILE").endswith("test_journal.py") and int(told.pop("CODE_LINE")) > 0
    assert told.pop("CODE_FUNC") == "test_a_record_has_its_level_place_and_own_fields"
    assert told == {"MESSAGE": "the camera is gone, ***", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "edgecolor", "LOGGER": "edgecolor.room",
                    "EDGECOLOR_LOSS": "silent"}  # fmt: skip


def test_more_lines_stay_one_entry(journal: socket.socket) -> None:
    logging.getLogger("edgecolor.room").info("one\ntwo\x1b")
    assert fields(journal.recv(65536))["MESSAGE"] == "one\n  two\\x1b"
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logging.getLogger("edgecolor.room").exception("it failed")
    told = fields(journal.recv(65536))
    assert told["MESSAGE"] == "it failed" and told["PRIORITY"] == "3"
    assert told["EXCEPTION"].lstrip().startswith("Traceback") and told["EXCEPTION"].endswith("in two")


def test_an_endless_message_is_cut_not_lost(journal: socket.socket) -> None:
    logging.getLogger("edgecolor.room").info("x" * 1_000_000)
    assert 10_000 < len(fields(journal.recv(1 << 20))["MESSAGE"]) < 100_000


def test_without_a_journal_there_is_no_handler(socket_folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JournalHandler(socket_folder / "absent")
