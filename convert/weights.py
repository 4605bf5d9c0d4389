"""Float networks on disk: read into float32 whatever they were stored in, copied layer by layer, stored as float16 to ship."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.files import write_file, write_json
from convert.spent import SPENT
from edgecolor.errors import AssetNotFoundError, ConfigError, ModelError

WEIGHTS = "weights.keras"  # what every run, and every stage of one, calls its averaged weights
BINS = "bins.npy"  # and its bins' centers


def recipe_of(weights: Path) -> dict[str, Any]:
    """The configuration that belongs to saved weights: NAME.config.json beside packed ones, config.json in their run's folder.

    With "spent", what the run's stages took, where that is known. Raises ConfigError when there is none, or when it is damaged.
    """
    places = [weights.with_suffix(".config.json"), weights.parent / "config.json", weights.parent.parent / "config.json"]
    for path in places:
        if path.is_file():
            recipe = read_table(path)
            if missing := [key for key in ("data", "network", "bins") if not isinstance(recipe.get(key), dict)]:
                raise ConfigError(f"{path}: not the configuration of a run: it has no table {missing[0]!r}")
            spent = path.with_name(SPENT)
            return {**recipe, "spent": read_table(spent)} if spent.is_file() else recipe
    raise ConfigError(f"{places[0].name} is missing beside {weights}: the configuration that its run saved (or config.json in its folder)")


def read_table(path: Path) -> dict[str, Any]:
    """A JSON file that holds a table. Raises ConfigError."""
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as JSON ({error}); write it again, or fetch it again") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: not a JSON table")
    return table


def read_centers(path: Path) -> NDArray[Any]:
    """Bin centres as a run, or its packed network, has them. Raises ConfigError."""
    try:
        centers: NDArray[Any] = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"bins: centers: {path} can not be read ({error})") from error
    return centers


def centers_of(weights: Path) -> NDArray[Any] | None:
    """The centres that the bins head of these weights was trained for: packed beside them, or in their run. None: there are none.

    Raises ConfigError when they are damaged.
    """
    places = [weights.with_suffix(".bins.npy"), weights.parent / BINS, weights.parent.parent / BINS]
    return next((read_centers(path) for path in places if path.exists()), None)


def write_run(folder: Path, network: keras.Model, recipe: dict[str, Any], centers: NDArray[Any] | None) -> Path:
    """What is left of a run, to be exported, packed, trained on or learnt from. Returns the path of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", recipe)
    if centers is not None:
        write_centers(folder / BINS, centers)
    return save_network(network, folder / WEIGHTS)


def write_centers(path: Path, centers: NDArray[Any]) -> None:
    """Keep bin centres as .npy."""
    content = io.BytesIO()
    np.save(content, centers)
    write_file(path, content.getvalue())


def copy_weights(source: keras.Model, target: keras.Model, *, missing: bool = True) -> None:
    """Copy every layer of ``source`` that has weights to the layer of the same name in ``target``.

    missing: a layer that ``target`` has not is an error (ValueError); else it is passed over.
    """
    theirs = {layer.name for layer in target.layers}
    for layer in source.layers:
        if layer.weights and (missing or layer.name in theirs):
            target.get_layer(layer.name).set_weights(layer.get_weights())


def widen(source: keras.Model, target: keras.Model) -> None:
    """Copy ``source`` into a ``target`` that has more decoder blocks, or a hidden layer before its ab head, and gives the same.

    What is new begins as the identity (Chen et al. 2016, Net2Net, arXiv:1511.05641), which the ReLU6 behind it leaves alone:
    its input comes from one. Raises ModelError when ``source`` has a layer that ``target`` has not, or that differs.
    """
    mine = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    theirs = {layer.name: layer for layer in target.layers if layer.weights}
    if lost := sorted(set(mine) - set(theirs)):
        raise ModelError(f"the configured network has no place for {', '.join(lost)} of the weights that it should start from")
    for name, layer in theirs.items():
        shapes = [tuple(w.shape) for w in layer.weights]
        if name not in mine:
            layer.set_weights(_identity(layer))
        elif [w.shape for w in mine[name]] == shapes:
            layer.set_weights(mine[name])
        elif name == "ab" and mine[name][0].shape[2] < shapes[0][2]:
            kernel = np.zeros(shapes[0], np.float32)
            kernel[:, :, : mine[name][0].shape[2]] = mine[name][0]
            layer.set_weights([kernel, mine[name][1]])
        else:
            raise ModelError(f"layer {name} has shapes {[w.shape for w in mine[name]]}, the configured network wants {shapes}")


