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
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecolor.errors import ConfigError, DelegateError, ModelError, RuntimeMissingError

RUNTIMES = {"litert": ("ai_edge_litert.interpreter", "ai-edge-litert"), "tflite": ("tflite_runtime.interpreter", "tflite-runtime")}
EDGE_TPU_LIBRARY = "libedgetpu.so.1"
_PROBE_TIMEOUT_S = 20.0
_PROBE = """
import os, sys
from edgecolor.interpreter import _load_runtime
try:
    _load_runtime(None)[1].load_delegate(sys.argv[1], dict(option.split("=", 1) for option in sys.argv[2:]))
except (OSError, ValueError, RuntimeError) as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    os._exit(1)  # a delegate that failed to load raises once more when it is collected
"""


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


def free_cores() -> int:
    """Cores this process may use that are not busy now: more threads than that run slower, not faster."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, round(cores - os.getloadavg()[0])))


def _load_runtime(runtime: str | None) -> tuple[str, Any]:
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


def probe_delegate(library: str, options: dict[str, str]) -> str:
    """Load a delegate in a child process, because an unfit library crashes the process; returns "" or what went wrong."""
    command = [sys.executable, "-c", _PROBE, library, *(f"{k}={v}" for k, v in options.items())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"loading {library} did not finish within {_PROBE_TIMEOUT_S:.0f} s"
    if done.returncode == 0:
        return ""
    if said := done.stdout.strip():
        return said.splitlines()[-1]
    end = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return f"loading {library} ended the process ({end})"


def _load_delegate(module: Any, delegate: str) -> Any:
    kind, _, device = delegate.partition(":")
    if kind != "edgetpu":
        raise ConfigError(f"delegate {delegate!r} is unknown; the one delegate is edgetpu, or edgetpu:usb, edgetpu:pci, edgetpu:0")
    options = {"device": f":{device}" if device.isdigit() else device} if device else {}
    if wrong := probe_delegate(EDGE_TPU_LIBRARY, options):
        raise DelegateError(
            f"delegate {delegate!r} can not be used: {wrong}. Plug the Coral in, install the community build of libedgetpu, "
            "or leave the delegate out to run on the CPU"
        )
    return module.load_delegate(EDGE_TPU_LIBRARY, options)


class Interpreter:
    """A loaded model with one input and one output.

    model: the bytes of a .tflite file. runtime: "litert", "tflite" or None (the first installed). threads: None for
    the cores that are free now. delegate: None for the CPU, or "edgetpu[:usb|:pci|:N]".
    Raises ModelError (not a model, or not one input and output), RuntimeMissingError, DelegateError, ConfigError.
    """

    def __init__(self, model: bytes, runtime: str | None = None, threads: int | None = None, delegate: str | None = None) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads is {threads}; it must be at least 1")
        self.runtime, module = _load_runtime(runtime)
        self.threads = threads or free_cores()
        self.delegate = delegate
        delegates = [_load_delegate(module, delegate)] if delegate else []
        try:
            self._interpreter = self._load(module, model, delegates)
            if self.runtime == "tflite" and not delegates and platform.machine() == "x86_64" and self._is_int8():
                self._interpreter = self._load(module, model, [], experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF)
        except (ValueError, RuntimeError) as error:
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
        """Run the model: array of input.shape and input.dtype -> a new array of output.shape and output.dtype."""
        self._interpreter.set_tensor(self._input_index, tensor)
        self._interpreter.invoke()
        result: NDArray[Any] = self._interpreter.get_tensor(self._output_index)
        return result


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(tuple(int(n) for n in details["shape"]), np.dtype(details["dtype"]), float(scale), int(zero_point))
