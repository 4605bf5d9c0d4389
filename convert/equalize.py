"""Cross-layer equalization: every channel of a tensor gets the same range, so that one int8 scale fits them all.

A tensor has one scale, set by its widest channel; a channel a hundred times narrower is left with two or three codes.
Where nothing clips, multiplying a channel by s and the weights that read it by 1/s changes nothing in the float network
and much in the int8 one. After Nagel et al. 2019 (arXiv:1906.04721), with measured ranges in place of those of the
weights, and over every tensor of the graph: residual sums, skips and bilinear upsampling tie the channels of all tensors
that they join. Tensors behind a ReLU6 stay as they are: scaled up to its 6 they clip on pictures that calibration never
saw, which cost more than it gained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edgecolor.errors import ModelError

_MOST = 64.0  # a channel that hardly ever speaks is not amplified beyond this


@dataclass
class _Tied:
    """Tensors whose channels must be scaled alike: who makes them, who reads them, and how far each channel goes."""

    makers: list[Any] = field(default_factory=list)  # a batch norm, or a convolution without one
    readers: list[Any] = field(default_factory=list)  # convolutions
    shown: list[Any] = field(default_factory=list)  # layers whose outputs are tensors of the int8 network
    clipped: bool = False  # a ReLU or the like is among them


def _inputs(layer: Any) -> list[Any]:
    """The layers whose outputs a layer takes."""
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in tensors]


_CONVOLUTIONS = layers.Conv2D | layers.DepthwiseConv2D | layers.Conv2DTranspose


def _tie(network: keras.Model) -> list[_Tied]:
    """Groups of linear tensors that share their channels' scales, without those that must keep theirs (input and output)."""
    group: dict[str, _Tied] = {}
    fixed: list[_Tied] = []
    for layer in network.layers:
        if isinstance(layer, layers.InputLayer):
            group[layer.name] = _Tied()
            fixed.append(group[layer.name])
            continue
        before = [group[source.name] for source in _inputs(layer)]
        if isinstance(layer, _CONVOLUTIONS):
            before[0].readers.append(layer)
            group[layer.name] = _Tied([layer], shown=[layer], clipped=layer.activation is not keras.activations.linear)
        elif isinstance(layer, layers.BatchNormalization):
            group[layer.name] = _Tied([layer], shown=[layer])  # the convolution's own output is folded away
        elif isinstance(layer, layers.ReLU | layers.Add | layers.UpSampling2D):
            joined = before[0]
            for other in before[1:]:
                if other is joined:
                    continue
                joined.makers += other.makers
                joined.readers += other.readers
                joined.shown += other.shown
                joined.clipped |= other.clipped
                group = {name: joined if tied is other else tied for name, tied in group.items()}
            joined.shown.append(layer)
            joined.clipped |= isinstance(layer, layers.ReLU)
            group[layer.name] = joined
        else:
            raise ModelError(f"layer {layer.name} ({type(layer).__name__}) is of no kind that equalization knows")
    fixed += [group[tensor._keras_history.operation.name] for tensor in network.outputs]
    found: list[_Tied] = []
    for tied in group.values():
        if tied.makers and tied.readers and not tied.clipped and not any(tied is other for other in (*fixed, *found)):
            found.append(tied)
    return found


def _ranges(network: keras.Model, shown: list[Any], inputs: Iterable[NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """Largest magnitude of each channel of each of these layers' outputs."""
    probe = keras.Model(network.inputs, [layer.output for layer in shown])
    most = [np.zeros(layer.output.shape[-1]) for layer in shown]
    for x in inputs:
        for seen, output in zip(most, probe.predict_on_batch(x), strict=True):
            np.maximum(seen, np.abs(np.asarray(output)).max(axis=(0, 1, 2)), out=seen)
    return {layer.name: seen for layer, seen in zip(shown, most, strict=True)}


def _scale_maker(layer: Any, factor: NDArray[np.float32]) -> None:
    if isinstance(layer, layers.BatchNormalization):
        gamma, beta, mean, variance = layer.get_weights()
        layer.set_weights([gamma * factor, beta * factor, mean, variance])
    else:
        kernel, *bias = layer.get_weights()
        layer.set_weights([kernel * _along(layer, factor, made=True), *(b * factor for b in bias)])


def _scale_reader(layer: Any, factor: NDArray[np.float32]) -> None:
    kernel, *rest = layer.get_weights()
    layer.set_weights([kernel / _along(layer, factor, made=False), *rest])


def _along(layer: Any, factor: NDArray[np.float32], made: bool) -> NDArray[np.float32]:
    """The factors (C,) along the kernel's axis of channels that are made or read; kernels end in (read, made) channels.

    A transposed convolution's ends in (made, read), a depthwise one's in (channels, 1) for both.
    """
    last = made != isinstance(layer, layers.Conv2DTranspose) and not isinstance(layer, layers.DepthwiseConv2D)
    return factor if last else factor[:, None]


def equalize(network: keras.Model, inputs: Iterable[NDArray[np.float32]]) -> None:
    """Rescale ``network``'s channels in place; what it computes stays the same.

    network: convolutions, batch norms, ReLU6, additions and bilinear upsampling. inputs: (1, H, W, 1) float32 each, over
    which the ranges are measured. Raises ModelError for layers of another kind.
    """
    groups = _tie(network)
    if not groups:
        return
    ranges = _ranges(network, [layer for tied in groups for layer in tied.shown], inputs)
    for tied in groups:
        most = np.max([ranges[layer.name] for layer in tied.shown], axis=0)
        factor = np.clip(most.max() / np.maximum(most, 1e-9), 1.0, _MOST).astype(np.float32)
        for maker in tied.makers:
            _scale_maker(maker, factor)
        for reader in tied.readers:
            _scale_reader(reader, factor)
