"""An evaluation written down: Markdown tables for people, JSON for cards and later comparisons."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from convert.evaluate import DataScores, Evaluation, PaleScores
from convert.files import write_file
from convert.scores import FRECHET_RESAMPLES, RESAMPLES, Figures, Row

# figure -> its column's title, decimals, factor
_COLUMNS: dict[str, tuple[str, int, float]] = {
    "psnr": ("PSNR dB", 2, 1), "psnr_gain": ("- gray's", 2, 1), "psnr_pooled": ("pooled PSNR", 2, 1),
    "ab_distance": ("ab distance", 2, 1), "ab_to_gray": ("/ gray's", 3, 1), "ciede2000": ("CIEDE2000", 2, 1), "auc": ("AuC", 3, 1),
    "colorfulness": ("colourfulness", 1, 1), "colorfulness_share": ("% of original", 0, 100),
    "colorfulness_difference": ("difference", 1, 1),
    "frechet": ("Frechet (Lite0, 256 px)", 1, 1), "frechet_to_gray": ("/ gray's", 3, 1), "agreement": ("top-1 agreement", 3, 1),
    "agreement_gain": ("- gray's", 3, 1),
}
_PROTOCOL = (
    "Gray input: Rec. 601 luma. The runtime colorizes at the picture's own size; compared at 256x256 (centre square, area). Frechet: over "
    "EfficientNet-Lite0's 320 pooled features of 256x256 pictures, not comparable with Inception FID. Difference: mean |colourfulness - "
    "original's| per picture."
)
_INTERVALS = (
    f"Value ± half of the 95 % interval, by the bootstrap over pictures: {RESAMPLES} draws ({FRECHET_RESAMPLES} for the Frechet distance), "
    "the same ones for every row"
)

_LEAST_PER_SOURCE = 10
_NO_COLOUR = 1e-6  # mean ab distance of gray from pictures that are gray themselves


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(cells) + " |" for cells in body)]


def _cell(figures: Figures, key: str, half_widths: Figures | None) -> str:
    if key not in figures:
        return ""
    _, digits, factor = _COLUMNS[key]
    text = f"{figures[key] * factor:.{digits}f}"
    return text if half_widths is None else f"{text} ± {half_widths[key] * factor:.{digits}f}"


def _scores(scores: DataScores) -> list[str]:
    head = ["", *(title for title, _, _ in _COLUMNS.values())]
    plain = [[name, *(_cell(row.figures, key, None) for key in _COLUMNS)] for name, row in scores.rows.items()]
    ranges = [[name, *(_cell(row.figures, key, row.half_widths) for key in _COLUMNS)] for name, row in scores.rows.items()]
    title = f"### {scores.name}, {len(scores.pictures)} pictures"
    lines = [title, "", *_table(head, plain), "", f"{_INTERVALS}:", "", *_table(head, ranges), ""]
    return lines + [f"{int8}: mean |ab difference| from its float network {value:.2f}" for int8, value in scores.from_float.items()]


def _sources(scores: DataScores) -> list[str]:
    """What the averages hide: ab distance / gray's where names begin with their source, as in ``source-number.jpg``."""
    members: dict[str, list[int]] = {}
    for index, name in enumerate(scores.pictures):
        source, dash, _ = Path(name).name.rpartition("-")
        if dash:
            members.setdefault(source, []).append(index)
    large = {source: chosen for source, chosen in sorted(members.items()) if len(chosen) >= _LEAST_PER_SOURCE}
    if len(large) < 2:
        return []
    rows = [name for name in scores.rows if name not in ("original", "gray")]
    body = []
    for source, chosen in large.items():
        gray, *theirs = (float(scores.rows[name].each["ab_distance"][chosen].mean()) for name in ("gray", *rows))
        body.append([source, str(len(chosen)), f"{gray:.1f}", *(f"{value / gray:.2f}" if gray > _NO_COLOUR else "-" for value in theirs)])
    title = f"By source, of which there are {_LEAST_PER_SOURCE} pictures or more: ab distance of gray, and / gray's of the others"
    return ["", f"{title}:", "", *_table(["source", "pictures", "gray", *rows], body)]


