"""From each picture's figures to a row of the table: means, ratios to gray, and 95 % intervals by the bootstrap.

Intervals: pictures are drawn anew with replacement, the same ones for every row, so that a ratio to gray varies as a
ratio; value +- 1.96 standard deviations over the draws (Efron and Tibshirani 1993, the standard interval). Percentiles
would not do: a Frechet distance over drawn pictures is larger throughout, because fewer of them differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.metrics import Gaussian, Seen

RESAMPLES = 200
FRECHET_RESAMPLES = 100  # a draw costs an eigenvalue problem of 320 per row
_SEED = 4
_MEANS = ("psnr", "ab_distance", "ciede2000", "auc", "colorfulness", "colorfulness_difference", "chroma")
Figures = dict[str, float]


@dataclass(frozen=True)
class Evidence:
    """Each picture's own figures for one row: name -> (N,), and what the judge saw of its N pictures."""

    each: dict[str, NDArray[np.float64]]
    seen: Seen


@dataclass(frozen=True)
class Row:
    """One row: figures over all pictures, half of each 95 % interval's width, and each picture's own figures."""

    figures: Figures
    half_widths: Figures
    each: dict[str, NDArray[np.float64]]


def _figures(evidence: dict[str, Evidence], index: NDArray[Any], frechet: bool) -> dict[str, Figures]:
    """Every row's figures over the pictures at ``index``. evidence holds "original" and "gray" besides the models."""
    truth = evidence["original"]
    table = {name: {key: float(row.each[key][index].mean()) for key in _MEANS if key in row.each} for name, row in evidence.items()}
    target = Gaussian.of(truth.seen.features[index]) if frechet else None
    for name, row in evidence.items():
        if name == "original":
            continue
        table[name]["psnr_pooled"] = float(10 * np.log10(255**2 / max(1e-3, row.each["mse"][index].mean())))
        table[name]["agreement"] = float(row.each["agreement"][index].mean())
        if target:
            table[name]["frechet"] = target.distance(Gaussian.of(row.seen.features[index]))
    gray, original = table["gray"], table["original"]
    for name, figures in table.items():
        if name == "original":
            continue
        figures["psnr_gain"] = figures["psnr"] - gray["psnr"]
        figures["ab_to_gray"] = figures["ab_distance"] / max(gray["ab_distance"], 1e-9)
        figures["colorfulness_share"] = figures["colorfulness"] / max(original["colorfulness"], 1e-9)
        figures["agreement_gain"] = figures["agreement"] - gray["agreement"]
        if target:
            figures["frechet_to_gray"] = figures["frechet"] / max(gray["frechet"], 1e-9)
    return table


def summarize(evidence: dict[str, Evidence], resamples: int = RESAMPLES, frechet_resamples: int = FRECHET_RESAMPLES) -> dict[str, Row]:
    """Every row with its intervals. evidence: "original", "gray" and the models, over the same N pictures."""
    count = len(evidence["gray"].each["psnr"])
    rng = np.random.default_rng(_SEED)
    draws = [
        _figures(evidence, rng.integers(0, count, count), draw < frechet_resamples) for draw in range(max(resamples, frechet_resamples))
    ]
    rows = {}
    for name, figures in _figures(evidence, np.arange(count), True).items():
        drawn = {key: [draw[name][key] for draw in draws if key in draw[name]] for key in figures}
        widths = {key: 1.96 * float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for key, values in drawn.items()}
        rows[name] = Row(figures, widths, evidence[name].each)
    return rows
