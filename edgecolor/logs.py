"""Logs on stderr: text for a terminal, JSON lines for collectors; to systemd's journal with fields. Never a secret.

Source: sd-daemon(3), for the journal's <N> prefixes; RFC 3339, for times.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO, get_args

from edgecolor.credentials import HIDDEN, without_password
from edgecolor.journal import JournalHandler, priority

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]
LEVELS: tuple[Level, ...] = get_args(Level)
# Schemes are short; without a bound a long run of letters would take quadratic time.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s'\"<>]+")
_SHORTEST_HIDDEN = 4  # hiding a shorter secret wherever it occurs would garble every text, and so tell what it is


@dataclass(frozen=True)
class LogOptions:
    """level: the least that is logged. format: "text", or "json" for one object a line (time, level, logger, message, exception)."""

    level: Level = "info"
    format: Format = "text"


def start_logging(options: LogOptions, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Send all logs of this process to stderr (or ``stream``). secrets: texts that are shown as *** wherever they occur."""
    stream = stream or sys.stderr
    handler: logging.Handler = logging.StreamHandler(stream)
    if options.format == "json":
        handler.setFormatter(JsonFormatter(secrets))
    elif is_journal(stream, os.environ):
        try:
            handler = JournalHandler()
            handler.setFormatter(TextFormatter(secrets, "%(message)s"))
        except OSError:  # stderr leads there, but its socket is out of sight
            handler.setFormatter(JournalFormatter(secrets))
    else:
        handler.setFormatter(TextFormatter(secrets))
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], [handler]
    for other in before:
        if isinstance(other, JournalHandler):
            other.close()
    root.setLevel(options.level.upper())
    # asyncio's debug lines and those of other libraries are of no use to who runs a camera.
    for name in ("asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream goes to systemd's journal: $JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """The text without the passwords of addresses in it, and with *** for each of ``secrets``: a second line of defence."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_HIDDEN:
            text = text.replace(secret, HIDDEN)
    return _ADDRESS.sub(lambda found: without_password(found[0]), text)


class TextFormatter(logging.Formatter):
    """2026-01-31 12:00:00 WARNING pipeline: message, in local time; further lines are indented, so that none looks like another event."""

    def __init__(self, secrets: Collection[str] = (), form: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
        super().__init__(form, "%Y-%m-%d %H:%M:%S")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """The record as text in which no control character is left."""
        lines = masked(super().format(record), self._secrets).splitlines() or [""]
        return "\n  ".join(_printable(line) for line in lines)


class JournalFormatter(TextFormatter):
    """Each line begins with its priority. Without the time, which the journal keeps itself."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__(secrets, "%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines with their priority."""
        number = priority(record.levelno)
        return "\n".join(f"<{number}>{line}" for line in super().format(record).split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage(), self._secrets),
        }
        if record.exc_info:
            told["exception"] = masked(self.formatException(record.exc_info), self._secrets)
        return json.dumps(told)


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in line)
