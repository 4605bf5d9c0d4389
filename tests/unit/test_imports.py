"""Which module may import which: the runtime stays lean, and arrows point one way (see README, Map)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "edgecolor"
NEVER_LOADED = ("tensorflow", "keras", "picamera2", "av", "aiohttp", "convert", "matplotlib", "skimage")
# Each room may import itself, those before it in the list that it names, and nothing else of the package.
LAYERS = {
    "errors": set(),
    "allocator": set(),
    "frame": {"errors"},
    "color": {"frame"},
    "bt601": {"color", "frame"},
    "quantization": {"color", "frame"},
    "edgetpu": {"errors"},
    "interpreter": {"edgetpu", "errors"},
    "assets": {"edgetpu", "errors", "interpreter"},
    "upsample": set(),
    "temporal": set(),
    "meters": set(),
    "board": set(),
    "monochrome": {"frame"},
    "label": {"color", "frame"},
    "placeholder": {"color", "frame", "label"},
    "live": {"board", "errors", "temporal"},
    "toml": set(),
    "layers": {"errors", "toml"},
    "credentials": {"errors"},
    "config": {"credentials", "errors", "layers"},
    "journal": set(),
    "logs": {"credentials", "journal"},
    "service": {"logs"},
    "outage": {"errors", "frame", "sources"},
    "chroma": {"colorizer", "frame", "meters", "temporal"},
    "catalog": {"assets", "edgetpu", "errors", "interpreter"},
    "colorizer": {"assets", "catalog", "color", "errors", "frame", "interpreter", "quantization", "upsample"},
}


def imports_of(path: Path) -> set[str]:
    """Rooms of the package that a module imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("edgecolor.") and len(name.split(".")) > 1}
    return {name for name in found if (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()}


def test_a_fresh_process_loads_nothing_heavy() -> None:
    code = f"import sys, edgecolor; edgecolor.Colorizer; print([m for m in {NEVER_LOADED!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_core_rooms_import_only_what_is_below_them() -> None:
    for room, allowed in LAYERS.items():
        assert imports_of(PACKAGE / f"{room}.py") <= allowed, room


def test_sources_and_sinks_know_frames_not_the_pipeline() -> None:
    modules = [*(PACKAGE / "sources").glob("*.py"), *(PACKAGE / "sinks").rglob("*.py")]
    assert len(modules) >= 4
    for module in modules:
        assert not imports_of(module) & {"pipeline", "cli", "commands", "colorizer", "interpreter"}, module.name


def test_the_runtime_never_names_the_training_package() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            assert not any(m.split(".")[0] in ("convert", "tensorflow", "keras") for m in modules), path.name


def test_only_one_module_imports_a_tflite_runtime() -> None:
    users = [p.name for p in PACKAGE.rglob("*.py") if "ai_edge_litert" in p.read_text() or "tflite_runtime" in p.read_text()]
    assert users == ["interpreter.py"]
