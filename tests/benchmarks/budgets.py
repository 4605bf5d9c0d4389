"""Prints what the project promises of speed and memory beside what was measured now: python -m tests.benchmarks.budgets

Exit code 1 when a promise is broken. Not a test: a busy machine breaks some.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parent.parent.parent


def _benchmark() -> dict[str, float]:
    command = [sys.executable, "-m", "edgecolor", "benchmark", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    hd = next(frame for frame in report["frames"] if frame["width"] == 1280)
    return {"beside": hd["beside_network_to_reencode"], "network": hd["network_to_reference"]}


def _import_seconds() -> float:
    code = "import time; t = time.perf_counter(); import edgecolor; edgecolor.Colorizer; print(time.perf_counter() - t)"
    return min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout)
               for _ in range(5))


def _peak_megabytes(command: list[str]) -> float:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return usage.ru_maxrss / 1024


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "12mp.jpg"
        photo = cv2.imread(str(ROOT / "tests" / "data" / "gray.jpg"), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(picture), np.asarray(cv2.resize(photo, (4000, 3000), interpolation=cv2.INTER_CUBIC)))
        colorize = [sys.executable, "-m", "edgecolor", "colorize", str(picture), "-o", f"{folder}/out.jpg"]
        peak = _peak_megabytes(colorize)
    measured = _benchmark()
    rows = [
        ("live path beside the network, 1280x720, to a plain JPEG re-encode", measured["beside"], 1.5, "x"),
        ("network to MobileNetV2-1.0-224 int8, one thread", measured["network"], 1.3, "x"),
        ("peak memory of `edgecolor colorize` on a 12-megapixel JPEG", peak, 600.0, "MB"),
        ("import edgecolor with its Colorizer", _import_seconds(), 0.3, "s"),
    ]
    for what, value, allowed, unit in rows:
        print(f"{'ok ' if value <= allowed else 'NO '} {what}: {value:.2f} {unit} (at most {allowed:g} {unit})")
    return int(any(value > allowed for _, value, allowed, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
