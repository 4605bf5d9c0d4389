from __future__ import annotations

import keras
import numpy as np
import pytest

from convert.network import DecoderWidths, EncoderForm, build_edgecolor, build_seed, build_upper, with_input_size
from convert.weights import copy_weights


@pytest.mark.parametrize("size", [(96, 96), (96, 160)])
def test_output_is_a_quarter_of_the_input(size: tuple[int, int]) -> None:
    for trained in (build_edgecolor(None, 12), build_seed()):
        network = with_input_size(trained, size)
        out = network.predict_on_batch(np.zeros((2, *size, 1), np.float32))
        assert np.asarray(out["ab"]).shape == (2, size[0] // 4, size[1] // 4, 2)


def test_every_relu6_follows_a_batch_norm_of_a_convolution_so_that_it_fuses() -> None:
    network = build_edgecolor(96, 12)
    for layer in network.layers:
        if type(layer).__name__ == "ReLU":
            norm = layer.input._keras_history.operation
            assert type(norm).__name__ == "BatchNormalization", layer.name
            assert "Conv2D" in type(norm.input._keras_history.operation).__name__, layer.name


def test_parameters_stay_under_four_million() -> None:
    assert build_edgecolor(192, 96).count_params() < 4_000_000


def test_the_upper_part_behind_the_shallow_taps_is_the_network() -> None:
    form, widths = EncoderForm(repeats=(1, 1, 2, 1, 1, 1, 1)), DecoderWidths((16, 16, 8), (1, 1, 1), 8)
    whole = build_edgecolor(64, 6, form, widths)
    taps = keras.Model(whole.input, [whole.get_layer(f"lateral{stride}").input for stride in (4, 8)])
    upper = build_upper([tuple(tap.shape[1:]) for tap in taps.outputs], 6, form, widths)
    copy_weights(whole, upper, missing=False)
    x = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    for name, said in whole(x).items():
        np.testing.assert_allclose(upper(taps(x))[name], said, atol=1e-5)
