"""Scores of float and int8 networks side by side, through the runtime's own Colorizer, with gray as the zero row."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.dataset import list_pictures
from convert.export import inference_network
from convert.metrics import Judge, Picture, Seen, central_square, compare, frechet_distance
from edgecolor.colorizer import Colorizer
from edgecolor.errors import OutputError
from edgecolor.frame import ColorRange
from edgecolor.pictures import colorize_image
from edgecolor.quantization import lightness_input

COLUMNS: dict[str, tuple[str, int]] = {
    "psnr": ("PSNR dB", 2), "psnr_pooled": ("pooled", 2), "ab_distance": ("ab distance", 2), "ciede2000": ("CIEDE2000", 2),
    "auc": ("AuC", 3), "colorfulness": ("colourfulness", 1), "chroma": ("mean chroma", 1), "frechet": ("Frechet (Lite0, 256 px)", 1),
    "agreement": ("top-1 agreement", 3),
}


class KerasNetwork:
    """A float Keras network in the place of a TFLite one."""

    def __init__(self, weights: Path, size: tuple[int, int]) -> None:
        self._network: keras.Model = inference_network(weights, size)
        self.size = size
        self._tables = {"full": lightness_input("full"), "limited": lightness_input("limited")}

    def __call__(self, luma: NDArray[np.uint8], color_range: ColorRange) -> NDArray[np.float32]:
        return np.asarray(self._network.predict_on_batch(self._tables[color_range][luma][None, :, :, None])[0], np.float32)


@dataclass(frozen=True)
class Scored:
    """One row: the figures over all pictures, and each picture's own."""

    name: str
    figures: dict[str, float]
    each: list[dict[str, float]]


def open_model(model: str, size: tuple[int, int]) -> Colorizer:
    """A Colorizer over a .keras file (at ``size``), or over a TFLite model by path or name."""
    if model.endswith(".keras"):
        return Colorizer(network=KerasNetwork(Path(model), size))
    return Colorizer(model)


def read_originals(folder: Path, limit: int = 0) -> list[Picture]:
    """Evaluation pictures as RGB, in a fixed order; ``limit`` takes every n-th so that at most that many remain."""
    files = list_pictures(folder)
    step = max(1, -(-len(files) // limit)) if limit else 1
    return [file.read() for file in files[::step]]


def score(name: str, originals: list[Picture], colorize: Callable[[Picture], Picture], judge: Judge, seen: Seen) -> Scored:
    """Score one way of colorizing. colorize: luma (H, W) uint8 -> RGB (H, W, 3) uint8. seen: the originals' features."""
    each, small = [], []
    for rgb in tqdm(originals, name, unit="picture"):
        result = central_square(colorize(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)))
        small.append(result)
        each.append(compare(central_square(rgb), result))
    figures = {key: float(np.mean([row[key] for row in each])) for key in each[0] if key != "mse"}
    figures["psnr_pooled"] = float(10 * np.log10(255**2 / max(1e-3, float(np.mean([row["mse"] for row in each])))))
    mine = judge.look(small)
    figures["frechet"] = frechet_distance(seen.features, mine.features)
    figures["agreement"] = float((mine.classes == seen.classes).mean())
    return Scored(name, figures, each)


def gray_picture(luma: Picture) -> Picture:
    """What a viewer without EdgeColor sees."""
    return np.repeat(luma[..., None], 3, axis=2)


def evaluate(models: list[str], originals: list[Picture], size: tuple[int, int]) -> list[Scored]:
    """Scores of the originals themselves, of gray, then of each model."""
    judge = Judge()
    seen = judge.look([central_square(rgb) for rgb in originals])
    rows = [score("gray", originals, gray_picture, judge, seen)]
    for model in models:
        colorizer = open_model(model, size)
        rows.append(score(Path(model).name, originals, functools.partial(colorize_image, colorizer=colorizer), judge, seen))
    truth = [compare(picture, picture) for picture in map(central_square, originals)]
    known = {key: float(np.mean([row[key] for row in truth])) for key in ("colorfulness", "chroma")}
    return [Scored("original", known, truth), *rows]


def markdown(rows: list[Scored]) -> str:
    """The table of all rows."""
    lines = ["| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in rows:
        cells = [f"{row.figures[key]:.{digits}f}" if key in row.figures else "" for key, (_, digits) in COLUMNS.items()]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def contact_sheet(models: list[str], originals: list[Picture], size: tuple[int, int], out: Path, side: int = 192) -> None:
    """Two pictures per row, each as gray, each model, original; columns are ``side`` pixels wide."""
    ways: list[Callable[[Any], Any]] = [gray_picture]
    ways += [functools.partial(colorize_image, colorizer=open_model(model, size)) for model in models]
    rows = []
    for rgb in originals:
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        cells = [central_square(way(luma)) for way in ways] + [central_square(rgb)]
        rows.append(np.hstack([cv2.resize(cell, (side, side), interpolation=cv2.INTER_AREA) for cell in cells]))
    half = -(-len(rows) // 2)
    rows += [np.full_like(rows[0], 255)] * (2 * half - len(rows))
    gap = np.full((side * half, 8, 3), 255, np.uint8)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet = np.hstack([np.vstack(rows[:half]), gap, np.vstack(rows[half:])])
    if not cv2.imwrite(str(out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]):
        raise OutputError(f"{out}: the sheet can not be written there")


def save_json(rows: list[Scored], data: str, count: int, out: Path) -> None:
    """Figures as JSON: {"data", "pictures", "rows": {name: figures}}."""
    out.parent.mkdir(parents=True, exist_ok=True)
    table = {"data": data, "pictures": count, "rows": {row.name: {k: round(v, 4) for k, v in row.figures.items()} for row in rows}}
    out.write_text(json.dumps(table, indent=1) + "\n")
