"""The adversarial loss: a small convolutional critic tells true colours from guessed ones, patch by patch.

It sees lightness and ab on the network's output grid, about a ninth of the picture at a time (a PatchGAN, Isola et al.
2017, arXiv:1611.07004), is kept smooth by spectral normalization (Miyato et al. 2018, arXiv:1802.05957), and both sides
use the hinge loss. To be used late, lightly and briefly: it buys liveliness with errors.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

_AB_UNIT = 64.0  # CIELAB units that count as 1
_WIDTHS = (48, 96, 96)


def build_critic(size: int, learning_rate: float) -> keras.Model:
    """Compiled critic for networks of input ``size``: [x (N, S, S, 1), ab (N, S/4, S/4, 2)] -> scores (N, S/16, S/16, 1).

    Trained towards +1 for true colours and -1 for guessed ones.
    """
    x = keras.Input((size, size, 1), name="lightness")
    ab = keras.Input((size // 4, size // 4, 2), name="colors")
    y = layers.Concatenate(name="critic_input")([layers.AveragePooling2D(4)(x), layers.Rescaling(1 / _AB_UNIT)(ab)])
    for turn, width in enumerate(_WIDTHS):
        convolution = layers.Conv2D(width, 4, 2 if turn < 2 else 1, padding="same", name=f"critic_conv{turn}")
        y = layers.LeakyReLU(0.2)(layers.SpectralNormalization(convolution, name=f"critic_norm{turn}")(y))
    critic = keras.Model([x, ab], layers.Conv2D(1, 1, name="critic_score")(y), name="critic")
    critic.compile(keras.optimizers.Adam(learning_rate, beta_1=0.5), loss="hinge")
    return critic


def teach(critic: keras.Model, x: Any, truth: Any, guess: Any, labelled: NDArray[Any] | None = None) -> float:
    """One step of the critic on true and guessed colours of the same pictures; returns its hinge loss (2 knows nothing).

    labelled: (N,), 0 where a picture has no true colours to learn from; without any there is no step, and 0 is returned.
    """
    weights = None
    if labelled is not None:
        if not labelled.any():
            return 0.0
        weights = np.tile(labelled / labelled.mean(), 2)[:, None, None]  # the rows stay, so that all batches are of one shape
    scores = critic.output.shape[1:]
    both = ops.concatenate([ops.cast(truth, "float32"), ops.cast(guess, "float32")])
    signs = ops.concatenate([ops.ones((len(x), *scores)), -ops.ones((len(x), *scores))])
    return 2 * float(critic.train_on_batch([ops.concatenate([x, x]), both], signs, sample_weight=weights))
