"""Pictures to look at: contact sheets of gray, each model and the original, and a model's worst pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.dataset import PictureFile
from convert.entries import Entry, gray_picture
from convert.evaluate import camera_picture
from convert.metrics import Picture, central_square
from convert.scores import Row
from edgecolor.errors import OutputError

_QUALITY = 92
_CAPTION = 18  # pixels of a line of text


def _cells(rgb: Picture, entries: list[Entry], side: int) -> Picture:
    """(side, side * (2 + entries), 3): gray, each entry, original."""
    luma = camera_picture(rgb)
    pictures = [gray_picture(luma), *(entry.colorize(luma) for entry in entries), rgb]
    small = [cv2.resize(central_square(picture), (side, side), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.asarray(np.hstack(small), np.uint8)


def _text(texts: list[str], width: int) -> Picture:
    """(_CAPTION, width * len(texts), 3): one line of text over each cell, made small enough to fit."""
    line = np.full((_CAPTION, width * len(texts), 3), 255, np.uint8)
    for i, text in enumerate(texts):
        shown = text.encode("ascii", "replace").decode()  # OpenCV's letters are ASCII
        needed = cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0]
        scale = 0.4 * min(1, (width - 6) / max(1, needed))
        cv2.putText(line, shown, (i * width + 3, _CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return line


def _halves(rows: list[Picture]) -> Picture:
    """Rows of equal size in two columns, with a gap."""
    half = -(-len(rows) // 2)
    rows = rows + [np.full_like(rows[0], 255)] * (2 * half - len(rows))
    gap = np.full((rows[0].shape[0] * half, 8, 3), 255, np.uint8)
    return np.asarray(np.hstack([np.vstack(rows[:half]), gap, np.vstack(rows[half:])]), np.uint8)


def _write(sheet: NDArray[np.uint8], out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = cv2.imwrite(str(out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    except cv2.error:  # a suffix that OpenCV does not know
        written = False
    if not written:
        raise OutputError(f"{out}: the sheet can not be written there")
    return out


def contact_sheet(entries: list[Entry], files: list[PictureFile], out: Path, side: int = 192, titles: bool = False) -> Path:
    """Two pictures per row, each as gray, each entry, original; cells are ``side`` pixels wide. Raises OutputError."""
    sheet = _halves([_cells(file.read(), entries, side) for file in files])
    if titles:
        head = _text(["gray", *(entry.name for entry in entries), "original"], side)
        sheet = np.asarray(np.vstack([np.hstack([head, np.full((_CAPTION, 8, 3), 255, np.uint8), head]), sheet]), np.uint8)
    return _write(sheet, out)


def worst_pictures(row: Row, count: int = 20) -> list[int]:
    """Indices of a row's pictures with the largest ab distance, worst first."""
    return [int(i) for i in np.argsort(-row.each["ab_distance"], kind="stable")[:count]]


def worst_sheet(entry: Entry, ranked: list[tuple[PictureFile, float]], out: Path, side: int = 192) -> Path:
    """Gray, the entry's guess and the original of each ranked picture, captioned with its name and ab distance."""
    rows = []
    for file, distance in ranked:
        caption = _text([f"{Path(file.name).name}: ab distance {distance:.1f} ({entry.name})"], 3 * side)
        rows.append(np.asarray(np.vstack([caption, _cells(file.read(), [entry], side)]), np.uint8))
    return _write(_halves(rows), out)
