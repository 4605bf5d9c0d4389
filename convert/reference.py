"""The reference network of every cost figure: MobileNetV2-1.0-224, int8, by the same export.

Random weights cost what trained ones cost, so none are needed.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from convert.export import to_int8
from convert.files import write_file


def write_reference(out: Path) -> Path:
    """Write keras.applications.MobileNetV2 (1.0, 224, 1000 classes) as full int8 TFLite."""
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2(input_shape=(224, 224, 3), weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    noise = [rng.uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32) for _ in range(20)]
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_file(out, to_int8(network, noise))
