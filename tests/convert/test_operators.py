"""Real exports of small networks, each with one fault, and of the project's own network, which must have none."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from convert.__main__ import main
from convert.export import to_int8
from convert.graph import read_graph
from convert.operators import Report, inspect, markdown, summary
from edgecolor.errors import ModelError
from tests.conftest import ROOT
from tests.convert.conftest import Toy


def export_of(network: keras.Model) -> Report:
    noise = [np.random.default_rng(seed).uniform(-1, 1, (1, 16, 16, 1)).astype(np.float32) for seed in range(3)]
    return inspect(to_int8(network, noise))


def network_with(*middle: keras.layers.Layer, head: bool = True) -> keras.Model:
    x = keras.Input((16, 16, 1))
    y = layers.Conv2D(8, 3, padding="same")(x)
    for layer in middle:
        y = layer([y, layers.Conv2D(8, 1)(x)]) if isinstance(layer, layers.Add | layers.Concatenate) else layer(y)
    return keras.Model(x, layers.Conv2D(2, 1)(y) if head else y)


def test_our_network_has_only_cheap_operators(toy: Toy) -> None:
    report = inspect(toy.int8.read_bytes())
    assert report.errors == [] and report.refused == [] and report.quantized
    assert {row.cost.split(":")[0] for row in report.rows} == {"cheap"}
    assert {row.activation for row in report.rows if row.kind in ("ADD", "RESIZE_BILINEAR")} == {"NONE"}


def test_macs_and_parameters_are_those_of_the_keras_network(toy: Toy) -> None:
    from convert.export import count_macs, inference_network

    report, network = inspect(toy.int8.read_bytes()), inference_network(toy.folder / "toy.keras", (64, 64))
    assert report.macs == count_macs(network)
    # A batch norm's four vectors are folded into one bias each.
    norms = sum(layer.count_params() for layer in network.layers if isinstance(layer, layers.BatchNormalization))
    assert report.parameters == network.count_params() - norms * 3 // 4


@pytest.mark.parametrize(("middle", "head", "kind", "why"), [
    ([layers.Add(), layers.ReLU(6.0)], True, "ADD", "RELU6 after ADD"),
    ([layers.Concatenate(), layers.ReLU(6.0)], True, "RELU6", "not fused into a convolution"),
    ([layers.UpSampling2D(2, interpolation="bilinear"), layers.ReLU(6.0)], True, "RELU6", "not fused into a convolution"),
    ([layers.UpSampling2D(2)], True, "TILE", "nearest upsampling"),
    ([layers.Softmax()], False, "SOFTMAX", "17 dB"),
    ([layers.Activation("tanh")], False, "TANH", "39 dB"),
])
def test_each_bad_operator_is_an_error(middle: list[keras.layers.Layer], head: bool, kind: str, why: str) -> None:
    errors = export_of(network_with(*middle, head=head)).errors
    assert any(kind in error and why in error for error in errors), errors


def test_dear_operators_are_no_errors_and_are_explained() -> None:
    report = export_of(network_with(layers.Conv2D(8, 3, padding="same"), layers.PReLU(shared_axes=[1, 2])))
    assert report.errors == []
    dear = {row.kind: row.cost for row in report.rows if row.cost.startswith("dear")}
    assert dear.keys() == {"CONV_2D", "PRELU"} and "not delegated" in dear["PRELU"] and "3x3" in dear["CONV_2D"]


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_a_float_island_is_an_error() -> None:
    import tensorflow as tf

    network = network_with(layers.Conv2D(8, 1))
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[np.zeros((1, 16, 16, 1), np.float32)]])
    report = inspect(converter.convert())  # input and output stay float32
    assert sum("a float32 tensor in an int8 network" in error for error in report.errors) == 2, report.errors


@pytest.mark.parametrize(("activation", "version", "verdict"), [(None, 3, "maps"), ("relu", 4, "refused: version 4")])
def test_the_edge_tpu_refuses_a_fused_transposed_convolution(activation: str | None, version: int, verdict: str) -> None:
    report = export_of(network_with(layers.Conv2DTranspose(8, 4, 2, padding="same", activation=activation, bias_initializer="ones")))
    row = next(row for row in report.rows if row.kind == "TRANSPOSE_CONV")
    assert row.version == version and row.edge_tpu.startswith(verdict)
    assert row.macs == 16 * 16 * 4 * 4 * 8 * 8


def test_the_seed_network_is_reported_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["operators", "seed"]) == 0
    said = capsys.readouterr().out
    assert "| TRANSPOSE_CONV | 4 | RELU | 2 |" in said and "refused: version 4" in said


def test_a_float_model_has_no_errors_but_does_not_fit_the_edge_tpu(toy: Toy) -> None:
    report = inspect(toy.float32.read_bytes())
    assert report.errors == [] and not report.quantized and len(report.refused) == len(report.rows)
    assert summary(report)["edge_tpu_refuses"] == ["a float model"] and ", float." in markdown(report)


def test_a_bad_model_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(to_int8(network_with(layers.Softmax(), head=False), [np.zeros((1, 16, 16, 1), np.float32)]))
    assert main(["operators", str(path)]) == 1
    captured = capsys.readouterr()
    assert "| SOFTMAX |" in captured.out and "bad.tflite: 1 x SOFTMAX" in captured.err and "Traceback" not in captured.err


def test_what_is_no_model_is_a_typed_error(toy: Toy) -> None:
    with pytest.raises(ModelError, match="TFL3"):
        read_graph(b"")
    whole = toy.int8.read_bytes()
    with pytest.raises(ModelError, match="damaged"):
        read_graph(whole[:64])
    assert len(read_graph((ROOT / "models" / "seed.tflite").read_bytes()).operators) == 5, "four convolutions and the head"
