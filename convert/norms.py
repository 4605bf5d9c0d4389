"""Batch normalization as training is fast with it: by one operator where its statistics are learnt, none where nothing of it is.

Keras puts it together from some ten operators in training and four after it, each a pass over memory, some of them on one core.
TensorFlow has one operator for all of them. XLA, under JAX, fuses them by itself.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

_CONVOLUTIONS = layers.Conv2D | layers.DepthwiseConv2D


class _FusedBatchNormalization(layers.BatchNormalization):
    """The same results as its base's, over the last axis of (N, H, W, C)."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable or self.compute_dtype != "float32":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=self.gamma, offset=self.beta, mean=[], variance=[], epsilon=self.epsilon, is_training=True
        )
        # The operator's variance is that of the population which the batch is a sample of; Keras keeps the batch's own.
        count = tf.cast(tf.size(inputs) / tf.size(self.gamma), variance.dtype)
        for kept, now in ((self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count)):
            kept.assign(kept * self.momentum + now * (1 - self.momentum))
        return y


class _Passed(layers.Layer):
    """In place of a batch normalization; it is called as that was."""

    def call(self, inputs: Any, **_: Any) -> Any:
        return inputs


def fused(model: keras.Model) -> keras.Model:
    """A copy of a functional model, same weights in the same order, whose batch normalizations are fused; for training, not to be saved."""
    if keras.backend.backend() != "tensorflow":
        return model

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = _FusedBatchNormalization if type(layer) is layers.BatchNormalization else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def folded(model: keras.Model) -> keras.Model:
    """A copy of a functional model that is not to be trained: its batch normalizations are in the convolutions before them."""
    norms = {layer.input._keras_history.operation.name: layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)}
    assert all(isinstance(model.get_layer(name), _CONVOLUTIONS) for name in norms)

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, layers.BatchNormalization):
            return _Passed(name=layer.name)
        return type(layer).from_config({**layer.get_config(), **({"use_bias": True} if layer.name in norms else {})})

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.name in norms:
            gamma, beta, mean, variance = norms[layer.name].get_weights()
            scale = gamma / np.sqrt(variance + norms[layer.name].epsilon)
            kernel, *bias = layer.get_weights()
            wide = scale[:, None] if isinstance(layer, layers.DepthwiseConv2D) else scale  # (k, k, C, 1) and (k, k, C, filters)
            copy.get_layer(layer.name).set_weights([kernel * wide, beta + (sum(bias) - mean) * scale])
        elif layer.weights and not isinstance(layer, layers.BatchNormalization):
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    copy.trainable = False
    return copy
