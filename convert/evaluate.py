"""Scores of float and int8 networks side by side, through the runtime's own Colorizer, beside gray and the originals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from convert.bars import SMALL, Bars, Verdict, judge_cost, judge_pale, judge_quantization, judge_scores, judge_small
from convert.cost import Cost, measure_costs
from convert.dataset import PictureFile, list_pictures
from convert.entries import Entry, float_partner, gray_picture, is_baseline
from convert.metrics import BATCH, Judge, Original, Picture, Seen, ab_difference, central_square, compare
from convert.scores import Evidence, Row, summarize
from edgecolor.errors import ConfigError


@dataclass(frozen=True)
class DataScores:
    """One data set: its pictures' names and each row; for int8 models also the mean ab difference from their float network."""

    name: str
    pictures: tuple[str, ...]
    rows: dict[str, Row]
    from_float: dict[str, float]


@dataclass(frozen=True)
class PaleScores:
    """A set of pictures without colour: mean chroma of each row (that of "original" is the pictures' own), and each picture's."""

    name: str
    pictures: tuple[str, ...]
    chroma: dict[str, float]
    each: dict[str, list[float]]


@dataclass(frozen=True)
class Evaluation:
    """Everything measured in one go. verdicts is empty unless bars were asked for; notes say which bars could not be judged."""

    data: tuple[DataScores, ...]
    pale: tuple[PaleScores, ...]
    costs: dict[str, Cost]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()


