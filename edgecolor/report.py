"""What a benchmark's figures belong to, as a block of Markdown to paste into an issue.

It names the board, the software and their state. It never names the machine or its owner: no host name, serial number,
address, path or user.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecolor import __version__
from edgecolor.benchmark import NETWORK_STAGES, Timing
from edgecolor.board import Board, Reading
from edgecolor.interpreter import available_runtimes

_BOARD_MODEL = Path("proc/device-tree/model")  # Devicetree Specification, section 2.3.2; without the serial number
_FREQUENCY = Path("sys/devices/system/cpu/cpu0/cpufreq")  # Linux, Documentation/admin-guide/pm/cpufreq.rst
_LIBRARIES = ("numpy", "opencv-python-headless", "opencv-python", "simplejpeg")


def describe_board(root: Path = Path("/")) -> dict[str, str]:
    """Board, operating system and versions; what can not be read is left out. root: where /proc, /sys and /etc are."""
    model = _text(root / _BOARD_MODEL)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    found = {
        "board": f"{model or 'unknown'} ({platform.machine()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} MB)",
        "system": _system_name(root),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "edgecolor": __version__,
        "libraries": ", ".join(f"{name} {version}" for name in _LIBRARIES if (version := _version(name))),
        "governor": _text(root / _FREQUENCY / "scaling_governor"),
        "clock": _clock(root),
    }
    return {name: value for name, value in found.items() if value}


def describe_run(about: Mapping[str, Any]) -> dict[str, str]:
    """Model, runtime and threads. about: what edgecolor.benchmark.describe_model gives."""
    runtime = about["runtime"]
    return {
        "model": f"{about['model']} ({about['sha256'][:12]})",
        "runtime": f"{runtime} {available_runtimes().get(runtime, '')}, "
        + ("XNNPACK or a delegate in effect" if about["delegated"] else "no delegate in effect"),
        "threads": f"{about['threads']} of the network, 1 beside it",
    }


def describe_heat(before: Reading, after: Reading) -> dict[str, str]:
    """Temperature and throttling around the run, where the board tells."""
    found = {}
    if before.temperature_c is not None and after.temperature_c is not None:
        found["temperature"] = f"{before.temperature_c:.1f} °C before, {after.temperature_c:.1f} °C after"
    if before.throttled is not None or after.throttled is not None:
        found["throttled"] = f"{_answer(before.throttled)} before, {_answer(after.throttled)} after"
    return found


def read_heat() -> Reading:
    """The board's temperature and throttling now."""
    return Board().read()


def render(facts: Mapping[str, str], timings: Sequence[Timing], reference: str | None) -> str:
    """The block. reference: name of the network that was timed beside ours, None for none. Raises ValueError without timings."""
    if not timings:
        raise ValueError("nothing was measured")
    sizes = [f"{timing.size[0]}x{timing.size[1]}" for timing in timings]
    lines = ["### EdgeColor benchmark", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += [f"| median ms | {' | '.join(sizes)} |", "|---" * (1 + len(sizes)) + "|"]
    for name in timings[0].stages:
        lines.append(_row(name, [timing.stages[name] for timing in timings]))
    lines.append(_row("**all stages**", [timing.total for timing in timings]))
    lines.append(_row("**frames per second**", [1000 / timing.total for timing in timings]))
    lines.append(_row("plain JPEG re-encode", [timing.reencode for timing in timings]))
    compared = [timing.reference for timing in timings if timing.reference]
    if reference and len(compared) == len(timings):
        lines.append(_row(reference, compared))
        network = [sum(timing.stages[name] for name in NETWORK_STAGES) for timing in timings]
        lines.append(_row("network / reference", [ours / theirs for ours, theirs in zip(network, compared, strict=True)]))
    return "\n".join(lines)


def _row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |"


def _answer(throttled: bool | None) -> str:
    return "unknown" if throttled is None else "yes" if throttled else "no"


def _clock(root: Path) -> str:
    """The first core's clock now and at most. The kernel counts in kHz."""
    now, most = (_text(root / _FREQUENCY / name) for name in ("scaling_cur_freq", "cpuinfo_max_freq"))
    return f"{int(now) / 1000:.0f} MHz of {int(most) / 1000:.0f} MHz" if now.isdecimal() and most.isdecimal() else ""


def _system_name(root: Path) -> str:
    """os-release(5)'s name for people."""
    for line in _text(root / "etc" / "os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return ""


def _text(path: Path) -> str:
    """Content of a small file of the kernel's, "" where it can not be read."""
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
