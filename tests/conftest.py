"""Shared by all tests: where the bundled files are, and what to do when a real part is not installed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def data() -> Path:
    return DATA


def short_folder() -> tempfile.TemporaryDirectory[str]:
    """For sockets, whose paths have room for 107 bytes (unix(7)): pytest's own folder may be longer, where TMPDIR is."""
    return tempfile.TemporaryDirectory(dir="/tmp")


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield Path(folder)


def need(program: str, package: str) -> str:
    """Path of a program that a test needs. Without it the test is skipped by name, but never in CI."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed; apt install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
