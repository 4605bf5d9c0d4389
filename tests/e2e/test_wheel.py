"""The wheel, built and installed in a fresh environment, works without the checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import DATA, ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel and the sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel in it. Its dependencies are borrowed from this one."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    fresh = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(fresh), "install", "--quiet", "--no-deps", str(next(built.glob("*.whl")))]
    subprocess.run(command, check=True, capture_output=True)
    borrowed = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    site = next((folder / "lib").glob("python*")) / "site-packages" / "borrowed.pth"
    # Only packages on the path: the editable install of the checkout is a .pth file there, and is not followed from here.
    site.write_text(f"{borrowed}\n")
    return fresh


def test_the_wheel_holds_the_runtime_and_its_models_and_nothing_else(built: Path) -> None:
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    assert {"edgecolor/models/edgecolor.tflite", "edgecolor/models/edgecolor.json", "edgecolor/media/demo.mp4"} <= set(names)
    assert {"edgecolor/sinks/http/page.html", "edgecolor/example.toml"} <= set(names)
    assert not [n for n in names if n.startswith(("convert/", "tests/", "models/")) or n.endswith(".keras")]
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_the_sdist_holds_the_training_package(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = [n.split("/", 1)[1] for n in archive.getnames() if "/" in n]
    assert "convert/train.py" in names and "models/edgecolor.tflite" in names
    assert not [n for n in names if n.startswith(("runs/", "out/", ".venv"))]


def test_the_installed_command_colorizes(python: Path, tmp_path: Path) -> None:
    out = tmp_path / "color.jpg"
    edgecolor = python.with_name("edgecolor")
    done = subprocess.run([str(edgecolor), "colorize", str(DATA / "gray.jpg"), "-o", str(out)], capture_output=True, text=True,
                          cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes()[:2] == b"\xff\xd8" and str(out) in done.stdout
    where = subprocess.run([str(python), "-c", "import edgecolor.assets as a; print(a.find_model('edgecolor'))"], capture_output=True,
                           text=True, cwd=tmp_path, check=True).stdout
    assert str(python.parent.parent) in where, "the model must come from the installed wheel"
