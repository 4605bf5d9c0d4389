"""The operators and tensors of a .tflite file, read through the flatbuffer schema that the runtime ships."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgecolor.errors import ModelError

_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_DTYPES = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
_ACTIVATIONS = {code: name for name, code in vars(schema.ActivationFunctionType).items() if not name.startswith("_")}
_IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class GraphTensor:
    """One tensor. dtype: the schema's name (INT8, FLOAT32...). constant: its values are stored in the file."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator. kind: the schema's name (CONV_2D...), or CUSTOM:name. Absent optional inputs are None."""

    kind: str
    version: int
    activation: str  # NONE, RELU, RELU6...
    inputs: tuple[GraphTensor | None, ...]
    outputs: tuple[GraphTensor, ...]
    options: dict[str, Any]  # as in the schema, e.g. dilationHFactor, halfPixelCenters

    @property
    def _weights(self) -> tuple[int, ...]:
        given = self.inputs[1] if len(self.inputs) > 1 else None
        return given.shape if given else ()

    @property
    def taps(self) -> int:
        """Height times width of a convolution's kernel (weights are O, H, W, I; depthwise 1, H, W, C)."""
        return math.prod(self._weights[1:3])

    @property
    def input_channels(self) -> int:
        """Channels that one output of a convolution sums over."""
        return self._weights[3] if len(self._weights) == 4 and self.kind != "DEPTHWISE_CONV_2D" else 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run: 0 for all but convolutions and matrix products."""
        if self.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            return math.prod(self.outputs[0].shape[1:3]) * math.prod(self._weights)
        if self.kind == "TRANSPOSE_CONV" and self.inputs[2]:  # every input pixel meets the whole kernel
            return math.prod(self.inputs[2].shape[1:3]) * math.prod(self._weights)
        return math.prod(self._weights) if self.kind == "FULLY_CONNECTED" else 0


@dataclass(frozen=True)
class Graph:
    """The main subgraph, operators in order of execution."""

    operators: tuple[Operator, ...]

    @property
    def quantized(self) -> bool:
        """Whether any operator gives 8-bit values."""
        return any(tensor.dtype in ("INT8", "UINT8") for operator in self.operators for tensor in operator.outputs)


def read_graph(model: bytes) -> Graph:
    """Read the bytes of a .tflite file. Raises ModelError when they are none."""
    if model[4:8] != _IDENTIFIER:
        raise ModelError("not a .tflite file: its identifier TFL3 is missing")
    try:
        table = schema.ModelT.InitFromPackedBuf(model, 0)
        main = table.subgraphs[0]
        tensors = [_tensor(i, tensor, table.buffers) for i, tensor in enumerate(main.tensors)]
        return Graph(tuple(_operator(operator, table.operatorCodes[operator.opcodeIndex], tensors) for operator in main.operators))
    except (struct.error, IndexError, TypeError, AttributeError, ValueError) as error:  # whatever a damaged offset leads to
        raise ModelError(f"a damaged .tflite file ({error})") from error


def _tensor(index: int, tensor: Any, buffers: list[Any]) -> GraphTensor:
    buffer = buffers[tensor.buffer]
    stored = buffer.data is not None and len(buffer.data) > 0
    shape = () if tensor.shape is None else tuple(int(side) for side in tensor.shape)
    return GraphTensor(index, tensor.name.decode(), shape, _DTYPES[tensor.type], stored)


def _operator(operator: Any, code: Any, tensors: list[GraphTensor]) -> Operator:
    # Codes above 127 are in the newer field only, those below in both (in old files: in the older one only).
    kind = _KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if kind == "CUSTOM":
        kind = f"CUSTOM:{code.customCode.decode()}"
    options = {} if operator.builtinOptions is None else dict(vars(operator.builtinOptions))
    return Operator(
        kind, code.version, _ACTIVATIONS[options.get("fusedActivationFunction", 0)],
        tuple(tensors[i] if i >= 0 else None for i in operator.inputs), tuple(tensors[i] for i in operator.outputs), options,
    )
