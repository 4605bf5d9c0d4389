"""Log records to systemd's journal with their fields: ``journalctl LOGGER=edgecolor.outage``, ``journalctl EDGECOLOR_LOSS=silent``.

Source: systemd, "Native Journal Protocol", https://systemd.io/JOURNAL_NATIVE_PROTOCOL/; systemd.journal-fields(7).
"""

from __future__ import annotations

import logging
import socket
import struct
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_LONGEST = 32_000  # bytes of one text: a datagram must fit into the socket's buffer


class JournalHandler(logging.Handler):
    """Sends each record as one datagram. Raises OSError when there is no journal.

    Fields beside the usual ones: LOGGER, EXCEPTION (a traceback), and those of ``extra={"fields": {...}}`` as EDGECOLOR_NAME.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(str(path or SOCKET))
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record. What can not be sent is dropped after a word on stderr, as all handlers do."""
        try:
            text = self.format(record)
            message, _, trace = text.partition("\n") if record.exc_info else (text, "", "")
            fields = {
                "MESSAGE": message,
                "PRIORITY": str(priority(record.levelno)),
                "SYSLOG_IDENTIFIER": "edgecolor",
                "LOGGER": record.name,
                "CODE_FILE": record.pathname,
                "CODE_LINE": str(record.lineno),
                "CODE_FUNC": record.funcName or "",
                "EXCEPTION": trace,
                **{f"EDGECOLOR_{name.upper()}": str(value) for name, value in getattr(record, "fields", {}).items()},
            }
            self._socket.send(b"".join(_field(name, value) for name, value in fields.items() if value))
        except Exception:  # noqa: BLE001 - logging's own convention: a log that fails must not fail the program
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def priority(level: int) -> int:
    """syslog(3)'s priority of a level of logging."""
    return next(number for least, number in _PRIORITIES if level >= least)


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")[:_LONGEST]
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
