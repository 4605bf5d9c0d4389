"""Debian releases as Raspberry Pi OS follows them: their Python, and the wheels that pip would take there."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

_OLDEST_GLIBC = 17


@dataclass(frozen=True)
class Release:
    """A Debian release, the version of its Python, and 2.x of its glibc."""

    suite: str
    python: str
    glibc: int

    def __str__(self) -> str:
        return self.suite

    def pip_options(self, machine: str) -> list[str]:
        """What makes any pip choose as the release's own would on x86_64 or aarch64; wheels only."""
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(self.glibc, _OLDEST_GLIBC - 1, -1)]
        return ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}", *platforms,
                f"--platform=manylinux2014_{machine}"]  # fmt: skip


BOOKWORM, TRIXIE = Release("bookworm", "3.11", 36), Release("trixie", "3.13", 41)


def run(*command: str | Path) -> None:
    """Run a program to its end. Raises RuntimeError with its last words when it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-3000:]}")


def key(*parts: str) -> str:
    """Names what was made from these."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
