"""pip installs the wheel with everything that it asks for into an empty environment, and it works there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA, ROOT

pytestmark = pytest.mark.system


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT, cwd=out)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob("*.whl"))


@pytest.mark.parametrize(("extra", "runtime"), [("", "litert"), ("[tflite]", "tflite")])
def test_a_fresh_environment(wheel: Path, tmp_path: Path, extra: str, runtime: str) -> None:
    if extra and sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for this Python; the extra is for Python 3.11")
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    done = run(python, "-m", "pip", "install", "--quiet", f"edgecolor{extra} @ file://{wheel}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    edgecolor = python.with_name("edgecolor")

    report = run(edgecolor, "doctor", "--json", cwd=tmp_path)
    assert report.returncode == 0, report.stdout + report.stderr
    found = {row["what"]: row["detail"] for row in json.loads(report.stdout)}
    assert "XNNPACK in effect" in found["model edgecolor"]

    out = tmp_path / "color.jpg"
    done = run(edgecolor, "colorize", DATA / "gray.jpg", "-o", out, "--runtime", runtime, cwd=tmp_path)
    assert done.returncode == 0 and out.stat().st_size > 5000, done.stderr

    installed = {row["name"] for row in json.loads(run(python, "-m", "pip", "list", "--format", "json", cwd=tmp_path).stdout)}
    assert not installed & {"tensorflow", "keras", "torch", "matplotlib"}, "the runtime must stay lean"
    assert ("tflite-runtime" in installed) == bool(extra)
