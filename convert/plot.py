"""A run's log as a picture: what the loss, the colour error and the amount of colour did over time."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_PANELS = (
    ("loss", "training loss"),
    ("val_ab_to_gray", "ab distance, validation (gray = 1)"),
    ("val_chroma", "mean chroma, validation (original = 1)"),
)


def plot_log(log: Path, out: Path) -> None:
    """Draw ``log.csv`` of a run; each stage has its own line, over the steps of all stages before it."""
    rows = list(csv.DictReader(log.read_text().splitlines()))
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(12, 3.4), layout="constrained")
    start = 0
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = [row for row in rows if row["stage"] == stage]
        steps = [start + int(row["step"]) for row in mine]
        for axis, (key, _) in zip(axes, _PANELS, strict=True):
            axis.plot(steps, [float(row[key]) for row in mine], marker=".", label=stage)
        start = steps[-1]
    for axis, (_, title) in zip(axes, _PANELS, strict=True):
        axis.set(title=title, xlabel="steps")
        axis.grid(alpha=0.3)
    axes[0].legend()
    part = out.with_name(f"part-{out.name}")
    figure.savefig(part, dpi=110)
    plt.close(figure)
    part.rename(out)
