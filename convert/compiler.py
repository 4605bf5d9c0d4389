"""``python -m convert edgetpu``: what will run on a Coral, the compiler's own word on it, and the compiled model with its card.

Sources: coral.ai/docs/edgetpu/compiler (options, one segment per model, names of files); the reports of compiler 14 to 16 in issues
of github.com/google-coral/edgetpu, such as 396, 433 and 512.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert import edgetpu
from convert.card import save_card
from convert.files import write_file
from convert.graph import read_graph
from edgecolor.assets import load_model
from edgecolor.edgetpu import SUFFIX, is_compiled
from edgecolor.errors import ModelError

PROGRAM = "edgetpu_compiler"
INSTALL = (
    "edgetpu_compiler is not installed: it exists for x86-64 only, in Google's package archive (coral.ai/docs/edgetpu/compiler), "
    "and nothing was compiled"
)
_TIMEOUT_S = 600.0  # its own limit is 180 s
_FATAL = re.compile(r"fails the whole model")
_BEHIND = "on the CPU: an operator before it is; the compiler makes one segment"
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*?)\s*$")
_MAPPED = "Mapped to Edge TPU"


@dataclass(frozen=True)
class Row:
    """Operators of one kind and version with one verdict of convert.edgetpu, or that of standing behind a refused one."""

    kind: str
    version: int
    verdict: str
    count: int


@dataclass(frozen=True)
class Prediction:
    """What the published rules say of a model. size: of the file in bytes."""

    rows: tuple[Row, ...]
    size: int

    def count(self, *words: str) -> int:
        """How many operators have a verdict that begins so."""
        return sum(row.count for row in self.rows if row.verdict.startswith(words))

    @property
    def operators(self) -> int:
        return sum(row.count for row in self.rows)

    def of(self, kind: str) -> tuple[int, int]:
        """(least, most) operators of that kind that are mapped if the rules hold."""
        sure = sum(row.count for row in self.rows if row.kind == kind and row.verdict == "maps")
        open_ = sum(row.count for row in self.rows if row.kind == kind and row.verdict.startswith(("may", "unverified")))
        return sure, sure + open_


@dataclass(frozen=True)
class Report:
    """What the compiler said. rows: (operator, status) -> count."""

    version: str
    rows: dict[tuple[str, str], int]

    @property
    def mapped(self) -> Counter[str]:
        """Operators on the Edge TPU, by kind."""
        return Counter({kind: count for (kind, status), count in self.rows.items() if status == _MAPPED})

    @property
    def left(self) -> dict[str, int]:
        """Operators on the CPU: "KIND: reason" -> count."""
        return {f"{kind}: {status}": count for (kind, status), count in self.rows.items() if status != _MAPPED}


def predict(model: bytes) -> Prediction:
    """The published rules for each operator of a .tflite file, in order. Raises ModelError for what can not be compiled at all."""
    if is_compiled(model):
        raise ModelError("the model is compiled for the Edge TPU already")
    graph = read_graph(model)
    if not graph.quantized:
        raise ModelError("a float model: the Edge TPU takes int8 only; `python -m convert export` writes both")
    counts: Counter[tuple[str, int, str]] = Counter()
    stopped = False
    for operator in graph.operators:
        said = edgetpu.verdict(operator)
        if _FATAL.search(said):
            raise ModelError(f"{operator.kind} {said.removeprefix('refused: ')}")
        counts[operator.kind, operator.version, _BEHIND if stopped and not said.startswith("refused") else said] += 1
        stopped = stopped or said.startswith("refused")
    return Prediction(tuple(Row(*key, count) for key, count in counts.items()), len(model))


def markdown(prediction: Prediction) -> str:
    """A table, and what it does and does not say."""
    lines = ["| operator | version | count | by the published rules |", "|---|---|---|---|"]
    lines += [f"| {row.kind} | {row.version} | {row.count} | {row.verdict} |" for row in prediction.rows]
    sure, left = prediction.count("maps"), prediction.count("refused", "on the CPU")
    lines += ["", f"{prediction.operators} operators: {sure} are published as mapping to the Edge TPU, "
              f"{prediction.operators - sure - left} may stay on the CPU, {left} stay there.",
              f"Rules: {edgetpu.SOURCE}.",
              f"Nothing of it is promised: only {PROGRAM} knows, and only a Coral shows that it runs."]  # fmt: skip
    return "\n".join(lines) + "\n"


def parse_report(text: str) -> Report:
    """The compiler's output with --show_operations. Raises ModelError when there is no table of operators in it."""
    version = re.search(r"Edge TPU Compiler version (\S+)", text)
    rows: Counter[tuple[str, str]] = Counter()
    table = False
    for line in text.splitlines():
        table = table or line.split() == ["Operator", "Count", "Status"]
        if table and (found := _ROW.match(line)):
            rows[found[1], found[3]] += int(found[2])
    if not version or not rows:
        raise ModelError(f"{PROGRAM}: its report is not of the published form:\n{text.strip()[-2000:]}")
    return Report(version[1], dict(rows))


def contradictions(prediction: Prediction, report: Report) -> list[str]:
    """Where the compiler did otherwise than the published rules let expect, a line each."""
    said = []
    kinds = dict.fromkeys([*(row.kind for row in prediction.rows), *(kind for kind, _ in report.rows)])
    for kind in kinds:
        least, most = prediction.of(kind)
        mapped = report.mapped[kind]
        if not least <= mapped <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            said.append(f"{kind}: {mapped} mapped, expected {expected}")
    return said


def compile_model(path: Path, out: Path, prediction: Prediction) -> tuple[Path, Report]:
    """Run the compiler on a model with its card; write ``out``/NAME_edgetpu.tflite and its card.

    Raises ModelError: not installed, failed, or another report than published. AssetNotFoundError without the model's card.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise ModelError(INSTALL)
    model = load_model(path)
    with tempfile.TemporaryDirectory(prefix="edgetpu-") as folder:
        command = [program, "--show_operations", "--out_dir", folder, str(path.resolve())]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ModelError(f"{PROGRAM} did not end within {_TIMEOUT_S:.0f} s") from None
        said = done.stdout + done.stderr
        made = Path(folder) / f"{path.stem}{SUFFIX}.tflite"
        if done.returncode or not made.is_file() or "Compilation failed" in said:
            raise ModelError(f"{PROGRAM} failed on {path}:\n{said.strip()[-2000:]}")
        content = made.read_bytes()
    report = parse_report(said)
    if not is_compiled(content):
        raise ModelError(f"{PROGRAM} mapped nothing of {path} to the Edge TPU")
    out.mkdir(parents=True, exist_ok=True)
    written = write_file(out / made.name, content)
    kept = {key: value for key, value in model.card.items() if key not in ("scores", "operators")}  # those are of the plain model
    save_card(written.with_suffix(".json"), {
        **kept, "name": made.stem, "file": made.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
        "compiled_from": {"file": path.name, "sha256": model.card["sha256"]}, "edge_tpu": _as_card(prediction, report),
    })  # fmt: skip
    return written, report


def _as_card(prediction: Prediction, report: Report) -> dict[str, Any]:
    return {
        "compiler": report.version, "mapped": dict(report.mapped), "on_the_cpu": report.left,
        "expected": {row.kind: list(prediction.of(row.kind)) for row in prediction.rows},
        "contradictions": contradictions(prediction, report), "ran_on_a_coral": False,
    }  # fmt: skip
