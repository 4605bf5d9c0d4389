from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecolor import Colorizer
from edgecolor.assets import find_media, find_model, load_model
from edgecolor.errors import AssetNotFoundError, ModelError


@pytest.fixture
def lying(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], Any]], Path]:
    """A copy of the shipped model whose card was changed by a function."""

    def make(change: Callable[[dict[str, Any]], Any]) -> Path:
        shipped = find_model("edgecolor")
        model = tmp_path / "site.tflite"
        shutil.copy(shipped, model)
        card = json.loads(shipped.with_suffix(".json").read_text())
        changed = change(card)
        model.with_suffix(".json").write_text(json.dumps(card if changed is None else changed))
        return model

    return make


def test_shipped_models_load() -> None:
    for name in ("edgecolor", "edgecolor-tiny", "seed"):
        model = load_model(name)
        assert model.name == name and len(model.content) == model.card["bytes"]


def test_a_copy_with_an_honest_card_loads(lying: Any) -> None:
    assert Colorizer(lying(lambda card: None), threads=1).network.size == Colorizer(threads=1).network.size


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AssetNotFoundError, match="known: edgecolor"):
        find_model("edgecolour")
    with pytest.raises(FileNotFoundError, match="no such model file"):
        find_model("nowhere/model.tflite")
    for name in (300 * "x", f"{300 * 'x'}.tflite"):
        with pytest.raises(AssetNotFoundError, match="xxx"):
            find_model(name)
    with pytest.raises(AssetNotFoundError, match="bundled file"):
        find_media("nothing.mp4")


def _set(side: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(card: dict[str, Any]) -> None:
        card["contract"][side][key] = value

    return change


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    def change(card: dict[str, Any]) -> None:
        del card[key]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(sha256="0" * 64), "SHA-256"),
        (lambda card: card.update(format=99), "format"),
        (_drop("contract"), "input and an output"),
        (lambda card: card["contract"].update(decoding=[]), "made of doubt and gain"),
        (lambda card: card["contract"].update(decoding={"doubt": 5, "warmth": 1}), "too old"),
        (lambda card: card["contract"].update(decoding={"doubt": -1}), "doubt is -1"),
        (lambda card: card["contract"].update(decoding={"gain": float("nan")}), "gain is nan"),
        (_drop("sha256"), "sha256 is missing"),
        (lambda card: card.update(sha256=5), "sha256 is missing"),
        (lambda card: [], "format"),
        (_set("input", "shape", [1, 64, 64, 1]), "input shape"),
        (_set("input", "shape", [1, -1, 64, 1]), "shape"),
        (_set("input", "shape", "big"), "shape"),
        (_set("output", "shape", [1, 48, 48, 3]), "shape"),
        (_set("input", "scale", 0.5), "input scale"),
        (_set("output", "scale", "0.5"), "output scale"),
        (_set("output", "zero_point", 99), "output zero_point"),
        (_set("output", "dtype", "uint8"), "output dtype"),
        (_set("input", "quantity", "L*"), "quantity|needs a model"),
        (_set("output", "quantity", None), "needs a model"),
    ],
)
def test_a_card_that_lies_is_a_typed_error(lying: Any, change: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Colorizer(lying(change), threads=1)


def test_a_damaged_card_is_a_typed_error(tmp_path: Path) -> None:
    model = Path(shutil.copy(find_model("edgecolor"), tmp_path / "site.tflite"))
    with pytest.raises(AssetNotFoundError, match=r"card site\.json is missing"):
        load_model(model)
    for text in (b"{", b"", b"\xff\xfe", b"[" * 100_000, b"null", b"3"):
        model.with_suffix(".json").write_bytes(text)
        with pytest.raises(ModelError):
            load_model(model)


def test_a_damaged_model_is_a_typed_error(lying: Any) -> None:
    import hashlib

    for content in (b"", b"not a model", find_model("edgecolor").read_bytes()[:5000]):
        model = lying(lambda card, content=content: card.update(sha256=hashlib.sha256(content).hexdigest()))
        model.write_bytes(content)
        with pytest.raises(ModelError):
            Colorizer(model, threads=1)


def test_the_card_says_how_the_output_is_decoded(lying: Any) -> None:
    luma = np.random.default_rng(0).integers(0, 256, (192, 192)).astype(np.uint8)

    def guess(decoding: dict[str, float]) -> Any:
        model = lying(lambda card: card["contract"].update(decoding=decoding))
        return Colorizer(model, threads=1).network(luma, "full")

    plain, doubled, faded = guess({}), guess({"gain": 2}), guess({"doubt": 50})
    np.testing.assert_allclose(doubled, plain * 2)
    assert np.abs(faded).max() < 0.8 * np.abs(plain).max()
