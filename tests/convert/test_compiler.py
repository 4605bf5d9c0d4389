"""What is foretold of a Coral, and what is made of the compiler's report; a stand-in prints one in the published form."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from convert.__main__ import main
from convert.compiler import contradictions, parse_report, predict
from convert.edgetpu import verdict
from convert.graph import GraphTensor, Operator, read_graph
from convert.operators import inspect
from edgecolor.assets import find_model, load_model
from edgecolor.edgetpu import is_compiled
from edgecolor.errors import ModelError
from tests.edgetpu import compiled, write_compiled

HEAD = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 1438 ms.

Input model: {model}
Input size: 3.30MiB
Output model: {out}
Output size: 3.60MiB
On-chip memory used for caching model parameters: 3.10MiB
On-chip memory remaining for caching model parameters: 4.20MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 80
Operation log: {out}.log

Operator                       Count      Status

"""
TAIL = "Compilation child process completed within timeout period.\nCompilation succeeded! \n"
OPERATORS = Counter(operator.kind for operator in read_graph(load_model("edgecolor").content).operators)
ALL = {kind: (count, "Mapped to Edge TPU") for kind, count in OPERATORS.items()}
UNPUBLISHED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
SCRIPT = """#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = --out_dir ] && out=$2; [ "$1" = --show_operations ] && shown=1; shift; done
[ "$shown" ] || exit 3
cat {report}
{copy}
exit {code}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with its card, and PATH without a compiler."""
    for suffix in (".tflite", ".json"):
        path = find_model("edgecolor").with_suffix(suffix)
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def install(folder: Path, rows: dict[str, tuple[int, str]], *, code: int = 0, writes: bool = True, report: str = "") -> None:
    made = folder / "made.tflite"
    made.write_bytes(compiled((folder / "edgecolor.tflite").read_bytes()))
    table = "\n".join(f"{kind:<30} {count:<10} {status}" for kind, (count, status) in rows.items())
    (folder / "report").write_text(report or HEAD.format(model="x", out="y") + table + "\n" + TAIL)
    script = folder / "bin" / "edgetpu_compiler"
    copy = f'cp {made} "$out/edgecolor_edgetpu.tflite"' if writes else ":"
    script.write_text(SCRIPT.format(report=folder / "report", copy=copy, code=code))
    script.chmod(0o755)


def run(folder: Path, *arguments: str) -> int:
    return main(["edgetpu", str(folder / "edgecolor.tflite"), *arguments])


def test_our_networks_fit_by_every_published_rule() -> None:
    """No operator that is refused, of an unsupported version or unverified, and no activation outside a convolution."""
    content = load_model("edgecolor").content
    prediction, report = predict(content), inspect(content)
    assert report.errors == report.refused == []
    assert prediction.count("refused", "unverified", "on the CPU") == 0 and prediction.count("maps") > 0.9 * prediction.operators
    assert {row.kind for row in report.rows if row.activation != "NONE"} <= {"CONV_2D", "DEPTHWISE_CONV_2D"}
    assert "TRANSPOSE_CONV" not in {row.kind for row in prediction.rows}


def test_it_foretells_and_promises_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--predict") == 0
    said = capsys.readouterr().out
    assert "| RESIZE_BILINEAR | 3 | 3 | may stay on the CPU" in said and "Nothing of it is promised" in said and "coral.ai/docs" in said


def test_without_the_compiler_nothing_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 1
    captured = capsys.readouterr()
    assert "may stay on the CPU" in captured.out and "is not installed: it exists for x86-64 only" in captured.err
    assert not list(folder.glob("*_edgetpu*"))


def test_what_the_compiler_makes_gets_a_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(folder, ALL)
    assert run(folder, "-o", str(folder / "out")) == 0
    captured = capsys.readouterr()
    assert f"edgetpu_compiler 16.0.384591198: {OPERATORS.total()} operators on the Edge TPU, 0 on the CPU" in captured.out
    assert "expect otherwise" not in captured.err
    made = folder / "out" / "edgecolor_edgetpu.tflite"
    assert sorted(path.name for path in made.parent.iterdir()) == ["edgecolor_edgetpu.json", "edgecolor_edgetpu.tflite"]
    model = load_model(made)  # its hash fits
    plain = load_model("edgecolor")
    assert is_compiled(model.content) and model.name == "edgecolor_edgetpu" and model.card["contract"] == plain.card["contract"]
    assert model.card["compiled_from"] == {"file": "edgecolor.tflite", "sha256": plain.card["sha256"]}
    assert "scores" not in model.card, "nobody has measured it on a Coral"
    assert model.card["edge_tpu"]["compiler"] == "16.0.384591198" and model.card["edge_tpu"]["ran_on_a_coral"] is False
    assert model.card["edge_tpu"]["contradictions"] == [] and model.card["edge_tpu"]["expected"]["RESIZE_BILINEAR"] == [0, 3]


