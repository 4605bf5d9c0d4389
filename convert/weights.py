"""Float networks on disk: read into float32 whatever they were stored in, copied layer by layer, stored as float16 to ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgecolor.errors import ModelError

WEIGHTS = "weights.keras"  # what every run, and every stage of one, calls its averaged weights


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy every layer of ``source`` that has weights to the layer of the same name in ``target``."""
    for layer in source.layers:
        if layer.weights:
            target.get_layer(layer.name).set_weights(layer.get_weights())


def average_networks(networks: Sequence[keras.Model]) -> keras.Model:
    """The mean of the weights of stages that came from one another: often better than each (Wortsman et al. 2022, arXiv:2203.05482).

    Raises ModelError when they are not of one form.
    """
    forms = [[(v.path, tuple(v.shape)) for v in network.weights] for network in networks]
    if any(form != forms[0] for form in forms):
        raise ModelError("these networks are not of one form: only stages of one run can be averaged")
    mean = _with_dtype(networks[0], "float32")
    mean.set_weights([np.mean(parts, axis=0) for parts in zip(*(network.get_weights() for network in networks), strict=True)])
    return mean


def _with_dtype(network: keras.Model, dtype: str) -> keras.Model:
    def clone(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": dtype})

    copy = keras.models.clone_model(network, clone_function=clone)
    copy_weights(network, copy)
    return copy


def load_network(path: Path) -> keras.Model:
    """Read a .keras file; the network computes in float32. Raises ModelError when it is none."""
    try:
        network = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: not a saved Keras network ({error})") from error
    return _with_dtype(network, "float32")


def save_network(network: keras.Model, path: Path, dtype: str = "float32") -> Path:
    """Write a .keras file by temporary name and rename."""
    part = path.with_name(f"part-{path.name}")
    (network if dtype == "float32" else _with_dtype(network, dtype)).save(part)
    return part.rename(path)