def choose_pictures(folder: Path, limit: int = 0) -> list[PictureFile]:
    """A data set's pictures in a fixed order; ``limit`` takes every n-th so that at most that many remain."""
    files = list_pictures(folder)
    step = max(1, -(-len(files) // limit)) if limit else 1
    return files[::step]


def camera_picture(rgb: Picture) -> Picture:
    """The Rec. 601 luma (H, W) of a picture (H, W, 3): what a gray camera sends."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


class _Collector:
    """Gathers one row's figures, and shows its pictures to the judge in batches, so that memory does not grow with them."""

    def __init__(self, judge: Judge) -> None:
        self._judge, self._waiting = judge, list[Picture]()
        self._seen, self._each = list[Seen](), list[dict[str, float]]()

    def add(self, square: Picture, figures: dict[str, float]) -> None:
        self._each.append(figures)
        self._waiting.append(square)
        if len(self._waiting) == BATCH:
            self._look()

    def _look(self) -> None:
        if self._waiting:
            self._seen.append(self._judge.look(self._waiting))
            self._waiting = []

    def finish(self) -> Evidence:
        self._look()
        seen = Seen(np.concatenate([s.features for s in self._seen]), np.concatenate([s.classes for s in self._seen]))
        return Evidence({key: np.array([figures[key] for figures in self._each]) for key in self._each[0]}, seen)


def score(name: str, files: list[PictureFile], entries: list[Entry], judge: Judge) -> DataScores:
    """Score gray and each entry on one data set."""
    rows = {row: _Collector(judge) for row in ("original", "gray", *(entry.name for entry in entries))}
    partners = {entry.name: partner.name for entry in entries if (partner := float_partner(entry, entries))}
    apart: dict[str, list[float]] = {int8: [] for int8 in partners}
    for file in tqdm(files, name, unit="picture"):
        rgb = file.read()
        luma, original = camera_picture(rgb), Original.of(central_square(rgb))
        rows["original"].add(original.rgb, {"colorfulness": original.colorfulness, "chroma": original.chroma})
        results = {"gray": gray_picture(luma), **{entry.name: entry.colorize(luma) for entry in entries}}
        for row, result in results.items():
            square = central_square(result)
            rows[row].add(square, compare(original, square))
        for int8, real in partners.items():
            apart[int8].append(ab_difference(results[int8], results[real]))
    evidence = {row: collector.finish() for row, collector in rows.items()}
    truth = evidence["original"].seen.classes
    for row, found in evidence.items():
        if row != "original":
            found.each["agreement"] = (found.seen.classes == truth).astype(np.float64)
    means = {int8: float(np.mean(values)) for int8, values in apart.items()}
    return DataScores(name, tuple(file.name for file in files), summarize(evidence), means)


def score_pale(name: str, files: list[PictureFile], entries: list[Entry]) -> PaleScores:
    """Mean chroma (C*ab) that each entry adds to gray pictures that should stay pale."""
    each: dict[str, list[float]] = {row: [] for row in ("original", "gray", *(entry.name for entry in entries))}
    for file in tqdm(files, name, unit="picture"):
        rgb = file.read()
        luma = camera_picture(rgb)
        results = {"original": rgb, "gray": gray_picture(luma), **{entry.name: entry.colorize(luma) for entry in entries}}
        for row, result in results.items():
            each[row].append(Original.of(central_square(result)).chroma)
    return PaleScores(name, tuple(file.name for file in files), {row: float(np.mean(values)) for row, values in each.items()}, each)


def _is_large(entry: Entry, small: list[str]) -> bool:
    """Whether small networks are to be judged beside this one."""
    return entry.kind == "int8" and entry.asked and entry.name not in small and not is_baseline(entry)


def _verdicts(
    entries: list[Entry], data: list[DataScores], pale: list[PaleScores], costs: dict[str, Cost], bars: Bars, small: list[str]
) -> list[Verdict]:
    found = []
    judged = [entry for entry in entries if entry.kind == "int8" and entry.asked]
    large = next((entry.name for entry in judged if _is_large(entry, small)), "")
    for entry in judged:
        partner = float_partner(entry, entries)
        for index, scores in enumerate(data):
            figures = scores.rows[entry.name].figures
            if entry.name not in small:
                found += judge_scores(scores.name, entry.name, figures, index == 0, bars)
            elif index == 0:
                found += judge_small(scores.name, entry.name, figures, scores.rows[large].figures, scores.rows["gray"].figures)
            if partner:
                real, apart = scores.rows[partner.name].figures, scores.from_float[entry.name]
                found += judge_quantization(scores.name, entry.name, figures, real, apart, bars)
        found += [judge_pale(scores.name, entry.name, scores.chroma[entry.name], bars) for scores in pale]
        found += judge_cost(entry.name, costs[entry.name], SMALL if entry.name in small else bars)
    return found


def _notes(entries: list[Entry], costs: dict[str, Cost]) -> list[str]:
    judged = [entry for entry in entries if entry.kind == "int8" and entry.asked]
    alone = [entry for entry in judged if float_partner(entry, entries) is None]
    notes = [f"{entry.name}: not compared with its float network at its size; name {entry.path.stem}-float.tflite too" for entry in alone]
    untimed = [entry for entry in judged if costs[entry.name].to_reference is None]
    return notes + [f"{entry.name}: no reference network, so time was not judged" for entry in untimed]


def data_name(folder: Path) -> str:
    """What a data set is called: its folder's own name."""
    return folder.resolve().name


def evaluate(
    entries: list[Entry], data: list[Path], reference: Path, *, pale: list[Path] | None = None, limit: int = 0, bars: Bars | None = None,
    small: list[str] | None = None,
) -> Evaluation:
    """Score every entry on every data set, first the ones with colour, then the pale ones, and measure its cost.

    bars: judge the int8 entries that were asked for by them; the first of ``data`` is the set that they are meant for. small: rows that
    are judged as small networks. Raises ConfigError when two data sets have one name, or ``small`` names no such row, PictureError for a
    picture that can not be read.
    """
    pale = pale or []
    names = [data_name(folder) for folder in (*data, *pale)]
    if len(set(names)) < len(names):
        raise ConfigError(f"two data sets have one name: {', '.join(names)}")
    small, judged = small or [], [entry.name for entry in entries if entry.kind == "int8" and entry.asked]
    if small and not (set(small) <= set(judged) and any(_is_large(entry, small) for entry in entries)):
        raise ConfigError(f"small: {', '.join(small)}: these must be int8 rows, beside a large one; of {', '.join(judged) or 'none'}")
    judge = Judge()
    scores = [score(data_name(folder), choose_pictures(folder, limit), entries, judge) for folder in data]
    pales = [score_pale(data_name(folder), choose_pictures(folder, limit), entries) for folder in pale]
    costs = measure_costs(entries, reference)
    verdicts = _verdicts(entries, scores, pales, costs, bars, small) if bars else []
    notes = _notes(entries, costs) if bars else []
    return Evaluation(tuple(scores), tuple(pales), costs, tuple(verdicts), tuple(notes))
