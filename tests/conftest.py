"""Shared by all tests: where the bundled files are, and what to do when a real part is not installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def data() -> Path:
    return DATA


def need(program: str, package: str) -> str:
    """Path of a program that a test needs. Without it the test is skipped by name, but never in CI."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed; apt install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
