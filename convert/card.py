"""Model cards: JSON beside each exported model, with what it takes and gives, and where it comes from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from convert.export import Exported
from convert.files import write_json
from convert.operators import inspect, summary
from edgecolor.assets import CARD_FORMAT, INPUT_QUANTITY, OUTPUT_QUANTITY, describe
from edgecolor.errors import ConfigError
from edgecolor.interpreter import Interpreter, Tensor


def _side(tensor: Tensor, quantity: str) -> dict[str, Any]:
    return {"quantity": quantity, **describe(tensor)}


def write_card(model: Path, name: str, origin: dict[str, Any], decoding: dict[str, float] | None = None) -> Path:
    """Write the card of ``model``: contract, operators and hash are read from the model itself; ``origin`` is added as it is.

    decoding: what the runtime does with the output, see edgecolor.assets.Decoding; None: nothing.
    """
    content = model.read_bytes()
    interpreter = Interpreter(content, threads=1)
    taken = _side(interpreter.output, OUTPUT_QUANTITY)
    if interpreter.output.scale:
        low, high = (interpreter.output.scale * (code - interpreter.output.zero_point) for code in (-128, 127))
        taken["range"] = [round(low, 2), round(high, 2)]
    contract = {"input": _side(interpreter.input, INPUT_QUANTITY), "output": taken, **({"decoding": decoding} if decoding else {})}
    card = {
        "format": CARD_FORMAT, "name": name, "file": model.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
        "licence": "Apache-2.0", "contract": contract,
        "operators": summary(inspect(content)), **origin,
    }
    return save_card(model.with_suffix(".json"), card)


def write_cards(
    done: Exported, weights: Path, recipe: dict[str, Any], chosen: dict[str, Any], more: dict[str, Any] | None = None
) -> list[Path]:
    """Write the cards of both files of an export: with where they come from, and ``more``.

    weights: the .keras file that was exported. recipe: the configuration of the run that made it. chosen: "representative", how many
    pictures the int8 file was calibrated on, and "pictures", how many there were to choose from; perhaps where they are.
    """
    origin = {
        "network": {**recipe["network"], "parameters": done.parameters, "macs": done.macs},
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "seed": recipe["seed"],
        "data": {**recipe["data"], **chosen},
        "recipe": {key: recipe[key] for key in ("start", "bins", "ema", "stage", "averaged", "spent") if recipe.get(key)},
        **(more or {}),
    }
    names = ((done.int8, done.int8.stem), (done.float32, f"{done.int8.stem}-float"))
    return [write_card(path, name, origin, recipe.get("decoding")) for path, name in names]


def save_card(path: Path, card: dict[str, Any]) -> Path:
    """Write a card by temporary name and rename."""
    return write_json(path, card)


def add_scores(card: dict[str, Any], scores: dict[str, Any], rows: dict[str, str], source: str) -> None:
    """Put the chosen rows of an evaluation's JSON (see convert.report.to_json) into a card, a data set at a time.

    rows: what the card calls a row -> its name in the evaluation. Raises ConfigError when a data set lacks one,
    or when ``scores`` is something else.
    """
    for data, table in scores.items():
        if not isinstance(table, dict) or not isinstance(table.get("rows"), dict) or "pictures" not in table:
            raise ConfigError(f"{source}: not the JSON of `python -m convert evaluate` ({data!r} is no data set)")
        if missing := set(rows.values()) - set(table["rows"]):
            raise ConfigError(f"{source}, {data}: no row {', '.join(sorted(missing))}; it has {', '.join(table['rows'])}")
        chosen = {kind: table["rows"][row] for kind, row in rows.items()}
        card.setdefault("scores", {})[data] = {"pictures": table["pictures"], **chosen}
