"""What each model costs: parameters, multiply-accumulates, bytes, and milliseconds beside MobileNetV2 in the same run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.entries import Entry, KerasNetwork
from convert.export import count_macs, count_parameters
from convert.operators import inspect
from edgecolor import benchmark
from edgecolor.colorizer import TfliteNetwork
from edgecolor.quantization import quantize

REFERENCE = Path(__file__).parent.parent / "tests" / "benchmarks" / "mobilenet_v2_1.0_224_int8.tflite"
_ROUNDS = 40


@dataclass(frozen=True)
class Cost:
    """One model's cost. macs: per picture. ms: one invocation on one thread, median; None for what is not TFLite.

    to_reference: ms as a multiple of the reference network's in the same run; None without the reference.
    """

    parameters: int
    macs: int
    bytes: int
    ms: float | None
    to_reference: float | None


def measure_costs(entries: list[Entry], reference: Path, rounds: int = _ROUNDS) -> dict[str, Cost]:
    """Cost of each entry by its name. reference: an int8 .tflite; where there is none, no ratio is given.

    All networks run in turn, round by round, on one thread each, so that a busy moment falls on all alike.
    """
    rng = np.random.default_rng(0)
    stages: dict[str, Callable[[], Any]] = {}
    for entry in entries:
        if entry.kind != "keras":
            # Like the reference: the network alone, from its input tensor to its output tensor.
            interpreter = TfliteNetwork(entry.path, None, 1, None).interpreter
            taken, real = interpreter.input, rng.uniform(-1, 1, interpreter.input.shape)
            given = quantize(real, taken.scale, taken.zero_point) if taken.scale else real.astype(taken.dtype)
            stages[entry.name] = functools.partial(interpreter.invoke, given)
    if reference.is_file():
        scale = benchmark.load_reference(reference, None, 1)
        noise = rng.integers(-128, 128, scale.input.shape).astype(scale.input.dtype)
        stages["/reference"] = functools.partial(scale.invoke, noise)  # no file's name has a slash
    ms = benchmark.interleaved_medians(stages, rounds)
    unit = ms.get("/reference")
    return {entry.name: _cost(entry, ms.get(entry.name), unit) for entry in entries}


def _cost(entry: Entry, ms: float | None, unit: float | None) -> Cost:
    network, size = entry.colorizer.network, entry.path.stat().st_size
    ratio = ms / unit if ms and unit else None
    if isinstance(network, KerasNetwork):
        return Cost(count_parameters(network.model), count_macs(network.model), size, ms, ratio)
    report = inspect(entry.path.read_bytes())
    return Cost(report.parameters, report.macs, size, ms, ratio)
