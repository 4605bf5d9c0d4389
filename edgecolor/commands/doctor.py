"""``edgecolor doctor``: what is installed, what would be used, and what to install for what is missing."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgecolor import __version__
from edgecolor.assets import MODEL_FOLDERS, load_model
from edgecolor.edgetpu import is_compiled
from edgecolor.errors import EdgeColorError
from edgecolor.hardware import Finding, coral, pi_cameras
from edgecolor.interpreter import Interpreter, available_runtimes, free_cores

# module -> (distributions that provide it, what needs it, the fix)
_PACKAGES = {
    "numpy": (("numpy",), "everything", "pip install numpy"),
    "cv2": (("opencv-python-headless", "opencv-python"), "everything", "pip install opencv-python-headless, or apt install python3-opencv"),
    "av": (("av",), "video and cameras", "pip install av"),
    "simplejpeg": (("simplejpeg",), "JPEG", "pip install simplejpeg"),
    "aiohttp": (("aiohttp",), "edgecolor serve", "pip install aiohttp"),
    "prometheus_client": (("prometheus-client",), "edgecolor serve", "pip install prometheus-client"),
}


def add_parser(subparsers: Any) -> None:
    """Add this command's options."""
    parser = subparsers.add_parser("doctor", help="say what is installed, what would be used, and what to install")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--coral", nargs="?", const="", metavar="MODEL",
                        help="also load the Edge TPU's delegate (in a child process), and run this compiled model on it")  # fmt: skip


def _board() -> Finding:
    model = Path("/proc/device-tree/model")
    name = model.read_text("utf-8", "replace").strip("\0\n ") if model.exists() else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return Finding("board", "ok", f"{name}, {len(os.sched_getaffinity(0))} cores ({free_cores()} free now), {memory:.0f} MB, "
                   f"Python {platform.python_version()}, edgecolor {__version__}")


def _package(module: str) -> Finding:
    distributions, need, fix = _PACKAGES[module]
    if importlib.util.find_spec(module) is None:
        return Finding(module, "missing", f"not installed; needed for {need}", fix)
    for name in distributions:
        try:
            return Finding(module, "ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return Finding(module, "ok", "installed by the system")


def _runtimes() -> list[Finding]:
    found = available_runtimes()
    if not found:
        return [Finding("runtime", "missing", "no TFLite runtime", "pip install ai-edge-litert")]
    used = next(iter(found))
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    findings = [Finding("runtime", "ok", f"{listed}; {used} would be used")]
    models = sorted({path.stem: path for folder in MODEL_FOLDERS[::-1] for path in folder.glob("*.tflite")}.items())
    if not models:
        findings.append(Finding("models", "missing", "no model is installed", "install edgecolor again"))
    for name, path in models:
        try:
            model = load_model(path)
            if is_compiled(model.content):
                findings.append(Finding(f"model {name}", "ok", "compiled for the Edge TPU; --coral with its path runs it"))
                continue
            run = Interpreter(model.content, threads=1)
            model.check_contract(run.input, run.output)
            height, width = run.input.shape[1:3]
            speed = "XNNPACK in effect" if run.delegated else "XNNPACK not in effect: int8 runs several times slower"
            fix = "" if run.delegated else "pip install ai-edge-litert, and leave --runtime out"
            findings.append(Finding(f"model {name}", "ok", f"{width}x{height}, {model.card['sha256'][:12]}, {speed}", fix))
        except EdgeColorError as error:
            findings.append(Finding(f"model {name}", "missing", str(error), "install edgecolor again, or export the model again"))
    return findings


def _v4l2() -> Finding:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    unreadable = [path for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    fix = "add the user to the group video" if unreadable else "" if devices else "plug a USB camera in, if one is wanted"
    detail = ", ".join(f"{path} (no permission)" if path in unreadable else path for path in devices)
    return Finding("V4L2 cameras", "ok" if devices else "absent", detail or "no /dev/video*", fix)


def _coral(tried: str | None) -> list[Finding]:
    """tried: None, or "" to load the delegate, or the path of a compiled model to run on it."""
    runtime = next(iter(available_runtimes()), None) if tried is not None else None
    return coral(runtime=runtime, model=load_model(tried).content if tried else b"")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 0 when nothing needed is missing."""
    findings = [_board(), *(_package(module) for module in _PACKAGES), *_runtimes(), *pi_cameras(), _v4l2(), *_coral(arguments.coral)]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(f"{finding.state:8} {finding.what:18} {finding.detail}")
            if finding.fix:
                print(textwrap.indent(f"fix: {finding.fix}", " " * 28))
    missing = [finding.what for finding in findings if finding.state == "missing"]
    if missing:
        print(f"edgecolor doctor: missing: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0
