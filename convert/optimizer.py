"""How weights move in training: the optimizer of a stage, its learning rate, and the average that is kept of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from convert.config import StageConfig


class SlowEncoderAdamW(keras.optimizers.AdamW):
    """AdamW whose step is scaled for some variables: a pretrained encoder moves slower than a new decoder."""

    def __init__(self, slow: list[keras.Variable], rate: float, **settings: Any) -> None:
        super().__init__(**settings)
        # The TensorFlow backend hands over its own variable, the others Keras' one.
        self._slow, self._rate = {id(v) for v in slow} | {id(v.value) for v in slow}, rate

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate * (self._rate if id(variable) in self._slow else 1.0))


class Average:
    """Exponential moving average of all weights, updated every ``EVERY`` steps."""

    EVERY = 8

    def __init__(self, model: keras.Model, momentum: float) -> None:
        self.values = [np.asarray(v) for v in model.get_weights()]
        self._momentum = momentum**self.EVERY

    def update(self, model: keras.Model, step: int) -> None:
        keep = min(self._momentum, (1 + step) / (10 * self.EVERY + step))  # the first steps are forgotten sooner
        self.values = [keep * old + (1 - keep) * new for old, new in zip(self.values, model.get_weights(), strict=True)]


def _learning_rate(stage: StageConfig) -> keras.optimizers.schedules.CosineDecay:
    warm = min(stage.warmup, stage.steps // 2)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warm else stage.learning_rate, max(1, stage.steps - warm), alpha=0.01, warmup_target=stage.learning_rate if warm else None,
        warmup_steps=warm,
    )


def make_optimizer(stage: StageConfig, model: keras.Model, encoder_layers: set[str]) -> keras.optimizers.Optimizer:
    """What a stage asks for. encoder_layers: names of the layers that move slower."""
    rate = _learning_rate(stage)
    if stage.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    slow = [v for name in encoder_layers for v in model.get_layer(name).trainable_variables]
    return SlowEncoderAdamW(slow, stage.encoder_rate, learning_rate=rate, weight_decay=1e-4, clipnorm=5.0)