def _pale(scores: PaleScores) -> list[str]:
    worst = {name: max(zip(values, scores.pictures, strict=True)) for name, values in scores.each.items()}
    body = [[name, f"{value:.2f}", f"{worst[name][0]:.2f} ({worst[name][1]})"] for name, value in scores.chroma.items()]
    return [f"### {scores.name}, {len(scores.pictures)} pictures that should stay pale", "", *_table(["", "mean chroma", "most"], body), ""]


def _costs(evaluation: Evaluation) -> list[str]:
    body = []
    for name, cost in evaluation.costs.items():
        ms = "" if cost.ms is None else f"{cost.ms:.2f}"
        ratio = "" if cost.to_reference is None else f"{cost.to_reference:.2f}"
        body.append([name, f"{cost.parameters:,}", f"{cost.macs / 1e6:.1f}", f"{cost.bytes / 1e6:.2f}", ms, ratio])
    lines = ["### Cost", "", *_table(["", "parameters", "MACs, M", "file, MB", "ms, one thread", "network / reference"], body), ""]
    if all(cost.to_reference is None for cost in evaluation.costs.values()):
        return [*lines, "The reference network is missing: `python -m convert reference` makes it."]
    return [*lines, "Reference: MobileNetV2-1.0-224 int8, in the same run, median of interleaved rounds."]


def markdown(evaluation: Evaluation) -> str:
    """All tables, and a line per bar."""
    lines = [_PROTOCOL, ""]
    for scores in evaluation.data:
        lines += [*_scores(scores), *_sources(scores), ""]
    for pale in evaluation.pale:
        lines += _pale(pale)
    lines += _costs(evaluation)
    if evaluation.verdicts:
        lines += ["", "### Bars", "", *(f"- {line}" for line in (*evaluation.verdicts, *evaluation.notes))]
    return "\n".join(lines) + "\n"


def _round(figures: dict[str, float | None]) -> Figures:
    return {key: round(value, 6) for key, value in figures.items() if value is not None}


def _interval(row: Row, key: str) -> list[float]:
    value, half = row.figures[key], row.half_widths[key]
    return [round(value - half, 4), round(value + half, 4)]


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Data set -> {"pictures", "rows": {row: figures and cost}, "intervals": {row: {figure: [low, high]}}, "names", "each", "bars"}.

    "each" holds every picture's own figures, {row: {figure: [...]}} in the order of "names". A pale data set's rows have
    the one figure "chroma".
    """
    table: dict[str, Any] = {}
    costs = {name: dataclasses.asdict(cost) for name, cost in evaluation.costs.items()}
    for scores in evaluation.data:
        rows = {name: {**_round(dict(row.figures)), **_round(costs.get(name, {}))} for name, row in scores.rows.items()}
        for int8, value in scores.from_float.items():
            rows[int8]["float_ab_difference"] = round(value, 4)
        intervals = {name: {key: _interval(row, key) for key in row.figures} for name, row in scores.rows.items()}
        each = {name: {key: [round(float(v), 4) for v in values] for key, values in row.each.items()} for name, row in scores.rows.items()}
        table[scores.name] = {
            "pictures": len(scores.pictures), "rows": rows, "intervals": intervals, "names": list(scores.pictures), "each": each,
        }
    for pale in evaluation.pale:
        each = {name: {"chroma": [round(v, 4) for v in values]} for name, values in pale.each.items()}
        rows = {name: {"chroma": round(value, 4)} for name, value in pale.chroma.items()}
        table[pale.name] = {"pictures": len(pale.pictures), "rows": rows, "names": list(pale.pictures), "each": each}
    for name, part in table.items():
        part["bars"] = [dataclasses.asdict(verdict) for verdict in evaluation.verdicts if verdict.data in (name, "")]
    return table


def save(evaluation: Evaluation, markdown_path: Path | None, json_path: Path | None) -> None:
    """Write the tables and the JSON where asked."""
    # The JSON first: what it holds took long to measure, and the tables can be drawn again.
    if json_path:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        write_file(json_path, (json.dumps(to_json(evaluation)) + "\n").encode())
    if markdown_path:
        markdown_path.parent.mkdir(parents=True, exist_ok=True)
        write_file(markdown_path, markdown(evaluation).encode())
