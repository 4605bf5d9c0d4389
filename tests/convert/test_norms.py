"""Normalization made fast gives what Keras' own gives."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.network import DecoderWidths, EncoderForm, bare_encoder, build_decoder
from convert.norms import folded, fused


def shaken(model: keras.Model) -> keras.Model:
    """Weights of which none is what another might be."""
    rng = np.random.default_rng(4)
    model.set_weights([np.asarray(w + rng.uniform(0.1, 0.5, w.shape), np.float32) for w in model.get_weights()])
    return model


def test_a_fused_decoder_trains_as_the_plain_one() -> None:
    keras.utils.set_random_seed(1)
    plain = shaken(build_decoder([(8, 8, 24), (4, 4, 40), (2, 2, 112), (1, 1, 320)], 8, DecoderWidths((16, 16, 8), (1, 1, 1))))
    quick = fused(plain)
    assert [v.path for v in quick.weights] == [v.path for v in plain.weights], "a checkpoint of one is one of the other"
    rng = np.random.default_rng(5)
    taps = [rng.normal(size=(4, *tap.shape[1:])).astype(np.float32) for tap in plain.inputs]

    def step(model: keras.Model) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        with tf.GradientTape() as tape:
            said = model(taps, training=True)
            loss = tf.reduce_mean(said["ab"] ** 2) + tf.reduce_mean(said["bins"] ** 2)
        return np.asarray(said["ab"]), [np.asarray(g) for g in tape.gradient(loss, model.trainable_variables)]

    before = plain.get_weights()
    (said, wanted), (mine, found) = step(plain), step(quick)
    assert np.allclose(mine, said, atol=1e-4) and np.std(said) > 0.1
    largest = max(np.abs(one).max() for one in wanted)
    for one, other in zip(found, wanted, strict=True):
        assert np.allclose(one, other, rtol=1e-3, atol=1e-5 * largest)
    moved = [not np.array_equal(now, was) for now, was in zip(plain.get_weights(), before, strict=True)]
    assert sum(moved) == 2 * sum(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.layers)
    for one, other in zip(quick.get_weights(), plain.get_weights(), strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_folded_encoder_sees_what_the_whole_one_sees() -> None:
    encoder = bare_encoder(EncoderForm(repeats=(1, 2, 1, 1, 1, 1, 0)), 64)
    rng = np.random.default_rng(6)
    for layer in encoder.layers:  # as uneven as trained ones
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, w.shape).astype(np.float32) for w in layer.get_weights()])
    light = folded(encoder)
    assert not light.trainable_variables and not any(isinstance(layer, keras.layers.BatchNormalization) for layer in light.layers)
    x = rng.uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    for mine, said in zip(light(x), encoder(x), strict=True):
        assert np.allclose(mine, said, atol=1e-4 * np.abs(said).max()) and np.std(said) > 0.01
