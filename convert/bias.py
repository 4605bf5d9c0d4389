"""Bias correction: rounding a layer's weights and inputs shifts the mean of each of its channels; its bias takes that back.

Empirical bias correction of Nagel et al. 2019 (arXiv:1906.04721), section 4.2: layer by layer in the order of execution,
each one behind the corrected ones before it, the mean output of the int8 layer is compared with the float layer's over the
same pictures, and the difference subtracted from its int32 bias. Shifts add up through a deep network and come out as a
tint, so this is worth more than finer scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from tqdm import tqdm

from convert.graph import Operator, read_graph
from convert.sqnr import open_unfused
from edgecolor.errors import ModelError
from edgecolor.quantization import dequantize, quantize

_CORRECTED = ("CONV_2D", "DEPTHWISE_CONV_2D")


def _channel_means(interpreter: Any, inputs: Sequence[NDArray[np.float32]], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Mean of each channel of the named tensors over all inputs and places, in real units."""
    details = {tensor["name"]: tensor for tensor in interpreter.get_tensor_details()}
    given = interpreter.get_input_details()[0]
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for x in inputs:
        interpreter.set_tensor(given["index"], x if given["dtype"] == np.float32 else quantize(x, *given["quantization"]))
        interpreter.invoke()
        for name in names:
            found, tensor = interpreter.get_tensor(details[name]["index"]), details[name]
            real = found if found.dtype == np.float32 else dequantize(found, *tensor["quantization"])
            sums[name] = sums[name] + np.mean(real, axis=(0, 1, 2), dtype=np.float64)
    return {name: total / len(inputs) for name, total in sums.items()}


def correct_biases(float32: bytes, int8: bytes, inputs: Sequence[NDArray[np.float32]]) -> bytes:
    """The int8 model with every convolution's bias corrected.

    float32, int8: .tflite files of one network, so that their tensors have the same names. inputs: networks' inputs
    (1, H, W, 1) float32, some dozens. Raises ModelError when the two files are not of one network.
    """
    model = bytearray(int8)  # biases are overwritten in place: nothing moves in the file
    convolutions = [op for op in read_graph(int8).operators if op.kind in _CORRECTED and len(op.inputs) > 2]
    names = [op.outputs[0].name for op in convolutions]
    real = open_unfused(float32)
    if not convolutions or not set(names) <= {tensor["name"] for tensor in real.get_tensor_details()}:
        raise ModelError("the float and the int8 file are not of one network: their tensors have other names")
    aims = _channel_means(real, inputs, names)
    for op, name in zip(tqdm(convolutions, desc="biases", unit="layer"), names, strict=True):
        interpreter = open_unfused(bytes(model))
        shift = _channel_means(interpreter, inputs, [name])[name] - aims[name]
        bias, scales = _bias_of(model, op, interpreter)
        bias -= np.rint(shift / scales).astype(np.int32)
    return bytes(model)


def _bias_of(model: bytearray, op: Operator, interpreter: Any) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """A convolution's int32 bias (C,), as a view into the file's bytes, and its scales (C,) or (1,)."""
    tensor = op.inputs[2]
    if tensor is None or tensor.dtype != "INT32":
        raise ModelError(f"{op.kind} {op.outputs[0].name} has no int32 bias to correct")
    root = schema.Model.GetRootAs(model, 0)
    stored = root.Buffers(root.Subgraphs(0).Tensors(tensor.index).Buffer()).DataAsNumpy()
    scales = next(t for t in interpreter.get_tensor_details() if t["index"] == tensor.index)["quantization_parameters"]["scales"]
    return stored.view(np.int32), scales
