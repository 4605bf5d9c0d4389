"""What lifting chroma from the network's grid costs in fidelity: python -m tests.benchmarks.lifting --data PICTURES [--limit N]

Three ways to enlarge a grid of chroma under full-resolution luma, once with the true chroma on the grid (what no network could do
better) and once with the network's guess: plain bilinear, the fast guided filter (He and Sun 2015), and edgecolor.upsample.
Prints PSNR, mean ab distance and Frechet distance as in ``convert evaluate``; chroma of half the picture's size (4:2:0) without any
grid is there as the bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.evaluate import camera_picture, choose_pictures
from convert.metrics import Judge, Original, Picture, central_square, compare, frechet_distance
from edgecolor import Colorizer, upsample
from edgecolor.color import rgb_to_chroma
from edgecolor.colorizer import shrink
from edgecolor.pictures import fit_gamut

Lift = Callable[[NDArray[np.float32], NDArray[np.uint8], Picture], NDArray[np.float32]]


def bilinear(grid: NDArray[np.float32], guide: NDArray[np.uint8], luma: Picture) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(grid, luma.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def guided_filter(grid: NDArray[np.float32], guide: NDArray[np.uint8], luma: Picture) -> NDArray[np.float32]:
    """He and Sun 2015 (arXiv:1505.00996): radius 1 on the grid, epsilon 0.001, slopes and offsets averaged over the window."""
    small = shrink(guide, (grid.shape[1], grid.shape[0])).astype(np.float32)

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(x, (3, 3), borderType=cv2.BORDER_REFLECT), np.float32)

    middle = mean(small)
    variance = mean(small * small) - middle * middle + np.float32(0.001 * 255**2)
    planes = []
    for channel in np.moveaxis(grid, -1, 0):
        slope = (mean(channel * small) - mean(channel) * middle) / variance
        offset = mean(channel) - slope * middle
        large = [cv2.resize(mean(x), luma.shape[::-1], interpolation=cv2.INTER_LINEAR) for x in (slope, offset)]
        planes.append(large[0] * luma + large[1])
    return np.stack(planes, -1)


def ours(grid: NDArray[np.float32], guide: NDArray[np.uint8], luma: Picture) -> NDArray[np.float32]:
    return upsample.apply(upsample.fit(grid, guide), luma)


LIFTS: dict[str, Lift] = {"bilinear": bilinear, "guided filter": guided_filter, "edgecolor.upsample": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0)
    arguments = parser.parse_args()
    colorizer, judge = Colorizer(), Judge()
    squares: dict[str, list[Picture]] = {"original": [], "gray": []}
    figures: dict[str, list[dict[str, float]]] = {}
    for file in choose_pictures(arguments.data, arguments.limit):
        rgb = file.read()
        luma, original = camera_picture(rgb), Original.of(central_square(rgb))
        truth = rgb_to_chroma(rgb / np.float32(255))
        guess = colorizer.guess(luma)
        height, width = guess.grid.shape[:2]
        half = cv2.resize(truth, (-(-luma.shape[1] // 2), -(-luma.shape[0] // 2)), interpolation=cv2.INTER_AREA)
        rows = {"gray": np.zeros_like(truth), "true chroma, 4:2:0": bilinear(half, guess.guide, luma)}
        for whose, grid in (("true", cv2.resize(truth, (width, height), interpolation=cv2.INTER_AREA)), ("guessed", guess.grid)):
            rows |= {f"{whose} grid, {name}": lift(grid, guess.guide, luma) for name, lift in LIFTS.items()}
        squares["original"].append(original.rgb)
        for name, chroma in rows.items():
            square = central_square(fit_gamut(luma, chroma))
            squares.setdefault(name, []).append(square)
            figures.setdefault(name, []).append(compare(original, square))
    truth_features = judge.look(squares["original"]).features
    distances = {name: frechet_distance(judge.look(squares[name]).features, truth_features) for name in figures}
    print("| | PSNR dB | ab distance | Frechet / gray's |\n|---|---|---|---|")
    for name, rows_of in figures.items():
        psnr, ab = (float(np.mean([row[key] for row in rows_of])) for key in ("psnr", "ab_distance"))
        print(f"| {name} | {psnr:.2f} | {ab:.2f} | {distances[name] / distances['gray']:.3f} |")


if __name__ == "__main__":
    main()
