"""The live path, stage by stage and in one thread, for whoever counts its instructions: python -m tests.benchmarks.workload [MODEL...]

Each further MODEL.tflite is a stage by its file's name: its network alone.

os.getsid marks the moments between stages (tests/benchmarks/count.c looks for it). Prints the names of the stages as JSON;
there is one mark before the first stage and one after each, in each of ROUNDS rounds, of which the first WARM_UP fill caches.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecolor.benchmark import SIZES, demo_luma, load_reference
from edgecolor.colorizer import Colorizer, Guess, TfliteNetwork, shrink
from edgecolor.frame import Frame
from edgecolor.jpeg import encode_jpeg
from edgecolor.temporal import Smoother

REFERENCE = Path(__file__).parent / "mobilenet_v2_1.0_224_int8.tflite"
WARM_UP, ROUNDS = 2, 7
RATE = 25.0  # frames a second, which only the smoother asks for


def stages_of(size: tuple[int, int], colorizer: Colorizer) -> dict[str, Callable[[], Any]]:
    """What is done for a guess, and what is done for each frame that is sent, as in edgecolor.chroma and edgecolor.pipeline."""
    luma, smoother = demo_luma(size), Smoother()
    newest: list[Guess] = []
    time = 0.0

    def guess() -> None:
        nonlocal time
        time += 1 / RATE
        raw = colorizer.guess(luma)
        newest[:] = [Guess(smoother(raw.grid, raw.guide, time), raw.guide)]
        _ = newest[0].lines

    def send() -> None:
        encode_jpeg(Frame(luma, *newest[0].planes(luma), captured=time))

    return {f"guess {size[0]}x{size[1]}": guess, f"send {size[0]}x{size[1]}": send}


def main() -> None:
    """Run the rounds."""
    cv2.setNumThreads(1)
    colorizer = Colorizer(threads=1)
    network, reference = colorizer.network, load_reference(REFERENCE, None, 1)
    assert isinstance(network, TfliteNetwork) and network.interpreter.delegated and reference.delegated
    noise = np.random.default_rng(0).integers(-128, 127, reference.input.shape, np.int8, endpoint=True)
    guide = shrink(demo_luma(SIZES[0]), (network.size[1], network.size[0]))
    stages: dict[str, Callable[[], Any]] = {"reference": lambda: reference.invoke(noise), "network": lambda: network(guide, "full")}
    for path in map(Path, sys.argv[1:]):
        other = load_reference(path, None, 1)
        assert other.delegated
        stages[path.stem] = functools.partial(other.invoke, np.zeros(other.input.shape, np.int8))
    for size in SIZES:
        stages |= stages_of(size, colorizer)
    print(json.dumps(list(stages)))
    gc.disable()  # it would run within one stage for the garbage of others
    for _ in range(ROUNDS):
        os.getsid(0)
        for stage in stages.values():
            stage()
            os.getsid(0)


if __name__ == "__main__":
    main()
