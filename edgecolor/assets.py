"""Finds a model and its card, and checks that they belong together.

A card is JSON beside the model: what goes in and out (the contract), the file's SHA-256, and where the model comes from.
Search order: an explicit path, then the models inside the installed package, then the ``models`` folder of a checkout.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecolor import edgetpu
from edgecolor.errors import AssetNotFoundError, ModelError
from edgecolor.interpreter import Tensor

PACKAGE = Path(__file__).parent
MODEL_FOLDERS = (PACKAGE / "models", PACKAGE.parent / "models")
MEDIA_FOLDERS = (PACKAGE / "media", PACKAGE.parent / "tests" / "data")
CARD_FORMAT = 1
_LARGEST_CARD = 1 << 20
_LARGEST_MODEL = 256 << 20
INPUT_QUANTITY = "L*/50 - 1"
OUTPUT_QUANTITY = "a*, b*"


def describe(tensor: Tensor) -> dict[str, Any]:
    """A tensor as a card writes it down."""
    return {"shape": list(tensor.shape), "dtype": tensor.dtype.name, "scale": tensor.scale, "zero_point": tensor.zero_point}


@dataclass(frozen=True)
class Decoding:
    """How a network's output becomes chroma: the arguments of edgecolor.color.settle. A card without them shows it as it is."""

    doubt: float = 0.0
    gain: float = 1.0


@dataclass(frozen=True)
class Model:
    """A model whose card has been checked against it: path, bytes and the card as read."""

    name: str
    path: Path
    content: bytes
    card: dict[str, Any]

    @property
    def decoding(self) -> Decoding:
        """What the card says of it."""
        return Decoding(**self.card["contract"].get("decoding", {}))

    def check_contract(self, given: Tensor, taken: Tensor) -> None:
        """Raise ModelError unless the interpreter's input and output are those that the card promises."""
        for side, tensor in (("input", given), ("output", taken)):
            promised = self.card["contract"][side]
            found: dict[str, Any] = describe(tensor)
            for key, value in found.items():
                want = promised.get(key)
                same = abs(want - value) <= 1e-6 * abs(value) if key == "scale" and isinstance(want, int | float) else want == value
                if not same:
                    raise ModelError(f"{self.path}: its card says {side} {key} is {want!r}, the model has {value!r}; export it again")


def find_model(model: str | Path) -> Path:
    """Path of a model by name ("edgecolor") or by path ("site.tflite"). Raises AssetNotFoundError with where it looked."""
    if str(model).endswith(".tflite"):
        if _is_readable(Path(model)):
            return Path(model)
        raise AssetNotFoundError(f"{model}: no such model file, or none that this user may read")
    for folder in MODEL_FOLDERS:
        if _is_readable(path := folder / f"{model}.tflite"):
            return path
    known = sorted({p.stem for folder in MODEL_FOLDERS for p in folder.glob("*.tflite")})
    raise AssetNotFoundError(f"no model is called {str(model)!r}; known: {', '.join(known) or 'none'}, or give the path of a .tflite file")


def _is_readable(path: Path) -> bool:
    return os.access(path, os.R_OK) and path.is_file()  # the latter alone raises where a folder is closed, or a name too long


def plain_path(path: Path) -> Path:
    """The model that NAME_edgetpu.tflite was made from: NAME.tflite beside it. Raises AssetNotFoundError."""
    plain = path.with_name(path.name.replace(f"{edgetpu.SUFFIX}.tflite", ".tflite"))
    if plain == path or not plain.is_file():
        wanted = plain.name if plain != path else f"a compiled model is called NAME{edgetpu.SUFFIX}.tflite"
        raise AssetNotFoundError(f"{path}: a fallback to the CPU needs the model that it was compiled from beside it: {wanted}")
    return plain


def load_model(model: str | Path) -> Model:
    """Read a model and its card (same name, .json). Raises AssetNotFoundError, or ModelError when they do not fit."""
    path = find_model(model)
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise AssetNotFoundError(f"{path}: its card {card_path.name} is missing; `python -m convert export` writes both")
    if card_path.stat().st_size > _LARGEST_CARD or path.stat().st_size > _LARGEST_MODEL:
        raise ModelError(f"{path}: the model or its card is too large to be one")
    try:
        card = json.loads(card_path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{card_path}: not a readable card ({error})") from error
    _check_card(card, card_path)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != card["sha256"]:
        raise ModelError(f"{path}: SHA-256 is {digest[:16]}..., its card says {str(card['sha256'])[:16]}...; one of the two was changed")
    return Model(str(card["name"]), path, content, card)


def _check_card(card: Any, path: Path) -> None:
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        raise ModelError(f"{path}: not a card of format {CARD_FORMAT}")
    contract = card.get("contract")
    if not isinstance(contract, dict):
        contract = {}  # which lacks what is looked for below
    if not isinstance(card.get("name"), str) or not isinstance(card.get("sha256"), str):
        raise ModelError(f"{path}: name or sha256 is missing")
    sides = (contract.get("input"), contract.get("output"))
    for side, quantity, channels in zip(sides, (INPUT_QUANTITY, OUTPUT_QUANTITY), (1, 2), strict=True):
        if not isinstance(side, dict):
            raise ModelError(f"{path}: the contract needs an input and an output")
        if side.get("quantity") != quantity:
            raise ModelError(f"{path}: this version needs a model with {quantity!r}, the card says {side.get('quantity')!r}")
        shape = side.get("shape")
        if not (isinstance(shape, list) and len(shape) == 4 and all(isinstance(n, int) and 0 < n < 1 << 16 for n in shape)
                and shape[0] == 1 and shape[3] == channels):
            raise ModelError(f"{path}: shape {shape!r} is not (1, height, width, {channels})")
    _check_decoding(contract.get("decoding", {}), path)
    tables = {"network": card.get("network", {}), "scores": card.get("scores", {})}
    if isinstance(tables["scores"], dict):
        tables |= {f"scores of {data}": rows for data, rows in tables["scores"].items()}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ModelError(f"{path}: {name}: {str(table)[:40]} is no table; export the model again, or take that out")


def _check_decoding(decoding: Any, path: Path) -> None:
    if not isinstance(decoding, dict) or set(decoding) - {"doubt", "gain"}:
        raise ModelError(f"{path}: decoding {decoding!r} is not made of doubt and gain; edgecolor may be too old for the model")
    for key, (low, high) in {"doubt": (0.0, 50.0), "gain": (0.1, 4.0)}.items():
        value = decoding.get(key, low)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ModelError(f"{path}: decoding {key} is {value!r}, not a number from {low:g} to {high:g}")


def find_media(name: str) -> Path:
    """Path of a bundled picture or clip. Raises AssetNotFoundError."""
    for folder in MEDIA_FOLDERS:
        if (path := folder / name).is_file():
            return path
    raise AssetNotFoundError(f"the bundled file {name} is missing; install edgecolor again")
