from __future__ import annotations

import numpy as np
import pytest

from convert.network import build_edgecolor, build_seed, with_input_size


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
