"""Do guessed colours flicker? A Markdown table: python -m tests.benchmarks.flicker --data DIR

Each clip's own colours are thrown away and guessed again, frame by frame and smoothed. Warp error: mean distance in a*, b* between
a frame and the one before it, moved along optical flow of the luma, where flow is sure (Lai et al. 2018). CDC: colour distribution
consistency, Jensen-Shannon divergence of RGB histograms over 1, 2 and 4 frames (Liu et al. 2021), times 1000. PSNR: RGB, dB.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from edgecolor.color import luma_codes, rgb_to_lab, ycbcr_to_rgb
from edgecolor.colorizer import Colorizer, Guess, shrink
from edgecolor.frame import Frame
from edgecolor.sources.planes import frame_of
from edgecolor.videos.job import AHEAD_S
from edgecolor.videos.motion import Motion
from edgecolor.videos.options import VideoOptions
from edgecolor.videos.smoothing import Smoothing, Step

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")
_STEPS = (1, 2, 4)
_BINS = 256

Color = np.ndarray  # (h, w, 3) float32 sRGB


def read(path: Path, count: int, width: int) -> tuple[list[Frame], float]:
    """The first frames of a clip, at most ``width`` pixels wide, with chroma; and frames a second."""
    frames = []
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or 25)
        for number, picture in enumerate(container.decode(video=0)):
            if number == count:
                break
            if picture.width > width:
                height = round(picture.height * width / picture.width / 2) * 2
                picture = picture.reformat(width=width, height=height, format="yuv420p", interpolation="AREA")
            frames.append(frame_of(picture, pts=number / rate, captured=0.0, sequence=number))
    return frames, rate


def colors(frame: Frame, cb: np.ndarray, cr: np.ndarray) -> Color:
    """sRGB at the size of the chroma planes."""
    luma = luma_codes(np.uint8, frame.color_range)[shrink(frame.y, (cb.shape[1], cb.shape[0]))]
    excursion = 255 if frame.color_range == "full" else 224
    chroma = (np.stack([cb, cr], -1).astype(np.float32) - 128) / np.float32(excursion)
    return np.clip(ycbcr_to_rgb(luma, chroma, frame.matrix), 0, 1)


class Flows:
    """Flow of luma from each frame to the one before it, with the places where it is sure: the judge, finer than what is judged."""

    def __init__(self, frames: list[Frame]) -> None:
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.maps, self.masks = [], []
        height, width = frames[0].cb.shape
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        small = [shrink(frame.y, (width, height)) for frame in frames]
        for old, new in pairwise(small):
            back, ahead = flow.calc(new, old, None), flow.calc(old, new, None)
            places = columns + back[..., 0], rows + back[..., 1]
            home = back + cv2.remap(ahead, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(1e3, 1e3))
            length = (back**2).sum(-1) + (ahead**2).sum(-1)
            same = np.abs(cv2.remap(old, *places, cv2.INTER_LINEAR).astype(np.float32) - new) < 10
            self.maps.append(places)
            self.masks.append(((home**2).sum(-1) < 0.01 * length + 0.5) & same)

    def error(self, pictures: list[Color]) -> float:
        """Mean |ab_t - warp(ab_{t-1})| where flow is sure."""
        lab = [rgb_to_lab(picture)[..., 1:] for picture in pictures]
        errors = []
        for number, (places, mask) in enumerate(zip(self.maps, self.masks, strict=True)):
            if mask.mean() > 0.2:  # else a cut
                moved = cv2.remap(lab[number], *places, cv2.INTER_LINEAR)
                errors.append(float(np.linalg.norm(lab[number + 1] - moved, axis=-1)[mask].mean()))
        return float(np.mean(errors))


def distribution_consistency(pictures: list[Color]) -> float:
    """CDC: mean Jensen-Shannon divergence of the histograms of R, G and B between frames 1, 2 and 4 apart."""
    histograms = []
    for picture in pictures:
        codes = np.rint(picture * 255).astype(np.intp)
        histograms.append(np.stack([np.bincount(codes[..., c].ravel(), minlength=_BINS) for c in range(3)]) / codes[..., 0].size)

    def divergence(p: np.ndarray, q: np.ndarray) -> float:
        middle = (p + q) / 2

        def relative(x: np.ndarray) -> np.ndarray:
            return np.where(x > 0, x * np.log(np.maximum(x, 1e-12) / np.maximum(middle, 1e-12)), 0).sum(-1)

        return float(((relative(p) + relative(q)) / 2).mean())

    means = [np.mean([divergence(a, b) for a, b in zip(histograms, histograms[step:], strict=False)]) for step in _STEPS]
    return float(np.mean(means))


def smoothed(guesses: list[Guess], frames: list[Frame], options: VideoOptions, rate: float) -> list[Guess]:
    """The guesses as the video engine smooths them; only every ``options.every``-th is used."""
    motion, smoothing = Motion(guesses[0].grid.shape[:2]), Smoothing(options.smoothing)
    steps = [Step(frame.pts or 0.0, guess.guide) for guess, frame in zip(guesses, frames, strict=True)]
    placed = 0
    for number in range(len(steps) + 1):
        over, due = number == len(steps), number % options.every == 0
        for place in motion.rest() if over else motion.push(steps[number].guide, due=due):
            steps[placed].place = place
            if place.link is None or placed % options.every == 0:
                steps[placed].grid = guesses[placed].grid
            placed += 1
    ahead = round(AHEAD_S * rate)
    return [Guess(smoothing(steps[n : n + ahead + 1]), guess.guide) for n, guess in enumerate(guesses)]


def psnr(pictures: list[Color], truth: list[Color]) -> float:
    """Of the mean square error of all."""
    return float(-10 * np.log10(np.mean([np.mean((a - b) ** 2) for a, b in zip(pictures, truth, strict=True)])))


def measure(path: Path, colorizer: Colorizer, options: VideoOptions, count: int, width: int) -> list[float]:
    """Warp error, CDC and PSNR: of the original, frame by frame, smoothed."""
    frames, rate = read(path, count, width)
    flows = Flows(frames)
    guesses = [colorizer.guess(frame.y, frame.color_range, frame.matrix) for frame in frames]
    truth = [colors(frame, frame.cb, frame.cr) for frame in frames]
    figures = [flows.error(truth), 1000 * distribution_consistency(truth)]
    for kind in (guesses, smoothed(guesses, frames, options, rate)):
        pictures = [colors(frame, *guess.planes(frame.y, frame.color_range)) for guess, frame in zip(kind, frames, strict=True)]
        figures += [flows.error(pictures), 1000 * distribution_consistency(pictures), psnr(pictures, truth)]
    return figures


def main() -> None:
    """Measure all clips of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--every", type=int, default=VideoOptions.every)
    parser.add_argument("--smoothing", type=float, default=VideoOptions.smoothing)
    parser.add_argument("--model", default="edgecolor")
    arguments = parser.parse_args()
    colorizer = Colorizer(arguments.model)
    options = VideoOptions(every=arguments.every, smoothing=arguments.smoothing)
    names = ("by frame", "smoothed", "ratio")
    heads = ["clip", "warp: original", *names, "CDC: original", *names, "PSNR by frame", "smoothed", "gain"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    rows = []
    for path in sorted(arguments.data.iterdir()):
        if path.suffix in SUFFIXES:
            rows.append(measure(path, colorizer, options, arguments.frames, arguments.width))
            print(row(path.stem, rows[-1]), flush=True)
    print(row("mean", list(np.mean(rows, axis=0))))


def row(name: str, figures: list[float]) -> str:
    """A line of the table."""
    e0, c0, e1, c1, p1, e2, c2, p2 = figures
    cells = (f"{e0:.3f}", f"{e1:.3f}", f"{e2:.3f}", f"{e2 / e0:.2f}", f"{c0:.3f}", f"{c1:.3f}", f"{c2:.3f}", f"{c2 / c0:.2f}",
             f"{p1:.2f}", f"{p2:.2f}", f"{p2 - p1:+.2f}")  # fmt: skip
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
