"""Whoever builds the wheel and the sdist from the same files gets the same bytes: wherever, whenever, as whomever."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.system

NOT_SOURCES = (".git", ".venv*", ".arm64", ".vm", ".*_cache", "__pycache__", "*.egg-info", "build", "dist", "out", "runs")
STRICT = 0o077


def build(source: Path, out: Path, arguments: tuple[str, ...], umask: int, **environment: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    command = [sys.executable, "-m", "build", "--no-isolation", *arguments, "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept | environment, umask=umask)
    assert done.returncode == 0, done.stderr[-2000:]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_builders_get_the_same_bytes(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "another place" / "there"
    shutil.copytree(ROOT, here, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    there.mkdir(parents=True)
    paths = sorted(here.rglob("*"))
    for path in reversed(paths):  # another order in the folders
        copy = there / path.relative_to(here)
        if path.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(path.stat().st_mode & ~STRICT)
            os.utime(copy, (86_400 * 365 * 20, 86_400 * 365 * 20 + copy.stat().st_size))
    for path in (copy for copy in there.rglob("*") if copy.is_dir()):
        path.chmod(0o700)

    # The wheel straight from the files; and from the sdist, as pip would.
    build(here, tmp_path / "a", ("--wheel", "--sdist"), 0o022, TZ="UTC", PYTHONHASHSEED="1")
    build(there, tmp_path / "b", (), STRICT, TZ="Pacific/Kiritimati", PYTHONHASHSEED="2", LC_ALL="C", HOME=str(tmp_path))
    first, second = hashes(tmp_path / "a"), hashes(tmp_path / "b")
    assert {name.rpartition(".")[2] for name in first} == {"whl", "gz"}
    assert first == second
    # And no other file gives them.
    (there / "edgecolor" / "__init__.py").write_text((there / "edgecolor" / "__init__.py").read_text() + "\n")
    build(there, tmp_path / "c", ("--wheel",), STRICT)
    assert not set(hashes(tmp_path / "c").values()) & set(first.values())


def test_the_containerfile_copies_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    # It is not built here. That its context is complete can be told all the same.
    lines = (ROOT / "systemd" / "Containerfile").read_text().splitlines()
    copies = [line.split()[1:] for line in lines if line.startswith("COPY ") and "--from" not in line]
    for *sources, target in copies:
        for source in sources:
            place = tmp_path / "context" / target / source if target == "./" else tmp_path / "context" / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns(*NOT_SOURCES))
            else:
                shutil.copyfile(ROOT / source, place)
    build(tmp_path / "context", tmp_path / "container", ("--wheel",), 0o022)
    build(ROOT, tmp_path / "checkout", ("--wheel",), 0o022)
    assert copies and hashes(tmp_path / "container") == hashes(tmp_path / "checkout")
