"""What a user of the booted machine has at hand: systemctl, the journal, a browser. Standard library only.

argv[3] of the program that imports it: the file to which findings go, as JSON lines.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNIT, TOKEN = "edgecolor@front.service", "in-the-machine-only-0123456789"
_OUT = Path(sys.argv[3]).open("w", buffering=1)  # noqa: SIM115 - open until the machine ends


def tell(step: str, **findings: Any) -> None:
    _OUT.write(json.dumps({"step": step, "at": round(time.monotonic(), 1), **findings}) + "\n")


def run(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=400)
    return done.returncode, done.stdout + done.stderr


def shown(*names: str) -> dict[str, str]:
    _, text = run("systemctl", "show", f"--property={','.join(names)}", UNIT)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def status_with(words: str) -> str | None:
    text = shown("StatusText")["StatusText"]
    return text if words in text else None


def pid() -> int:
    return int(shown("MainPID")["MainPID"])


def journal() -> str:
    return run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT)[1]


def get(path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def state() -> dict[str, Any]:
    return json.loads(get("/state")[2])


def until(what: str, condition: Callable[[], Any], seconds: float = 120) -> tuple[Any, float]:
    """What the condition gave once it was true, and the seconds that it took."""
    begin, last = time.monotonic(), ""
    while time.monotonic() < begin + seconds:
        try:
            if found := condition():
                return found, round(time.monotonic() - begin, 2)
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = repr(error)
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s {last}")


def colour() -> bytes | None:
    status, headers, body = get("/snapshot.jpg")
    return body if status == 200 and headers.get("x-edgecolor-origin") == "guess" else None


class Viewer:
    """Reads the stream for ever, counts the parts and keeps the last one's origin."""

    def __init__(self) -> None:
        self.parts, self.origin, self.ended = 0, "", False
        self._connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
        self._connection.request("GET", "/stream.mjpg", headers={"Authorization": f"Bearer {TOKEN}"})
        self._socket = self._connection.sock  # the connection lets go of it with the answer
        self._answer = self._connection.getresponse()
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """As one who goes: the thread ends by it."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        length = 0
        try:
            while line := self._answer.readline():
                name, _, value = line.decode("latin-1").strip().partition(": ")
                if name == "Content-Length":
                    length = int(value)
                elif name == "X-EdgeColor-Origin":
                    self.origin = value
                elif not line.strip() and length:
                    self._answer.read(length)
                    length, self.parts = 0, self.parts + 1
        except OSError:
            pass
        self.ended = True


def files() -> set[str]:
    """All that stands on the disk, but for what systemd itself writes as it goes."""
    _, text = run("find", "/", "-xdev", "-not", "-path", "/var/log/journal/*", "-not", "-path", "/root/.cache/*")
    return {line for line in text.splitlines() if "/systemd-private-" not in line and "__pycache__" not in line}


def back(name: str, process: int, begin: float) -> None:
    """Wait until another process than ``process`` serves, and tell."""
    until(f"{name}: a new process", lambda: pid() not in (0, process), 240)
    until(f"{name}: active", lambda: shown("ActiveState")["ActiveState"] == "active", 240)
    until(f"{name}: live", lambda: state()["state"] == "live", 120)
    tell(name, seconds=round(time.monotonic() - begin, 1), **shown("NRestarts", "StatusText"))


def command_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
