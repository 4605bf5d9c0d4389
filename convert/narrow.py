"""Make an encoder narrower and shorter without losing what it learnt: keep the channels that matter, refit what reads them.

Each block keeps the channels between its expansion and its projection that carry most of its output; its projection is then fitted
again, by least squares, so that the narrow block, fed by the narrow blocks before it, gives what the wide one gave (channel pruning
with reconstruction: He, Zhang and Sun 2017, arXiv:1707.06168; Luo, Wu and Lin 2017, arXiv:1707.06342). The last block that is left
of a shortened stage is fitted to the end of that stage. No training, minutes at most.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.network import BN_EPSILON, EncoderForm, stage_blocks

_PLACES = 60_000  # of the pictures' places, so many are looked at per block
_RIDGE = 1e-2  # of the inputs' mean variance: how much the fit is drawn to the wide block's own weights
_BATCH = 16

Float = NDArray[np.float32]


def narrow(source: keras.Model, target: keras.Model, form: EncoderForm, x: NDArray[Any], seed: int = 1) -> None:
    """Set the encoder of ``target``, which has ``form``, to what is left of ``source``'s, a whole one of the same kind.

    x: (N, S, S, 1) network input, a few dozen pictures. Layers outside the encoder stay as they are.
    """
    for name in ("stem_conv", "stem_bn"):
        target.get_layer(name).set_weights(source.get_layer(name).get_weights())
    for stage, blocks in enumerate(stage_blocks(form.lite)):
        kept = blocks[: form.repeats[stage]]
        for block in kept:
            aim = blocks[-1] if block == kept[-1] else block
            _narrow_block(source, target, f"block{block}", f"block{aim}", x, np.random.default_rng((seed, block)))


def _end(network: keras.Model, block: str) -> Any:
    """What a block gives: its sum, or its projection where nothing is added."""
    names = {layer.name for layer in network.layers}
    return network.get_layer(f"{block}_add" if f"{block}_add" in names else f"{block}_project_bn").output


def _seen(network: keras.Model, tensors: list[Any], x: NDArray[Any]) -> list[Float]:
    """Tensors (N, h, w, C) of one h and w, as (N * h * w, C)."""
    part = keras.Model(network.input, tensors)
    batches = [part(x[first : first + _BATCH], training=False) for first in range(0, len(x), _BATCH)]
    return [np.concatenate([np.asarray(b[i], np.float32).reshape(-1, b[i].shape[-1]) for b in batches]) for i in range(len(tensors))]


def _narrow_block(source: keras.Model, target: keras.Model, block: str, aim: str, x: NDArray[Any], rng: np.random.Generator) -> None:
    inner = f"{block}_depthwise_relu"
    wide, wanted = _seen(source, [source.get_layer(inner).output, _end(source, aim)], x)
    places = rng.choice(len(wide), min(len(wide), _PLACES), replace=False)
    wide, wanted = wide[places], wanted[places]
    kernel = source.get_layer(f"{block}_project_conv").get_weights()[0][0, 0]
    width = target.get_layer(f"{block}_project_conv").get_weights()[0].shape[2]
    carried = wide.var(0) * (kernel**2).sum(1)
    chosen = np.sort(np.argsort(-carried, kind="stable")[:width])
    for layer, axis in (("expand_conv", 3), ("expand_bn", 0), ("depthwise_conv", 2), ("depthwise_bn", 0)):
        name = f"{block}_{layer}"
        if any(theirs.name == name for theirs in target.layers):
            target.get_layer(name).set_weights([np.take(w, chosen, axis) for w in source.get_layer(name).get_weights()])
    gamma, beta, mean, variance = source.get_layer(f"{block}_project_bn").get_weights()
    end = target.get_layer(inner).output
    if any(layer.name == f"{block}_add" for layer in target.layers):
        narrowed, before = (values[places] for values in _seen(target, [end, target.get_layer(f"{block}_add").input[0]], x))
        wanted = wanted - before
    else:
        narrowed = _seen(target, [end, end], x)[0][places]
    scale = gamma / np.sqrt(variance + BN_EPSILON)
    scale = np.where(np.abs(scale) < 1e-4, 1e-4, scale)
    fitted, offset = _fit(narrowed, (wanted - beta) / scale + mean, kernel[chosen])
    target.get_layer(f"{block}_project_conv").set_weights([fitted[None, None]])
    target.get_layer(f"{block}_project_bn").set_weights([gamma, beta, mean - offset, variance])


def _fit(inputs: Float, outputs: Float, start: Float) -> tuple[Float, Float]:
    """Weights (C, K) and offsets (K,) with inputs (M, C) @ weights + offsets near outputs (M, K), drawn to ``start``."""
    middle, center = inputs.mean(0, dtype=np.float64), outputs.mean(0, dtype=np.float64)
    a, b = inputs - middle, outputs - center
    square = a.T @ a
    ridge = _RIDGE * np.trace(square) / len(square) + 1e-6
    weights = np.linalg.solve(square + ridge * np.eye(len(square)), a.T @ b + ridge * start)
    return weights.astype(np.float32), (center - middle @ weights).astype(np.float32)
