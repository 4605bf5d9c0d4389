from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.__main__ import main
from convert.dataset import PictureFile, list_pictures, split
from convert.operators import inspect
from convert.sqnr import layer_sqnr, markdown
from edgecolor import Colorizer
from edgecolor.errors import ModelError
from tests.conftest import ROOT
from tests.convert.conftest import PICTURES, Toy


def test_each_size_has_both_files_and_cards_that_fit(toy: Toy) -> None:
    for name, shape in (("toy", [1, 64, 64, 1]), ("toy-96x64", [1, 64, 96, 1])):
        for file in (name, f"{name}-float"):
            card = json.loads((toy.folder / f"{file}.json").read_text())
            assert card["contract"]["input"]["shape"] == shape and card["name"] == file
            assert Colorizer(toy.folder / f"{file}.tflite", threads=1).network.size == tuple(shape[1:3])
            assert card["network"]["parameters"] == inspect(toy.int8.read_bytes()).parameters, "batch norms are folded"
            assert card["data"]["calibrated_on"] == str(PICTURES)


def test_the_card_counts_operators(toy: Toy) -> None:
    operators = json.loads(toy.int8.with_suffix(".json").read_text())["operators"]
    assert operators["errors"] == operators["edge_tpu_refuses"] == []
    assert operators["count"]["RESIZE_BILINEAR v3"] == 3 and operators["count"]["DEPTHWISE_CONV_2D v3"] == 16 + 3


def test_export_prints_operators_and_the_worst_layers_of_each_size(toy: Toy) -> None:
    assert "toy.tflite, float against int8" in toy.printed and "toy-96x64.tflite, float against int8" in toy.printed
    assert toy.printed.count("| RESIZE_BILINEAR | 3 |") == 2


def test_layers_are_named_as_in_keras_and_none_is_lost(toy: Toy) -> None:
    layers = json.loads((toy.folder / "layers.json").read_text())["toy.tflite"]
    names = [layer["name"] for layer in layers]
    assert names[0] == "stem_relu" and names[-1] == "output" and {"block7_project_bn", "up16", "decode4_0_point_relu"} <= set(names)
    card = json.loads(toy.int8.with_suffix(".json").read_text())
    assert len(layers) == sum(card["operators"]["count"].values())
    assert layers[0]["sqnr"] > 25 and all(-20 < layer["sqnr"] < 100 for layer in layers)


def test_sqnr_is_that_of_the_definition(toy: Toy) -> None:
    """The output's figure, worked out anew with the runtime's own interpreter."""
    from edgecolor.interpreter import Interpreter
    from edgecolor.quantization import dequantize, quantize

    rng = np.random.default_rng(0)
    inputs = [rng.uniform(-1, 1, (1, 64, 64, 1)).astype(np.float32) for _ in range(3)]
    real, rounded = Interpreter(toy.float32.read_bytes(), threads=1), Interpreter(toy.int8.read_bytes(), threads=1)
    signal = noise = 0.0
    for x in inputs:
        exact = real.invoke(x).astype(np.float64)
        codes = rounded.invoke(quantize(x, rounded.input.scale, rounded.input.zero_point))
        found = dequantize(codes, rounded.output.scale, rounded.output.zero_point)
        signal, noise = signal + (exact**2).sum(), noise + ((exact - found) ** 2).sum()
    layers = layer_sqnr(toy.float32.read_bytes(), toy.int8.read_bytes(), inputs)
    assert layers[-1].sqnr == pytest.approx(10 * np.log10(signal / noise), abs=1.0)  # XNNPACK rounds otherwise by a step
    assert layers[-1].shape == (1, 16, 16, 2)
    table = markdown(layers, 3)
    worst = min(layers, key=lambda layer: layer.sqnr)
    assert table.splitlines()[2].startswith(f"| {worst.name} |") and len(table.splitlines()) == 7


def test_a_bad_layer_is_named(toy: Toy) -> None:
    """Break one layer's weights in the int8 file: the sharpest drop must be there."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    model = schema.ModelT.InitFromPackedBuf(toy.int8.read_bytes(), 0)
    graph = model.subgraphs[0]
    operator = next(op for op in graph.operators if b"decode8_0_point_relu" in graph.tensors[op.outputs[0]].name)
    weights = model.buffers[graph.tensors[operator.inputs[1]].buffer]
    weights.data = np.random.default_rng(0).permutation(np.asarray(weights.data, np.uint8))
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    inputs = [np.random.default_rng(1).uniform(-1, 1, (1, 64, 64, 1)).astype(np.float32)]
    layers = layer_sqnr(toy.float32.read_bytes(), bytes(builder.Output()), inputs)
    assert max(layers, key=lambda layer: layer.drop).name == "decode8_0_point_relu"


def test_two_networks_can_not_be_compared(toy: Toy) -> None:
    with pytest.raises(ModelError, match="not of one network"):
        layer_sqnr(toy.float32.read_bytes(), (ROOT / "models" / "seed.tflite").read_bytes(), [])


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["--size", "100"], 1, "multiples of 32"),
    (["--data", "nowhere"], 1, "no pictures"),
])
def test_wrong_exports_are_said_in_one_line(
    toy: Toy, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [] if "--data" in arguments else ["--data", str(PICTURES)]
    assert main(["export", str(toy.folder / "toy.keras"), "-o", str(toy.folder / "no.tflite"), *data, *arguments]) == code
    assert said in capsys.readouterr().err and not (toy.folder / "no.tflite").exists()


@pytest.mark.parametrize("command", [
    ["export", "run", "-o", "toy"], ["pack", "run", "-o", "toy"], ["finetune", "--video", "day.mp4", "-o", "yard.run"],
])
def test_files_are_named_by_what_they_are(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(command)
    assert "does not end in ." in capsys.readouterr().err


def test_pictures_that_are_set_aside_for_validation_are_not_calibrated_on(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(toy.folder / "toy.keras", tmp_path)
    recipe = json.loads((toy.folder / "toy.config.json").read_text())
    recipe["data"] |= {"train": str(PICTURES), "validation": "", "validation_share": 0.5}
    (tmp_path / "toy.config.json").write_text(json.dumps(recipe))
    seen: list[PictureFile] = []

    def export(*arguments: Any) -> None:
        seen.extend(arguments[3])
        raise KeyboardInterrupt

    monkeypatch.setattr("convert.export.export", export)
    assert main(["export", str(tmp_path / "toy.keras"), "-o", str(tmp_path / "toy.tflite")]) == 130
    train, validation = split(list_pictures(PICTURES), 0.5)
    assert seen == train and validation


@pytest.mark.parametrize(("content", "said"), [
    (None, "scores.json"), ("{ half", "not readable as JSON"), ("[]", "not a JSON table"), ('{"val": {"rows": []}}', "is no data set"),
])
def test_scores_that_are_none_are_said_to_be(
    toy: Toy, tmp_path: Path, content: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "scores.json").write_text(content)
    before = toy.int8.with_suffix(".json").read_bytes()
    assert main(["card", str(toy.int8), "--scores", str(tmp_path / "scores.json"), "--rows", "int8=toy.tflite"]) == 2
    assert said in capsys.readouterr().err and toy.int8.with_suffix(".json").read_bytes() == before


def test_weights_without_their_configuration_are_refused(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bare.keras").write_bytes((toy.folder / "toy.keras").read_bytes())
    assert main(["export", str(tmp_path / "bare.keras"), "-o", str(tmp_path / "bare.tflite")]) == 2
    assert "bare.config.json is missing" in capsys.readouterr().err
