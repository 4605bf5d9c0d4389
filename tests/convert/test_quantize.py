"""Equalization changes nothing in the float network; bias correction brings the int8 one nearer to it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from numpy.typing import NDArray

from convert.bias import correct_biases
from convert.equalize import equalize
from convert.export import to_float32, to_int8
from convert.network import build_edgecolor, build_seed
from edgecolor.errors import ModelError
from edgecolor.quantization import dequantize, quantize


def some_inputs(count: int, size: int = 64) -> list[NDArray[np.float32]]:
    """Smooth random pictures, as networks take them."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(-1, 1, (count, 1, 8, 8, 1)).astype(np.float32)
    return [np.asarray(keras.ops.image.resize(x, (size, size), interpolation="bilinear")) for x in coarse]


def lopsided(size: int = 64) -> keras.Model:
    """The default network with channels of linear tensors that are hundreds of times wider than others."""
    keras.utils.set_random_seed(3)
    trained = build_edgecolor(size, 4)
    network = keras.Model(trained.inputs, trained.output["ab"])
    rng = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            width = 10 ** rng.uniform(-1.5, 1, count) if "project" in layer.name else rng.uniform(0.5, 1.5, count)
            layer.set_weights([width, rng.normal(0, 0.3, count), rng.normal(0, 0.1, count), rng.uniform(0.05, 0.2, count)])
    return network


def outputs(model: bytes, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for x in inputs:
        interpreter.set_tensor(given["index"], quantize(x, *given["quantization"]) if given["dtype"] == np.int8 else x)
        interpreter.invoke()
        y = interpreter.get_tensor(taken["index"])
        found.append(dequantize(y, *taken["quantization"]) if taken["dtype"] == np.int8 else y.copy())
    return np.concatenate(found)


def test_the_float_network_computes_the_same_after_equalization() -> None:
    network, inputs = lopsided(), some_inputs(4)
    before = np.concatenate([network.predict_on_batch(x) for x in inputs])
    weights = [np.array(w) for w in network.get_weights()]
    equalize(network, inputs)
    after = np.concatenate([network.predict_on_batch(x) for x in inputs])
    assert any(not np.array_equal(a, b) for a, b in zip(weights, network.get_weights(), strict=True))
    np.testing.assert_allclose(after, before, atol=2e-3 * np.abs(before).max())


def test_channels_of_linear_tensors_have_one_range_afterwards() -> None:
    network, inputs = lopsided(), some_inputs(4)
    probe = keras.Model(network.inputs, network.get_layer("block0_project_bn").output)

    def spread() -> float:
        most = np.max([np.abs(probe.predict_on_batch(x)).max((0, 1, 2)) for x in inputs], axis=0)
        return float(most.max() / most.min())

    before = spread()
    assert before > 50
    equalize(network, inputs)
    assert spread() == pytest.approx(max(1.0, before / 64), rel=0.01)  # no channel is amplified more than 64 times


def test_a_network_without_linear_tensors_is_left_as_it_is() -> None:
    seed = build_seed(64)
    network = keras.Model(seed.inputs, seed.output["ab"])
    weights = [np.array(w) for w in network.get_weights()]
    equalize(network, some_inputs(2))
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_layer_of_another_kind_is_refused() -> None:
    x = keras.Input((16, 16, 1))
    network = keras.Model(x, layers.Conv2D(2, 1)(layers.Softmax()(layers.Conv2D(4, 1)(x))))
    with pytest.raises(ModelError, match="Softmax"):
        equalize(network, some_inputs(1, 16))


def test_each_step_brings_int8_nearer_to_float() -> None:
    network, inputs = lopsided(), some_inputs(16)
    plain = to_int8(network, inputs)
    exact = outputs(to_float32(network), inputs)
    equalize(network, inputs)
    float32, equalized = to_float32(network), to_int8(network, inputs)
    corrected = correct_biases(float32, equalized, inputs[:8])
    errors = [float(np.abs(outputs(model, inputs) - exact).mean()) for model in (plain, equalized, corrected)]
    assert errors[1] < 0.8 * errors[0] and errors[2] < 0.9 * errors[1]
    shifts = [np.abs((outputs(model, inputs) - exact).mean((0, 1, 2))).max() for model in (equalized, corrected)]
    assert shifts[1] < 0.5 * shifts[0]
    assert len(corrected) == len(equalized)


def test_files_of_two_networks_are_refused() -> None:
    x = keras.Input((16, 16, 1))
    inputs = some_inputs(2, 16)
    one = keras.Model(x, layers.Conv2D(2, 1, name="one")(x), name="first")
    two = keras.Model(x, layers.Conv2D(2, 1, name="mid")(layers.Conv2D(2, 1, name="other")(x)), name="second")
    with pytest.raises(ModelError, match="not of one network"):
        correct_biases(to_float32(one), to_int8(two, inputs), inputs)
