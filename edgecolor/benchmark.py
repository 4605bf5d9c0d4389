"""Where the time of a live frame goes on this board, stage by stage, beside a reference network in the same run.

Stages are measured in turn, round by round, so that a busy moment falls on all of them alike; medians are reported.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edgecolor import upsample
from edgecolor.assets import find_media
from edgecolor.color import ab_to_chroma, chroma_excursion
from edgecolor.colorizer import Colorizer, Guess, TfliteNetwork, shrink
from edgecolor.errors import ModelError
from edgecolor.frame import chroma_shape
from edgecolor.interpreter import Interpreter

SIZES = ((640, 480), (1280, 720))
QUALITY = 80
NETWORK_STAGES = ("lookup + invoke",)


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of each stage at one frame size (width, height), and of what they are compared with."""

    size: tuple[int, int]
    stages: dict[str, float]
    reencode: float  # decode the frame's own JPEG to planes' worth of pixels and encode it again, nothing else
    reference: float | None  # one invocation of the reference network

    @property
    def total(self) -> float:
        return sum(self.stages.values())

    @property
    def beside_network(self) -> float:
        """All stages but the network's own, as a multiple of a plain re-encode."""
        return (self.total - sum(self.stages[name] for name in NETWORK_STAGES)) / self.reencode


def demo_luma(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A real frame's luma: the first of the bundled clip, at ``size`` (width, height)."""
    import av

    with av.open(str(find_media("demo.mp4"))) as container:
        frame = next(container.decode(video=0))
    return np.asarray(cv2.resize(frame.to_ndarray(format="gray"), size, interpolation=cv2.INTER_CUBIC), np.uint8)


def interleaved_medians(stages: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each stage, measured in turn, round by round."""
    times: dict[str, list[float]] = {name: [] for name in stages}
    for turn in range(rounds + 2):
        for name, stage in stages.items():
            start = perf_counter()
            stage()
            if turn >= 2:  # the first rounds fill caches
                times[name].append(1000 * (perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def measure(colorizer: Colorizer, reference: Interpreter | None, size: tuple[int, int], rounds: int = 60) -> Timing:
    """Time every stage of the live path at one frame size (width, height)."""
    network = colorizer.network
    luma = demo_luma(size)
    small = (network.size[1], network.size[0])
    shape = chroma_shape(luma.shape)
    guide, half = shrink(luma, small), shrink(luma, (shape[1], shape[0]))
    ab = network(guide, "full")
    level = shrink(guide, (ab.shape[1], ab.shape[0])) / np.float32(255)
    guess = Guess(ab_to_chroma(level, ab), guide)
    cb, cr = guess.planes(luma)
    excursion = chroma_excursion(np.uint8, "full")
    jpeg = simplejpeg.encode_jpeg_yuv_planes(luma, cb, cr, QUALITY)
    noise = None
    if reference:
        info = np.iinfo(reference.input.dtype) if reference.input.dtype.kind in "iu" else None
        if info is None:
            raise ModelError(f"the reference network takes {reference.input.dtype}; an int8 or uint8 one is needed")
        noise = np.random.default_rng(0).integers(info.min, info.max, reference.input.shape, reference.input.dtype, endpoint=True)

    def reencode() -> None:
        simplejpeg.encode_jpeg(simplejpeg.decode_jpeg(jpeg, "BGR"), QUALITY, "BGR", "420")

    stages: dict[str, Callable[[], Any]] = {
        "resize": lambda: shrink(luma, small),
        "lookup + invoke": lambda: network(guide, "full"),
        "ab to chroma": lambda: ab_to_chroma(level, ab),
        "guided fit": lambda: upsample.fit(guess.grid, guide),
        "guided planes": lambda: upsample.apply_to_planes(guess.lines, shrink(luma, (half.shape[1], half.shape[0])), excursion),
        "jpeg": lambda: simplejpeg.encode_jpeg_yuv_planes(luma, cb, cr, QUALITY),
        "re-encode": reencode,
    }
    if reference:
        stages["reference"] = lambda: reference.invoke(noise)  # type: ignore[arg-type]
    medians = interleaved_medians(stages, rounds)
    plain, compared = medians.pop("re-encode"), medians.pop("reference", None)
    return Timing(size, medians, plain, compared)


def load_reference(path: Path, runtime: str | None, threads: int | None) -> Interpreter:
    """Any .tflite with one input and one output, as a scale for this board. Raises ModelError when it is not one."""
    if not path.is_file():
        raise ModelError(f"{path}: no such reference model")
    return Interpreter(path.read_bytes(), runtime, threads)


def describe_model(colorizer: Colorizer) -> dict[str, Any]:
    """Which model, runtime and threads the figures belong to."""
    network = colorizer.network
    if not isinstance(network, TfliteNetwork):
        raise ModelError("only a TFLite model can be benchmarked")
    run = network.interpreter
    return {"model": network.model.name, "sha256": network.model.card["sha256"], "runtime": run.runtime, "threads": run.threads,
            "delegated": run.delegated}
