"""The only importer of a TFLite runtime: loads a model, chooses threads, applies a delegate, invokes.

Runtimes: ``litert`` (ai-edge-litert, the successor of tflite-runtime, with XNNPACK for int8) and ``tflite``
(tflite-runtime 2.14, which runs int8 without XNNPACK, several times slower). Asked-for and absent is an error.

Each gives the same on x86-64 as on arm64. tflite-runtime's kernels for x86-64 round halves below zero up, and all the others,
those for Arm among them, away from zero: one value in ten thousand is off by one, and sixty layers make several steps of it. So
its reference kernels run int8 on x86-64, which takes 2.5 times as long there and costs no board anything.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecolor import edgetpu
from edgecolor.errors import ConfigError, DelegateLostError, ModelError, RuntimeMissingError

RUNTIMES = {"litert": ("ai_edge_litert.interpreter", "ai-edge-litert"), "tflite": ("tflite_runtime.interpreter", "tflite-runtime")}


@dataclass(frozen=True)
class Tensor:
    """A model's input or output: shape, dtype and quantization (scale 0.0 when it is not quantized)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int


def available_runtimes() -> dict[str, str]:
    """Installed runtimes in order of preference: name -> version."""
    found = {}
    for name, (_, package) in RUNTIMES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def free_cores(seconds: float = 0.2) -> int:
    """Cores this process may use that are idle now, measured over ``seconds``; at least 1.

    Not by the load average: for a minute that holds the work of a service's former life against its next one.
    """
    before = _ticks()
    sleep(seconds)
    pairs = zip(before, _ticks(), strict=False)
    idle = sum((rest - rest_before) / max(1, passed - passed_before) for (rest_before, passed_before), (rest, passed) in pairs)
    return max(1, round(idle))


def _ticks() -> list[tuple[int, int]]:
    """(idle, all) ticks since boot of each core this process may use, from /proc/stat (proc(5))."""
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    counts = [[int(count) for count in line[1:9]] for line in lines if line[0] in names]
    return [(count[3] + count[4], sum(count)) for count in counts]  # waiting for a disk is idle too


def usual_threads(runtime: str) -> int:
    """How many threads a network gets that nobody chose a number for.

    litert: one for each core this process may use. Threads beyond the free cores cost it little, missing ones much, and what is busy at
    the start may not be so for the months that a service runs. tflite-runtime: the cores that are free now; with more it gets far slower.
    """
    return len(os.sched_getaffinity(0)) if runtime == "litert" else free_cores()


def load_runtime(runtime: str | None) -> tuple[str, Any]:
    """Name and module of a TFLite runtime; None: the first installed. Raises ConfigError, RuntimeMissingError."""
    names = [runtime] if runtime else list(RUNTIMES)
    for name in names:
        if name not in RUNTIMES:
            raise ConfigError(f"runtime {name!r} is unknown; choose one of {', '.join(RUNTIMES)}")
        try:
            return name, importlib.import_module(RUNTIMES[name][0])
        except ImportError as error:
            if runtime:
                raise RuntimeMissingError(f"runtime {name!r} can not be loaded ({error}); pip install {RUNTIMES[name][1]}") from error
    raise RuntimeMissingError("no TFLite runtime is installed; pip install ai-edge-litert")


class Interpreter:
    """A loaded model with one input and one output.

    model: the bytes of a .tflite file. runtime: "litert", "tflite" or None (the first installed). threads: None for
    usual_threads. delegate: None for the CPU, or "edgetpu[:usb|:pci|:N]".
    Raises ModelError (not a model, compiled for a delegate that was not asked for, or not one input and output),
    RuntimeMissingError, DelegateMissingError, ModelNotCompiledError, ConfigError.
    """

    def __init__(self, model: bytes, runtime: str | None = None, threads: int | None = None, delegate: str | None = None) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads is {threads}; it must be at least 1")
        self.runtime, module = load_runtime(runtime)
        self.threads = threads or usual_threads(self.runtime)
        self.delegate = delegate
        if not delegate and edgetpu.is_compiled(model):
            raise ModelError("the model is compiled for the Edge TPU: give --delegate edgetpu, or the model that it was made from")
        delegates = []
        if delegate:
            options = edgetpu.check(delegate, self.runtime, model)
            try:
                delegates = [module.load_delegate(edgetpu.LIBRARY, options)]
            except (OSError, ValueError, RuntimeError) as error:  # it was there a moment ago
                raise DelegateLostError(f"delegate {delegate!r} is gone: {error}") from error
        try:
            self._interpreter = self._load(module, model, delegates)
            if self.runtime == "tflite" and not delegates and platform.machine() == "x86_64" and self._is_int8():
                self._interpreter = self._load(module, model, [], experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF)
        except (ValueError, RuntimeError) as error:
            if delegate:
                raise DelegateLostError(f"delegate {delegate!r} is gone: {error}") from error
            raise ModelError(f"the {self.runtime} runtime can not load the model: {error}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(f"the model has {len(inputs)} inputs and {len(outputs)} outputs; one of each is needed")
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        self.input, self.output = _tensor(inputs[0]), _tensor(outputs[0])

    def _load(self, module: Any, model: bytes, delegates: list[Any], **options: Any) -> Any:
        loaded = module.Interpreter(model_content=model, num_threads=self.threads, experimental_delegates=delegates, **options)
        loaded.allocate_tensors()
        return loaded

    def _is_int8(self) -> bool:
        return all(details["dtype"] == np.int8 for details in self._interpreter.get_input_details())

    @property
    def delegated(self) -> bool:
        """Whether a delegate (XNNPACK on the CPU, or the asked-for one) runs part of the graph."""
        operators: Callable[[], list[dict[str, Any]]] = self._interpreter._get_ops_details  # no public way to ask
        return any(op["op_name"] == "DELEGATE" for op in operators())

    def invoke(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Run the model: array of input.shape and input.dtype -> a new array of output.shape and output.dtype.

        Raises DelegateLostError when a delegate fails that worked before.
        """
        self._interpreter.set_tensor(self._input_index, tensor)
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            if self.delegate is None:
                raise
            raise DelegateLostError(f"delegate {self.delegate!r} failed at work; was it unplugged? {error}") from error
        result: NDArray[Any] = self._interpreter.get_tensor(self._output_index)
        return result


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(tuple(int(n) for n in details["shape"]), np.dtype(details["dtype"]), float(scale), int(zero_point))
