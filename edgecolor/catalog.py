"""Which models there are, what their cards promise, what they cost on this board, and which one ``auto`` takes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from edgecolor import edgetpu
from edgecolor.assets import MODEL_FOLDERS, PACKAGE, Model, load_model
from edgecolor.errors import AssetNotFoundError, ConfigError, EdgeColorError
from edgecolor.interpreter import Interpreter

AUTO = "auto"
ENOUGH_PER_SECOND = 10.0  # guesses: temporal smoothing hides that there are no more
_ROUNDS = 7
_BASELINE = "seed"


@dataclass(frozen=True)
class Listed:
    """A model that was found. where: "installed" or "checkout". wrong: why it can not be used; then model is None."""

    name: str
    path: Path
    where: str
    model: Model | None
    wrong: str = ""


@dataclass(frozen=True)
class Choice:
    """The model that ``auto`` took, and a sentence that says why."""

    model: Model
    reason: str


def list_models(folders: Sequence[Path] = MODEL_FOLDERS) -> list[Listed]:
    """Every shipped model by name, those of the installed package before those of a checkout; without float copies and compiled ones."""
    found: dict[str, Listed] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.tflite")):
            if path.stem in found or path.stem.endswith(("-float", edgetpu.SUFFIX)):
                continue
            where = "installed" if PACKAGE in path.parents else "checkout"
            try:
                found[path.stem] = Listed(path.stem, path, where, load_model(path))
            except EdgeColorError as error:
                found[path.stem] = Listed(path.stem, path, where, None, str(error))
    return [found[name] for name in sorted(found)]


def check_auto(delegate: str | None) -> None:
    """Raise ConfigError where ``auto`` is asked for with a delegate: what it chooses from is not compiled for one."""
    if delegate:
        raise ConfigError(
            f"model {AUTO} with delegate {delegate}: {AUTO} chooses among models for the CPU only; name the compiled one, "
            f"as in coral/edgecolor{edgetpu.SUFFIX}.tflite"
        )


def measure_ms(model: Model, runtime: str | None = None, threads: int | None = None) -> float:
    """Median milliseconds of one invocation of a model on this board, now. Raises what Interpreter raises."""
    interpreter = Interpreter(model.content, runtime, threads)
    given = np.zeros(interpreter.input.shape, interpreter.input.dtype)
    times = []
    for turn in range(_ROUNDS + 2):
        start = perf_counter()
        interpreter.invoke(given)
        if turn >= 2:  # the first rounds fill caches
            times.append(1000 * (perf_counter() - start))
    return statistics.median(times)


def score(model: Model, figure: str, row: str = "int8") -> float | None:
    """A figure of the model on the first data set of its card, as ``convert evaluate`` names it; None when it has none.

    row: "int8", or another that the card holds beside it, as "gray".
    """
    for rows in model.card.get("scores", {}).values():
        figures = rows.get(row)
        value = figures.get(figure) if isinstance(figures, dict) else None
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    return None


def share_of_gray(model: Model, figure: str) -> float | None:
    """A figure of the int8 model as a share of the gray pictures' own. The card's own share is rounded, and would be rounded twice."""
    value, gray = score(model, figure), score(model, figure, "gray")
    return value / gray if value is not None and gray else None


def choose(
    runtime: str | None = None, threads: int | None = None, delegate: str | None = None, *, folders: Sequence[Path] = MODEL_FOLDERS,
    enough: float = ENOUGH_PER_SECOND, used: str = "",
) -> Choice:
    """The model whose pictures look most like real ones, of those that make ``enough`` guesses a second on this board; else the fastest.

    By the Frechet distance on their cards: the mean ab distance is least where colours are dull. The baseline never counts.
    used: SHA-256 of the model that the work was begun with. It is taken if it is here, for one that is just fast enough is not so
    every time. Raises AssetNotFoundError when there is no model to choose from, ConfigError for a delegate (check_auto).
    """
    check_auto(delegate)
    scored = [(distance, listed.model) for listed in list_models(folders)
              if listed.model and listed.name != _BASELINE and (distance := score(listed.model, "frechet")) is not None]
    if not scored:
        raise AssetNotFoundError("auto: none with scores on its card can be used; see `edgecolor models`, or install edgecolor again")
    models = [model for _, model in sorted(scored, key=lambda pair: pair[0])]
    if len(models) == 1:
        return Choice(models[0], "it is the only model here")
    if begun := next((model for model in models if model.card["sha256"] == used), None):
        return Choice(begun, "what is there was made with it")
    rates: dict[str, float] = {}
    for model in models:
        rates[model.name] = 1000 / measure_ms(model, runtime, threads)
        if rates[model.name] >= enough:
            return Choice(model, f"the best of those that make {enough:.0f} guesses a second here: {_told(rates)}")
    fastest = max(models, key=lambda model: rates[model.name])
    return Choice(fastest, f"none makes {enough:.0f} guesses a second here, and it is the fastest: {_told(rates)}")


def _told(rates: dict[str, Any]) -> str:
    return ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
