"""Model cards: JSON beside each exported model, with what it takes and gives, and where it comes from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edgecolor.assets import CARD_FORMAT, INPUT_QUANTITY, OUTPUT_QUANTITY, describe
from edgecolor.interpreter import Interpreter, Tensor


def _side(tensor: Tensor, quantity: str) -> dict[str, Any]:
    return {"quantity": quantity, **describe(tensor)}


def write_card(model: Path, name: str, origin: dict[str, Any]) -> Path:
    """Write the card of ``model``: contract and hash are read from the model itself; ``origin`` is added as it is."""
    content = model.read_bytes()
    interpreter = Interpreter(content, threads=1)
    taken = _side(interpreter.output, OUTPUT_QUANTITY)
    if interpreter.output.scale:
        low, high = (interpreter.output.scale * (code - interpreter.output.zero_point) for code in (-128, 127))
        taken["range"] = [round(low, 2), round(high, 2)]
    card = {
        "format": CARD_FORMAT, "name": name, "file": model.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
        "licence": "Apache-2.0", "contract": {"input": _side(interpreter.input, INPUT_QUANTITY), "output": taken}, **origin,
    }
    return save_card(model.with_suffix(".json"), card)


def save_card(path: Path, card: dict[str, Any]) -> Path:
    """Write a card by temporary name and rename."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(card, indent=1) + "\n")
    return part.rename(path)