def _identity(layer: Any) -> list[Any]:
    """Weights with which a layer gives its input; channels that a wider convolution adds stay as initialized."""
    weights = [np.array(w) for w in layer.get_weights()]
    if isinstance(layer, keras.layers.BatchNormalization):
        return [np.ones_like(weights[0]), np.zeros_like(weights[1]), np.zeros_like(weights[2]), np.ones_like(weights[3]) - layer.epsilon]
    kernel = weights[0]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel[:] = 0
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
    elif isinstance(layer, keras.layers.Conv2D) and kernel.shape[:2] == (1, 1) and kernel.shape[2] <= kernel.shape[3]:
        kernel[0, 0, :, : kernel.shape[2]] = np.eye(kernel.shape[2])
    else:
        raise ModelError(f"layer {layer.name} is new in the configured network and can not begin as the identity")
    return [kernel, *weights[1:]]


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


def as_shown(network: keras.Model, recipe: dict[str, Any]) -> tuple[keras.Model, dict[str, Any]]:
    """A copy of a network whose output has the gain of its recipe's decoding in it, and the recipe that goes with that.

    So weights that are trained on, or learnt from, begin with the colours that are shown. A doubt is of the output: it grows as that does.
    """
    decoding = recipe.get("decoding", {})
    gain = decoding.get("gain", 1.0)
    louder = _with_dtype(network, "float32")
    head = louder.get_layer("ab")
    head.set_weights([gain * weights for weights in head.get_weights()])
    return louder, {**recipe, "decoding": {"doubt": gain * decoding.get("doubt", 0.0), "gain": 1.0}}


def mix_networks(one: keras.Model, other: keras.Model, share: float) -> keras.Model:
    """Weights ``share`` (0..1) of the way from one network to another of the same form."""
    mixed = _with_dtype(one, "float32")
    mixed.set_weights([(1 - share) * a + share * b for a, b in zip(one.get_weights(), other.get_weights(), strict=True)])
    return mixed


def _with_dtype(network: keras.Model, dtype: str) -> keras.Model:
    def clone(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "dtype": dtype})

    copy = keras.models.clone_model(network, clone_function=clone)
    copy_weights(network, copy)
    return copy


def load_network(path: Path) -> keras.Model:
    """Read a .keras file; the network computes in float32.

    Raises AssetNotFoundError, or ModelError when it is damaged, no network, or none of this project's.
    """
    if not path.is_file():
        raise AssetNotFoundError(f"{path}: no such file; a run saves its weights when a stage validates, or ends")
    try:
        if not zipfile.is_zipfile(path):  # which Keras says it can not find
            raise zipfile.BadZipFile("no zip, or cut off")
        network = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, AttributeError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{path}: not a saved Keras network, or a damaged one ({error}); save it again, or fetch it again") from error
    outputs, taken = getattr(network, "output", None), getattr(network, "input_shape", None)
    given = tuple(outputs["ab"].shape) if isinstance(outputs, dict) and "ab" in outputs else ()
    if not (isinstance(taken, tuple) and len(taken) == len(given) == 4 and (*taken[3:], *given[3:]) == (1, 2)):
        raise ModelError(f"{path}: another kind of network: wanted are one channel in, (N, H, W, 1), and an output called ab with two, "
                         f"(N, H/4, W/4, 2); it takes {taken}, and its ab is {given or 'missing'}")
    return _with_dtype(network, "float32")


def save_network(network: keras.Model, path: Path, dtype: str = "float32") -> Path:
    """Write a .keras file by temporary name and rename."""
    part = path.with_name(f"part-{path.name}")
    (network if dtype == "float32" else _with_dtype(network, dtype)).save(part)
    return part.rename(path)
