"""Predicts frames per second of boards that are not here: python -m tests.benchmarks.boards [--json] [MODEL.tflite...]

What is counted: the instructions of the live path and of MobileNetV2-1.0-224 int8, one thread, by QEMU with a plugin
(count.c) and each board's processor. What is not counted: how fast a board executes them. That comes from times which others
measured with MobileNetV2-1.0-224 int8 and XNNPACK on all four cores of the board: a board's milliseconds are instructions *
published time / instructions of MobileNetV2. Beside the network all work is done by one core, taken to do a quarter of what
four do: as four never do quite four times the work of one, that errs on the slow side. Memory, heat, other programs and the
camera's own decoding are left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.arm64 import CACHE, Board, build_wheel, packages
from tests.benchmarks.emulator import emulator, plugin
from tests.benchmarks.workload import ROUNDS, WARM_UP
from tests.conftest import ROOT
from tests.debian import BOOKWORM

CORES = 4
SIZES = ("640x480", "1280x720")


@dataclass(frozen=True)
class Target:
    """A board: its processor, and milliseconds of MobileNetV2-1.0-224 int8 on all its cores, with their source."""

    name: str
    cpu: str
    reference_ms: float
    source: str


_XNNPACK = "XNNPACK's README, INT8 MobileNet v2 1.0X, 8 February 2022"
TARGETS = (
    Target("Zero 2 W", "cortex-a53", 30 * 1.4 / 1.0,
           f"not published; 30 ms on a Pi 3 B+ with the same cores, 32-bit ({_XNNPACK}), by the clocks: 1.4 GHz to 1.0 GHz"),
    Target("Pi 4", "cortex-a72", 17, f"17 ms, ARM64 ({_XNNPACK})"),
    Target("Pi 5", "cortex-a76", 4.01,
           "4.01 ms, INT8 MobileNetV2, ExecuTorch with XNNPACK (Arm's course \"ExecuTorch on Arm\", learn.arm.com/courses/"
           "executorch-on-arm; it says \"Raspberry Pi\", and the 10.89 ms that it gives for float are a quarter of a Pi 4's)"),
)


@dataclass(frozen=True)
class Prediction:
    """Of one board at one frame size. network_ms: one guess of the network. every_frame: frames a second when each gets a guess
    of its own; between: frames a second that one core can send with the newest guess while others make the next one."""

    network_ms: float
    every_frame: float
    between: float


def predict(target: Target, counts: dict[str, float], size: str, model: str = "network") -> Prediction:
    """From instructions of the stages "reference", "network", "guess SIZE" (with the network in it) and "send SIZE".

    model: another network's stage, which takes the place of "network"; what goes on beside it is taken for the same.
    """
    four_cores = target.reference_ms / counts["reference"]  # ms per instruction
    network = counts[model] * four_cores
    rest = (counts[f"guess {size}"] - counts["network"]) * four_cores * CORES
    send = counts[f"send {size}"] * four_cores * CORES
    return Prediction(network, 1000 / (network + rest + send), 1000 / send)


def stage_counts(marks: list[int], names: list[str]) -> dict[str, float]:
    """Median instructions of each stage from the counter at each mark. Raises ValueError when marks are missing."""
    each = len(names) + 1
    if len(marks) != each * ROUNDS:
        raise ValueError(f"{len(marks)} marks, not {each * ROUNDS}: the workload did not come to its end")
    rounds = [marks[start : start + each] for start in range(0, len(marks), each)][WARM_UP:]
    return {name: statistics.median(turn[at + 1] - turn[at] for turn in rounds) for at, name in enumerate(names)}


def count(cpu: str, wheel: Path, models: Sequence[Path] = ()) -> dict[str, float]:
    """Instructions of each stage of the workload on one processor. models: further ones. Raises RuntimeError when it fails."""
    board = Board(BOOKWORM, cpu, packages(BOOKWORM, wheel))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "marks"
        # -seed makes the random bytes that Linux hands to a program the same in every run.
        program: list[str | Path] = [emulator(), "-seed", "1", "-plugin", f"{plugin()},out={out}"]
        done = subprocess.run(board.python("-m", "tests.benchmarks.workload", *models, emulator=program), cwd=ROOT, env=board.environment(),
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the workload failed on {cpu}:\n{done.stderr[-3000:]}")
        return stage_counts([int(line) for line in out.read_text().split()], json.loads(done.stdout))


def table(counts: dict[str, dict[str, float]], models: Sequence[str] = ()) -> str:
    """Markdown: counts and predictions. counts: processor -> stage -> instructions. models: names of further networks."""
    names = ["MobileNetV2-1.0-224 int8", "ours", *models, *(f"{what} {s}" for s in SIZES for what in ("a guess", "a frame sent"))]
    rows = ["Counted, million instructions in one thread:", "", f"| processor | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    columns = ["reference", "network", *models, *(f"{what} {size}" for size in SIZES for what in ("guess", "send"))]
    rows += [f"| {cpu} | " + " | ".join(f"{found[column] / 1e6:.2f}" for column in columns) + " |" for cpu, found in counts.items()]
    rows += ["", "Predicted, not measured on boards: instructions x published time / instructions of MobileNetV2:", "",
             "| board | MobileNetV2, ms | network | its ms | "
             + " | ".join(f"{s}: fps, a guess for every frame | {s}: fps sent by one core, guesses beside it" for s in SIZES) + " |",
             "|---" * (4 + 2 * len(SIZES)) + "|"]
    for target, model in itertools.product(TARGETS, ("network", *models)):
        predictions = [predict(target, counts[target.cpu], size, model) for size in SIZES]
        cells = " | ".join(f"{p.every_frame:.0f} | {p.between:.0f}" for p in predictions)
        name = "ours" if model == "network" else model
        rows.append(f"| {target.name} | {target.reference_ms:.3g} | {name} | {predictions[0].network_ms:.3g} | {cells} |")
    return "\n".join([*rows, "", *(f"- {target.name}: {target.source}." for target in TARGETS)])


def main() -> int:
    """Count on each processor and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.boards", description="predict frames per second of boards")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON instead")
    parser.add_argument("models", type=Path, nargs="*", help="further int8 .tflite files whose network is counted too")
    arguments = parser.parse_args()
    wheel = build_wheel(CACHE / "dist")
    models = [path.resolve() for path in arguments.models]
    counts = {target.cpu: count(target.cpu, wheel, models) for target in TARGETS}
    print(json.dumps(counts, indent=1) if arguments.json else table(counts, [path.stem for path in models]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
