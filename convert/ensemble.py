"""Several networks as one: a teacher that is larger, and nearer to the truth, than any of them (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from convert.weights import as_shown, centers_of, load_network, recipe_of
from edgecolor.errors import ConfigError, ModelError


def join_files(weights: Sequence[Path]) -> tuple[keras.Model, dict[str, Any], NDArray[Any]]:
    """The ensemble of saved networks, each as loud as its recipe shows it; a recipe, the first one's and their names; their bin centres.

    Raises AssetNotFoundError, ModelError, or ConfigError when they have no bins, or not the same.
    """
    shown = [as_shown(load_network(path), recipe_of(path)) for path in weights]
    centers = centers_of(weights[0])
    for path in weights:
        their = centers_of(path)
        if centers is None or their is None or not np.array_equal(their, centers):
            raise ConfigError(f"{path} has no bins, or others than {weights[0]}: train both from one start, or with its bins.centers")
    assert centers is not None  # there is a first one
    return join_networks([network for network, _ in shown]), {**shown[0][1], "ensemble": [str(path) for path in weights]}, centers


def join_networks(networks: Sequence[keras.Model]) -> keras.Model:
    """One network, (N, H, W, 1) -> {"ab", "bins"}, that gives the mean of what all of these say of one input.

    Means of logits are those of a geometric mean of the distributions. Raises ModelError when there is none, when one has no bins, or
    when their bins are not equally many.
    """
    if not networks:
        raise ModelError("no network to join: name at least one .keras file")
    counts = [network.output["bins"].shape[-1] if "bins" in network.output else None for network in networks]
    if None in counts or len(set(counts)) > 1:
        raise ModelError(f"these networks can not speak as one: they have {', '.join(str(count or 'no') for count in counts)} bins")
    x = keras.Input((None, None, 1), name="lightness")
    said = []
    for number, network in enumerate(networks):
        def renamed(layer: Any, prefix: str = f"member{number}_") -> Any:
            return type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})

        member = keras.models.clone_model(network, input_tensors=x, clone_function=renamed)
        member.set_weights(network.get_weights())
        said.append(member.output)
    if len(said) == 1:
        return keras.Model(x, said[0], name="ensemble")
    mean = {name: layers.Average(name=name)([each[name] for each in said]) for name in ("ab", "bins")}
    return keras.Model(x, mean, name="ensemble")
