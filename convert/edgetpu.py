"""Which operators the Edge TPU's compiler takes, so that a model is known to fit before there is a Coral to try it on.

Source: Coral, "TensorFlow models on the Edge TPU", table of supported operations and their known limitations. The page itself could
not be read in whole; each rule says by which copy it was checked:
(A) Axis, "Supported ops" of ARTPEC-7, which has an Edge TPU: the newer table, from Add to ResizeBilinear
    (developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops);
(B) the table of 2019 in github.com/dgist-datalab/Datalab_Intern, Edge_TPU/convert_model_for_Edge_TPU.md;
(C) reports of compiler 14 to 16 in issues of github.com/google-coral/edgetpu, which show the operator mapped.
What none of them shows is "unverified". The compiler is closed and its last release is of 2021: "maps" is what is published, not a promise.
"""

from __future__ import annotations

from collections.abc import Callable

from convert.graph import Operator

SOURCE = "https://coral.ai/docs/edgetpu/models-intro/#supported-operations (compiler 16), by the copies named in convert/edgetpu.py"
CONSEQUENCE = "a refused version fails the whole model; anything else refused leaves all that follows it to the CPU"
_NEWEST_TRANSPOSE_CONV = 3  # compiler 16.0.384591198 dies of version 4 (google-coral/edgetpu issue 845)
_ELEMENTS_OF_SOFTMAX = 16_000


def _activation(operator: Operator) -> str:
    return "refused: a fused activation" if operator.activation != "NONE" else "maps"


def _dilation(operator: Operator) -> str:
    same = operator.options.get("dilationHFactor", 1) == operator.options.get("dilationWFactor", 1)
    return "maps" if same else "refused: dilation differs between x and y"


def _resize(operator: Operator) -> str:
    # Up to compiler 15 half-pixel centres (what Keras exports) were "Operation version not supported" (issues 187, 396).
    half = "; half-pixel centres need compiler 16" if operator.options.get("halfPixelCenters") else ""
    return f"may stay on the CPU: large outputs do, to keep precision{half}"


def _transpose_conv(operator: Operator) -> str:
    if operator.version > _NEWEST_TRANSPOSE_CONV:
        return f"refused: version {operator.version} (a fused activation) fails the whole model (google-coral/edgetpu issue 845)"
    shape = operator.inputs[0]
    return "maps" if shape and shape.constant else "may stay on the CPU: its output's shape is worked out at run time"


def _prelu(operator: Operator) -> str:
    alpha = operator.inputs[1]
    line = alpha is not None and sum(side > 1 for side in alpha.shape) <= 1
    return "maps" if line else "refused: alpha must be one-dimensional (shared over height and width)"


def _softmax(operator: Operator) -> str:
    shape = operator.outputs[0].shape
    line = sum(side > 1 for side in shape) <= 1 and operator.outputs[0].elements <= _ELEMENTS_OF_SOFTMAX
    return "maps" if line else f"refused: only one dimension of at most {_ELEMENTS_OF_SOFTMAX} elements"


def _strided_slice(operator: Operator) -> str:
    masks = operator.options.get("ellipsisMask", 0), operator.options.get("newAxisMask", 0)
    return "refused: with an ellipsis or a new axis" if any(masks) else "may stay on the CPU: all strides must be 1"


def _concatenation(operator: Operator) -> str:
    if operator.activation != "NONE":
        return "refused: a fused activation"
    constant = any(tensor and tensor.constant for tensor in operator.inputs)
    return "may stay on the CPU: a constant input must be the one of two, and all zeros" if constant else "maps"


def _batch(operator: Operator) -> str:
    return "may stay on the CPU: not over the batch dimension"


def _mean(operator: Operator) -> str:
    return "may stay on the CPU: not over the batch dimension, and over z only in multiples of 4"


def _fully_connected(operator: Operator) -> str:
    line = sum(side > 1 for side in operator.outputs[0].shape) <= 1
    return "maps" if line else "refused: its output must be one-dimensional"


def _unverified(operator: Operator) -> str:
    return "unverified: no copy of the table that was read names it"


def _maps(operator: Operator) -> str:
    return "maps"


_RULES: dict[str, Callable[[Operator], str]] = {
    # (A)
    **dict.fromkeys(
        ("ADD", "EXPAND_DIMS", "L2_NORMALIZATION", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1"),
        _maps,
    ),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _activation),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _dilation),
    **dict.fromkeys(("PACK", "PAD", "REDUCE_MAX", "REDUCE_MIN"), _batch),
    "CONCATENATION": _concatenation,
    "FULLY_CONNECTED": _fully_connected,
    "MEAN": _mean,
    "PRELU": _prelu,
    "RESHAPE": lambda operator: "may stay on the CPU: large tensors do",
    "RESIZE_BILINEAR": _resize,
    # (B)
    **dict.fromkeys(("SLICE", "SPACE_TO_DEPTH", "SUB", "TANH"), _maps),
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SOFTMAX": _softmax,
    "SPLIT": _batch,
    "SQUEEZE": lambda operator: "may stay on the CPU: only leading dimensions of 1",
    "STRIDED_SLICE": _strided_slice,
    # (C), issues 147, 686 and 845; 342 and 433
    "TRANSPOSE_CONV": _transpose_conv,
    "TRANSPOSE": lambda operator: "may stay on the CPU: some do, for a limitation that is not published",
    **dict.fromkeys(("RSQRT", "SQUARED_DIFFERENCE", "SUM"), _unverified),
}


def verdict(operator: Operator) -> str:
    """"maps", "may stay on the CPU: why", "unverified: why" or "refused: why" for one operator."""
    rule = _RULES.get(operator.kind)
    if rule is None:
        return "refused: not among the supported operations"
    data = operator.inputs[1:] if operator.kind == "TRANSPOSE_CONV" else operator.inputs  # its first is the output's shape
    values = [tensor for tensor in (*data, *operator.outputs) if tensor and not tensor.constant]
    if others := {tensor.dtype for tensor in values} - {"INT8", "UINT8"}:
        return f"refused: {', '.join(sorted(others)).lower()} values; only 8-bit ones are supported"
    if any(side < 1 for tensor in values for side in tensor.shape):
        return "refused: a size that is not known when the model is compiled"
    if any(sum(side > 1 for side in tensor.shape[:-3]) for tensor in values):
        return "refused: more than three dimensions above 1"
    return rule(operator)
