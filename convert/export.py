"""Float Keras network -> TFLite: float32 and full int8 (per-channel weights, int8 in and out) with a representative dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from convert.dataset import PictureFile, camera_luma
from convert.features import network_input
from convert.network import with_input_size
from convert.train import copy_weights
from edgecolor.errors import ModelError


@dataclass(frozen=True)
class Exported:
    """Paths of one network's two TFLite files."""

    int8: Path
    float32: Path


def inference_network(weights: Path, size: tuple[int, int]) -> keras.Model:
    """The ab head alone at a fixed input size (height, width), from a saved ``weights.keras``."""
    try:
        trained = keras.models.load_model(weights, compile=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{weights}: not a saved Keras network ({error})") from error
    if any(side % 32 for side in size):
        raise ModelError(f"size {size[0]}x{size[1]}: both sides must be multiples of 32, the encoder's stride")
    fixed = with_input_size(trained, size)
    copy_weights(trained, fixed)
    return keras.Model(fixed.inputs, fixed.output["ab"], name=trained.name)


def representative_luma(pictures: list[PictureFile], size: tuple[int, int], count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Luma (S, T) uint8 of ``count`` training pictures: every second one as it is, the rest as bad cameras show it."""
    rng = np.random.default_rng(seed)
    for turn, index in enumerate(rng.choice(len(pictures), min(count, len(pictures)), replace=False)):
        gray = cv2.cvtColor(pictures[index].read(), cv2.COLOR_RGB2GRAY)
        luma = cv2.resize(gray, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        if turn % 2:
            luma = np.rint(camera_luma(luma / np.float32(255), rng) * 255).astype(np.uint8)
        yield np.asarray(luma, np.uint8)


def export(
    weights: Path, out: Path, size: tuple[int, int], pictures: list[PictureFile], count: int = 500, seed: int = 1
) -> Exported:
    """Write ``out`` (int8) and ``out`` with ``-float.tflite`` beside it. pictures: where representative ones are drawn."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf  # 4.5 s and 585 MB: only where it is needed

    network = inference_network(weights, size)
    out.parent.mkdir(parents=True, exist_ok=True)
    float_path = out.with_name(f"{out.stem}-float.tflite")
    _write(float_path, tf.lite.TFLiteConverter.from_keras_model(network).convert())
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([network_input(y[None])] for y in representative_luma(pictures, size, count, seed))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    _write(out, converter.convert())
    return Exported(out, float_path)


def _write(path: Path, content: Any) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.rename(path)
