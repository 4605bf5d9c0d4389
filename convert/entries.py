"""The models that are compared: .keras and .tflite, float and int8, each behind the runtime's own Colorizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

from convert.export import inference_network
from convert.metrics import Picture
from convert.weights import WEIGHTS, recipe_of
from edgecolor.assets import Decoding, find_model
from edgecolor.color import settle
from edgecolor.colorizer import Colorizer, TfliteNetwork
from edgecolor.errors import AssetNotFoundError, ConfigError
from edgecolor.frame import ColorRange
from edgecolor.pictures import colorize_image
from edgecolor.quantization import lightness_input

BASELINE = "seed"
Kind = Literal["keras", "float32", "int8"]


class KerasNetwork:
    """A float Keras network in the place of a TFLite one, decoded as its configuration says."""

    def __init__(self, weights: Path, size: tuple[int, int]) -> None:
        self.model: keras.Model = inference_network(weights, size)
        self.size = size
        self._decoding = Decoding(**recipe_of(weights).get("decoding", {}))
        self._tables = {"full": lightness_input("full"), "limited": lightness_input("limited")}

    def __call__(self, luma: NDArray[np.uint8], color_range: ColorRange) -> NDArray[np.float32]:
        ab = np.asarray(self.model.predict_on_batch(self._tables[color_range][luma][None, :, :, None])[0], np.float32)
        return settle(ab, self._decoding.doubt, self._decoding.gain)


@dataclass(frozen=True)
class Entry:
    """One model in a comparison. name: that of its row. asked: named by the user, not only there to compare with."""

    name: str
    path: Path
    kind: Kind
    colorizer: Colorizer
    asked: bool = True

    def colorize(self, luma: Picture) -> Picture:
        """Luma (H, W) uint8 -> RGB (H, W, 3) uint8, through the runtime at the picture's own size."""
        return colorize_image(luma, self.colorizer)


def gray_picture(luma: Picture) -> Picture:
    """What a viewer without EdgeColor sees: luma (H, W) -> (H, W, 3)."""
    return np.repeat(luma[..., None], 3, axis=2)


def open_entry(model: str, size: tuple[int, int], asked: bool = True) -> Entry:
    """Open a .keras file (at ``size``, (height, width)), or a TFLite model by path or name. Raises AssetNotFoundError, ModelError."""
    name = Path(model).name
    if model.endswith(".keras"):
        if not Path(model).is_file():
            raise AssetNotFoundError(f"{model}: no such model file")
        return Entry(name, Path(model), "keras", Colorizer(network=KerasNetwork(Path(model), size)), asked)
    colorizer = Colorizer(model)
    assert isinstance(colorizer.network, TfliteNetwork)  # because no network was handed over
    kind: Kind = "int8" if colorizer.network.interpreter.input.dtype == np.int8 else "float32"
    return Entry(name, find_model(model), kind, colorizer, asked)


def is_baseline(entry: Entry) -> bool:
    """Whether this is the shipped network that others are compared with, named or not."""
    return entry.path.resolve() == find_model(BASELINE).resolve()


def open_entries(models: list[str], size: tuple[int, int]) -> list[Entry]:
    """The shipped baseline, then every model in the order given; the baseline stands where it is named, if it is.

    A model named twice is opened once. Raises ConfigError when two different models have one name.
    """
    baseline = find_model(BASELINE).resolve()
    wanted: dict[Path, str] = {}
    for model in models:
        wanted.setdefault((Path(model) if model.endswith(".keras") else find_model(model)).resolve(), model)
    entries = [] if baseline in wanted else [open_entry(BASELINE, size, asked=False)]
    entries += [open_entry(model, size) for model in wanted.values()]
    names = [entry.name for entry in entries]
    if names.count(WEIGHTS) > 1:  # every stage of a run has one: the folder tells them apart
        entries = [replace(e, name=f"{e.path.resolve().parent.name}/{e.name}") if e.name == WEIGHTS else e for e in entries]
        names = [entry.name for entry in entries]
    for name in {"gray", "original"} & set(names) | {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two rows would be called {name!r}; give one of the models another file name")
    return entries


def float_partner(entry: Entry, entries: list[Entry]) -> Entry | None:
    """The float network that an int8 one was made from: NAME-float.tflite or NAME.keras beside it, when it is an entry too.

    At the same input size, or what sets them apart would not be the quantization.
    """
    if entry.kind != "int8":
        return None
    for path in (entry.path.with_name(f"{entry.path.stem}-float.tflite"), entry.path.with_suffix(".keras")):
        for other in entries:
            if other.path.resolve() == path.resolve() and other.colorizer.network.size == entry.colorizer.network.size:
                return other
    return None
