"""What a .tflite file asks of a board: its operators, their multiply-accumulates, and which of them cost too much.

Costs are those measured for this project: million aarch64 instructions at 64x64x32 in int8 (litert 2.3, Cortex-A72).
The flatbuffer is read with the schema that the runtime itself ships.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from convert import edgetpu
from convert.graph import Graph, Operator, read_graph

CHEAP = {
    "CONV_2D": "1x1: 1.63", "DEPTHWISE_CONV_2D": "3x3: 1.03, 5x5: 2.53", "RESIZE_BILINEAR": "0.55", "DEPTH_TO_SPACE": "0.06",
    "ADD": "elementwise",
}
DEAR = {
    "TRANSPOSE_CONV": "4x4 stride 2: 6.9; bilinear and a depthwise 3x3 cost 1.6",
    "PRELU": "6.5, and not delegated to XNNPACK",
    "RESIZE_NEAREST_NEIGHBOR": "not delegated to XNNPACK; bilinear is",
    "SHAPE": "a shape worked out at run time, not delegated", "STRIDED_SLICE": "a shape worked out at run time, not delegated",
    "PACK": "a shape worked out at run time, not delegated",
    "QUANTIZE": "a rescaling between two quantizations",
}
BAD = {
    "RELU": "a ReLU that is not fused into a convolution",
    "RELU6": "a ReLU6 that is not fused into a convolution: 5.9",
    "TILE": "nearest upsampling as Keras exports it; use bilinear", "RESHAPE": "nearest upsampling as Keras exports it; use bilinear",
    "BROADCAST_TO": "nearest upsampling as Keras exports it; use bilinear",
    "SOFTMAX": "int8 softmax keeps 17 dB of signal and is not delegated; a linear head keeps 42 dB",
    "TANH": "int8 tanh keeps 39 dB of signal; a linear head keeps 42 dB",
    "DEQUANTIZE": "a float island inside an int8 network",
}
CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}
_STEM_CHANNELS = 4  # a full 3x3 convolution over so few input channels is no dearer than a 1x1 over 32


@dataclass(frozen=True)
class Row:
    """Operators of one kind, version, activation and verdict. cost and edge_tpu begin with the verdict's word.

    cost: cheap, dear or error. edge_tpu: maps, may stay on the CPU, unverified, or refused. macs: multiply-accumulates per picture.
    """

    kind: str
    version: int
    activation: str
    cost: str
    edge_tpu: str
    count: int
    macs: int


@dataclass(frozen=True)
class Report:
    """All rows, dearest first; whether the graph is quantized; and its parameters (weights and biases, batch norms folded)."""

    rows: tuple[Row, ...]
    quantized: bool
    parameters: int

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def errors(self) -> list[str]:
        """One line per kind of operator that must not be in an exported network."""
        return [f"{row.count} x {row.kind}: {row.cost.removeprefix('error: ')}" for row in self.rows if row.cost.startswith("error")]

    @property
    def refused(self) -> list[str]:
        """One line per kind of operator that the Edge TPU's compiler refuses."""
        refused = [row for row in self.rows if row.edge_tpu.startswith("refused")]
        return [f"{row.count} x {row.kind}: {row.edge_tpu.removeprefix('refused: ')}" for row in refused]


def _cost(operator: Operator, quantized: bool) -> str:
    """The verdict on one operator. ``quantized``: whether the graph around it is."""
    if quantized and (islands := [t.name for t in (*operator.inputs, *operator.outputs) if t and t.dtype == "FLOAT32"]):
        return f"error: a float32 tensor in an int8 network ({islands[0].split(';')[0]})"
    if why := BAD.get(operator.kind):
        return f"error: {why}"
    if operator.activation != "NONE" and operator.kind not in CONVOLUTIONS:
        return f"error: {operator.activation} after {operator.kind}, not fused into a convolution"
    if operator.kind == "CONV_2D" and operator.taps > 1:
        if operator.input_channels > _STEM_CHANNELS:
            return "dear: a full 3x3 convolution costs 10.9; depthwise 3x3 and 1x1 cost 2.7"
        return f"cheap: over {operator.input_channels} input channel{'s' * (operator.input_channels > 1)}"
    if operator.kind in CHEAP:
        return f"cheap: {CHEAP[operator.kind]}"
    return f"dear: {DEAR.get(operator.kind, 'not among the operators that were measured')}"


def inspect(model: bytes) -> Report:
    """Every operator of a .tflite file, judged. Raises ModelError when it is none.

    A float network is judged too: float32 tensors are no error there, and the Edge TPU refuses all of it.
    """
    graph = read_graph(model)
    quantized = graph.quantized
    counts: Counter[tuple[str, int, str, str, str]] = Counter()
    macs: Counter[tuple[str, int, str, str, str]] = Counter()
    for operator in graph.operators:
        key = (operator.kind, operator.version, operator.activation, _cost(operator, quantized), edgetpu.verdict(operator))
        counts[key] += 1
        macs[key] += operator.macs
    rows = [Row(*key, count, macs[key]) for key, count in counts.items()]
    return Report(tuple(sorted(rows, key=lambda row: (-row.macs, row.kind, row.version))), quantized, _parameters(graph))


def _parameters(graph: Graph) -> int:
    # By index, so that shared weights count once. The first input is data, or a transposed convolution's output shape.
    used = {tensor.index: tensor.elements for operator in graph.operators if operator.kind in CONVOLUTIONS
            for tensor in operator.inputs[1:] if tensor and tensor.constant}
    return sum(used.values())


def markdown(report: Report) -> str:
    """A table of operators, and under it what is wrong."""
    total = max(report.macs, 1)
    head = ("operator", "version", "activation", "count", "MACs", "cost on XNNPACK (M instructions at 64x64x32)", "Edge TPU")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in report.rows:
        share = f"{row.macs / 1e6:.1f} M, {100 * row.macs / total:.0f} %" if row.macs else ""
        activation = "" if row.activation == "NONE" else row.activation
        lines.append(f"| {row.kind} | {row.version} | {activation} | {row.count} | {share} | {row.cost} | {row.edge_tpu} |")
    lines += ["", f"{sum(row.count for row in report.rows)} operators, {report.macs / 1e6:.1f} M MACs, {report.parameters:,} parameters, "
              f"{'int8' if report.quantized else 'float'}. Edge TPU rules: {edgetpu.SOURCE}"]
    lines += [f"error: {error}" for error in report.errors]
    if report.quantized and report.refused:
        lines.append(f"The Edge TPU's compiler refuses {len(report.refused)} kinds of operator: {edgetpu.CONSEQUENCE}")
    return "\n".join(lines) + "\n"


def summary(report: Report) -> dict[str, Any]:
    """What a card says about operators: how many of each kind and version, and what is wrong with them."""
    count = Counter({f"{row.kind} v{row.version}": 0 for row in report.rows})
    for row in report.rows:
        count[f"{row.kind} v{row.version}"] += row.count
    return {"count": dict(count), "errors": report.errors, "edge_tpu_refuses": report.refused if report.quantized else ["a float model"]}
