"""Float Keras network -> TFLite: float32 and full int8 (per-channel weights, int8 in and out) with a representative dataset."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.augment import camera_luma, draw, network_input, noise_tiles
from convert.bias import correct_biases
from convert.dataset import PictureFile, luma_of
from convert.equalize import equalize
from convert.files import write_file
from convert.network import with_input_size
from convert.weights import copy_weights, load_network
from edgecolor.errors import ConfigError, ModelError

_BIAS_PICTURES = 64  # 0.8 s a picture for all layers of edgecolor; 24 to 48 gained little more


@dataclass(frozen=True)
class Exported:
    """One network's two TFLite files, its parameters, and its multiply-accumulates per picture."""

    int8: Path
    float32: Path
    parameters: int
    macs: int


def inference_network(weights: Path, size: tuple[int, int]) -> keras.Model:
    """The ab head alone at a fixed input size (height, width), from a saved ``weights.keras``."""
    trained = load_network(weights)
    if any(side % 32 for side in size):
        raise ModelError(f"size {size[0]}x{size[1]}: both sides must be multiples of 32, the encoder's stride")
    fixed = with_input_size(trained, size)
    copy_weights(trained, fixed)
    return keras.Model(fixed.inputs, fixed.output["ab"], name=trained.name)


def representative_luma(pictures: list[PictureFile], size: tuple[int, int], count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Luma (S, T) uint8 of ``count`` training pictures: every second one as it is, the rest as bad cameras show it."""
    rng = np.random.default_rng(seed)
    for turn, index in enumerate(rng.choice(len(pictures), min(count, len(pictures)), replace=False)):
        luma = luma_of(pictures[index].read(), (size[1], size[0]))
        if turn % 2:
            drawn = draw(rng, np.array([size], np.float32), (1.0, 1.0), 1.0)
            shown = camera_luma(luma[None] / np.float32(255), drawn, noise_tiles(max(size)))
            luma = np.rint(np.asarray(shown)[0] * 255).astype(np.uint8)
        yield np.asarray(luma, np.uint8)


def representative_inputs(pictures: list[PictureFile], size: tuple[int, int], count: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """``representative_luma`` as the network takes it: (1, S, T, 1) float32 each."""
    for luma in representative_luma(pictures, size, count, seed):
        yield np.asarray(network_input(luma[None]), np.float32)


def export(
    weights: Path, out: Path, size: tuple[int, int], pictures: list[PictureFile], count: int = 500, seed: int = 1
) -> Exported:
    """Write ``out`` (int8) and ``out`` with ``-float.tflite`` beside it, at ``size`` (height, width).

    pictures: where ``count`` representative ones are drawn by ``seed``. Raises ModelError for a size that does not fit.
    """
    network = inference_network(weights, size)
    seen = list(representative_inputs(pictures, size, count, seed))
    equalize(network, seen)
    out.parent.mkdir(parents=True, exist_ok=True)

    float32, int8 = to_float32(network), to_int8(network, seen)
    return Exported(
        write_file(out, correct_biases(float32, int8, seen[:_BIAS_PICTURES])),
        write_file(out.with_name(f"{out.stem}-float.tflite"), float32),
        count_parameters(network),
        count_macs(network),
    )


def sized(out: Path, size: tuple[int, int]) -> Path:
    """NAME.tflite -> NAME-WxH.tflite, for a second size (height, width) from one training."""
    return out.with_name(f"{out.stem}-{size[1]}x{size[0]}{out.suffix}")


def _converter(network: keras.Model) -> Any:
    if keras.backend.backend() != "tensorflow":
        raise ConfigError("only TensorFlow converts to TFLite: set KERAS_BACKEND=tensorflow (a .keras file is the same for both)")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf  # 4.5 s and 585 MB: only where it is needed

    # One traced function, its weights frozen into it, gives the same network as from_keras_model in a third of the time:
    # no SavedModel is written and read. The batch is fixed at 1, so that no shape is worked out at run time.
    call = tf.function(lambda x: network(x, training=False))
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [call.get_concrete_function(tf.TensorSpec((1, *network.inputs[0].shape[1:]), tf.float32))]
    )


def _convert(converter: Any) -> bytes:
    # TensorFlow lists every variable on stdout, and warns that the input's range is not given: calibration measures it.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        return bytes(converter.convert())


def to_float32(network: keras.Model) -> bytes:
    """The network as it is, in float32."""
    return _convert(_converter(network))


def to_int8(network: keras.Model, representative: Iterable[NDArray[np.float32]]) -> bytes:
    """Full int8: per-channel weights, int8 activations, input and output, calibrated on the representative inputs."""
    converter = _converter(network)
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x] for x in representative)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return _convert(converter)


def count_parameters(network: keras.Model) -> int:
    """Weights and biases as the exported network has them: of each batch norm's four vectors one is left, a bias."""
    norms: int = sum(layer.count_params() for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    return int(network.count_params()) - 3 * norms // 4


def count_macs(network: keras.Model) -> int:
    """Multiply-accumulates of one picture, over all convolutions of a network with a fixed input size."""
    macs = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):  # every input pixel meets the whole kernel
            macs += int(np.prod(layer.input.shape[1:3])) * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            macs += int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
    return macs