def test_where_it_did_otherwise_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sums = OPERATORS["ADD"]
    install(folder, {**ALL, "ADD": (sums, UNPUBLISHED), "RESIZE_BILINEAR": (3, UNPUBLISHED), "QUANTIZE": (1, "Mapped to Edge TPU")})
    assert run(folder) == 0
    captured = capsys.readouterr()
    assert f"{sums} x ADD: {UNPUBLISHED}" in captured.out and f"3 x RESIZE_BILINEAR: {UNPUBLISHED}" in captured.out
    assert f"expect otherwise: ADD: 0 mapped, expected {sums}" in captured.err and "QUANTIZE: 1 mapped, expected 0" in captured.err
    assert "RESIZE_BILINEAR" not in captured.err, "that it may stay was foretold"
    card = json.loads((folder / "edgecolor_edgetpu.json").read_text())["edge_tpu"]
    assert len(card["contradictions"]) == 2 and sum(card["on_the_cpu"].values()) == sums + 3


@pytest.mark.parametrize(("how", "said"), [
    ({"code": 1}, "edgetpu_compiler failed on"), ({"writes": False}, "edgetpu_compiler failed on"),
    ({"report": "Edge TPU Compiler version 16.0\nCompilation failed!\n"}, "edgetpu_compiler failed on"),
    ({"report": "all is well\n"}, "its report is not of the published form"),
])
def test_a_compiler_that_fails_leaves_nothing(folder: Path, how: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    install(folder, ALL, **how)
    assert run(folder) == 1
    assert said in capsys.readouterr().err and not list(folder.glob("*_edgetpu*"))


def test_a_compiler_that_mapped_nothing_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(folder, ALL)
    (folder / "made.tflite").write_bytes((folder / "edgecolor.tflite").read_bytes())
    assert run(folder) == 1 and "mapped nothing" in capsys.readouterr().err


@pytest.mark.parametrize(("model", "said"), [
    (lambda: load_model("seed").content, "TRANSPOSE_CONV version 4 .* fails the whole model"),
    (lambda: compiled(load_model("edgecolor").content), "compiled for the Edge TPU already"),
    (lambda: b"not a model", "not a .tflite file"),
])
def test_what_can_not_be_compiled_is_refused_before(model: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        predict(model())


def operator(
    kind: str, *, shape: tuple[int, ...] = (1, 8, 8, 4), dtype: str = "INT8", activation: str = "NONE", **options: Any
) -> Operator:
    tensor = GraphTensor(0, "x", shape, dtype, False)
    return Operator(kind, 1, activation, (tensor,), (tensor,), options)


@pytest.mark.parametrize(("given", "begins"), [
    (operator("CONV_2D"), "maps"), (operator("CONV_2D", dilationHFactor=2, dilationWFactor=1), "refused: dilation"),
    (operator("MAX_POOL_2D", activation="RELU"), "refused: a fused activation"), (operator("CONCATENATION", activation="RELU6"), "refused"),
    (operator("FULLY_CONNECTED", shape=(1, 10)), "maps"), (operator("FULLY_CONNECTED", shape=(4, 10)), "refused: its output must be"),
    (operator("SOFTMAX", shape=(1, 100)), "maps"), (operator("SOFTMAX", shape=(1, 20_000)), "refused: only one dimension"),
    (operator("MEAN"), "may stay on the CPU: not over the batch dimension, and over z only in multiples of 4"),
    (operator("RSQRT"), "unverified"), (operator("SUM"), "unverified"), (operator("GATHER"), "refused: not among"),
    (operator("ADD", dtype="FLOAT32"), "refused: float32"), (operator("ADD", shape=(2, 8, 8, 4)), "refused: more than three"),
    (operator("STRIDED_SLICE", ellipsisMask=1), "refused"), (operator("TRANSPOSE"), "may stay"),
])  # fmt: skip
def test_each_published_limitation_is_a_rule(given: Operator, begins: str) -> None:
    assert verdict(given).startswith(begins)


def test_all_behind_a_refused_operator_stays_on_the_cpu() -> None:
    """The compiler makes one segment: the report says "More than one subgraph is not supported" of the rest."""
    import keras
    import numpy as np

    from tests.convert.test_operators import network_with, to_int8

    x = keras.layers
    noise = [np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 1)).astype(np.float32)]
    prediction = predict(to_int8(network_with(x.Softmax(), x.Conv2D(8, 1)), noise))
    verdicts = {(row.kind, row.verdict.split(":")[0]): row.count for row in prediction.rows}
    assert verdicts["CONV_2D", "maps"] == 1 and verdicts["SOFTMAX", "refused"] == 1 and verdicts["CONV_2D", "on the CPU"] == 2
    behind = "More than one subgraph is not supported"
    report = parse_report(f"{HEAD}CONV_2D 1 Mapped to Edge TPU\nSOFTMAX 1 Operation not supported\nCONV_2D 2 {behind}\n")
    assert contradictions(prediction, report) == [] and report.left[f"CONV_2D: {behind}"] == 2


def test_the_shipped_name_is_found_and_written_where_asked(folder: Path) -> None:
    install(folder, ALL)
    assert main(["edgetpu", "edgecolor", "-o", str(folder / "here")]) == 0
    assert (folder / "here" / "edgecolor_edgetpu.tflite").is_file()
    assert write_compiled(folder).exists() and os.environ["PATH"].startswith(str(folder))
