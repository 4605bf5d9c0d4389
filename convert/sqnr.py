"""Float and int8 compared layer by layer: the signal-to-quantization-noise ratio of each, so that a bad layer has a name.

Both files come from one network, so that their tensors have the same names. All tensors are kept (no XNNPACK), the same
pictures go through both, and each int8 tensor is compared with its float one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from convert.files import write_json
from convert.graph import Operator, read_graph
from edgecolor.errors import ModelError
from edgecolor.quantization import dequantize, quantize

_EXACT = 200.0  # dB said of a layer without any error: JSON knows no infinity
_LAYER = re.compile(r"^(?P<network>[^/;]+?)(?P<copy>_\d+)?/(?P<layer>[^/;]+)")


@dataclass(frozen=True)
class Layer:
    """One operator's output. sqnr: dB over all inputs. drop: how many dB below the worst of its own inputs that is."""

    name: str
    kind: str
    shape: tuple[int, ...]
    sqnr: float
    drop: float


def _layer_name(tensor: str) -> str:
    """"edgecolor_1/stem_relu_1/Relu6;..." -> "stem_relu": Keras' own name, without the count of the tracing."""
    found = _LAYER.match(tensor)
    if found is None:  # only the network's output is called after no layer
        return "output"
    return found["layer"].removesuffix(found["copy"] or "")


def open_unfused(model: bytes) -> Any:
    """An interpreter that keeps every tensor of ``model`` readable after a run."""
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter


def _decibel(signal: float, noise: float) -> float:
    return _EXACT if noise == 0 else 10 * math.log10(max(signal, 1e-30) / noise)


def layer_sqnr(float32: bytes, int8: bytes, inputs: Iterable[NDArray[np.float32]]) -> list[Layer]:
    """SQNR of every int8 layer, in the order of execution. inputs: networks' inputs (1, H, W, 1) float32.

    Raises ModelError when the two files are not of one network.
    """
    real, rounded = open_unfused(float32), open_unfused(int8)
    floats = {tensor["name"]: tensor["index"] for tensor in real.get_tensor_details()}
    details = {tensor["name"]: tensor for tensor in rounded.get_tensor_details()}
    layers = [op for op in read_graph(int8).operators if op.outputs[0].dtype == "INT8" and op.outputs[0].name in floats]
    given, taken = real.get_input_details()[0], rounded.get_input_details()[0]
    if not layers or tuple(given["shape"]) != tuple(taken["shape"]):
        raise ModelError("the float and the int8 file are not of one network: their tensors have other names or shapes")
    energy = {op.outputs[0].name: np.zeros(2) for op in layers}  # of signal and of noise
    for x in inputs:
        real.set_tensor(given["index"], x)
        rounded.set_tensor(taken["index"], quantize(x, *taken["quantization"]))
        real.invoke()
        rounded.invoke()
        for name, sums in energy.items():
            signal = np.asarray(real.get_tensor(floats[name]), np.float64)
            found = dequantize(rounded.get_tensor(details[name]["index"]), *details[name]["quantization"])
            sums += (signal**2).sum(), ((signal - found) ** 2).sum()
    ratios = {name: _decibel(*sums) for name, sums in energy.items()}
    return [_layer(op, ratios) for op in layers]


def _layer(operator: Operator, ratios: dict[str, float]) -> Layer:
    output = operator.outputs[0]
    before = min((ratios[tensor.name] for tensor in operator.inputs if tensor and tensor.name in ratios), default=ratios[output.name])
    return Layer(_layer_name(output.name), operator.kind, output.shape, ratios[output.name], before - ratios[output.name])


def markdown(layers: list[Layer], count: int = 10) -> str:
    """The worst layers, and the output's own figure."""
    lines = ["| layer | operator | shape | SQNR dB | below its inputs by |", "|---" * 5 + "|"]
    for layer in sorted(layers, key=lambda layer: layer.sqnr)[:count]:
        lines.append(f"| {layer.name} | {layer.kind} | {'x'.join(map(str, layer.shape[1:]))} | {layer.sqnr:.1f} | {layer.drop:.1f} |")
    steepest = max(layers, key=lambda layer: layer.drop)
    lines += ["", f"Output: {layers[-1].sqnr:.1f} dB. Most is lost in {steepest.name}: {steepest.drop:.1f} dB."]
    return "\n".join(lines) + "\n"


def save_layers(tables: dict[str, list[Layer]], path: Path) -> None:
    """Write all layers of each model as JSON: {model: [{"name", "kind", "shape", "sqnr", "drop"}]}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {name: [asdict(layer) for layer in layers] for name, layers in tables.items()})
