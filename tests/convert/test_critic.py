from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from convert.config import BinsConfig, StageConfig
from convert.critic import build_critic, teach
from convert.losses import ColorModel, make_bins

STAGE = StageConfig("test", "whole", 1, size=32, adversarial=1.0, bins_weight=0.0, warmup=0, pixels=0)


def a_batch() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4, 32, 32, 1)).astype(np.float32)
    ab = np.repeat(np.repeat(rng.uniform(-40, 40, (4, 2, 2, 2)), 4, 1), 4, 2).astype(np.float32)
    return x, {"ab": ab, "pixels": np.tile(np.arange(64, dtype=np.int32), (4, 1))}


def a_model(critic: keras.Model) -> ColorModel:
    x = keras.Input((32, 32, 1))
    y = layers.AveragePooling2D(4)(x)
    model = ColorModel(x, {"ab": layers.Conv2D(2, 1, name="ab")(y), "bins": layers.Conv2D(4, 1, name="bins")(y)})
    colors = np.random.default_rng(1).uniform(-40, 40, (100, 2)).astype(np.float32)
    model.set_loss(STAGE, make_bins(colors, colors[:4], BinsConfig(4, 2)), 0.38, critic)
    model.compile(keras.optimizers.SGD(0.01))
    return model


def test_the_critic_learns_to_tell_gray_from_color() -> None:
    keras.utils.set_random_seed(0)
    critic = build_critic(32, 2e-3)
    x, y = a_batch()
    losses = [teach(critic, x, y["ab"], y["ab"] * 0) for _ in range(40)]
    assert critic.output.shape == (None, 2, 2, 1)
    assert losses[0] > 1.5 and losses[-1] < 0.5


def test_pictures_without_colors_of_their_own_teach_the_critic_nothing() -> None:
    x, y = a_batch()
    labelled = np.float32([1, 0, 1, 1])
    taught = []
    for wrong in (0, 50):
        keras.utils.set_random_seed(0)
        critic = build_critic(32, 2e-3)
        truth = np.where(labelled[:, None, None, None] > 0, y["ab"], wrong).astype(np.float32)
        loss = teach(critic, x, truth, y["ab"] * 0, labelled)
        taught.append([np.array(w) for w in critic.get_weights()])
        assert loss > 1 and teach(critic, x, truth, y["ab"] * 0, labelled * 0) == 0
        for was, weight in zip(taught[-1], critic.get_weights(), strict=True):
            np.testing.assert_array_equal(was, weight)
    for one, other in zip(*taught, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_step_of_the_network_heeds_the_critic_and_does_not_train_it() -> None:
    keras.utils.set_random_seed(0)
    critic = build_critic(32, 2e-3)
    model, (x, y) = a_model(critic), a_batch()
    before = [np.array(w) for w in critic.get_weights()]
    ours = [np.array(v) for v in model.trainable_variables]
    loss = float(model.train_on_batch(x, y))
    for was, weight in zip(before, critic.get_weights(), strict=True):
        np.testing.assert_array_equal(was, weight)
    assert any(not np.array_equal(was, np.asarray(v)) for was, v in zip(ours, model.trainable_variables, strict=True))
    assert len(model.trainable_variables) == 4  # two heads with kernel and bias

    score = critic.get_layer("critic_score")
    score.set_weights([score.get_weights()[0], score.get_weights()[1] - 5])  # a compiled step sees the critic as it is now
    assert float(model.train_on_batch(x, y)) > loss + 3
