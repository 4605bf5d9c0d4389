"""A network of the project's own kind, small and untrained but for its encoder, exported once for all tests that need it."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.__main__ import main
from convert.config import BinsConfig, NetworkConfig, StageConfig, TrainConfig
from convert.network import DecoderWidths, EncoderForm, build_edgecolor, build_encoder
from convert.weights import copy_weights, save_network
from tests.conftest import DATA

PICTURES = DATA / "pictures"


@dataclass(frozen=True)
class Toy:
    """What ``export`` made: two sizes with cards in ``folder``, all layers' SQNR, and what it printed."""

    folder: Path
    printed: str

    @property
    def int8(self) -> Path:
        return self.folder / "toy.tflite"

    @property
    def float32(self) -> Path:
        return self.folder / "toy-float.tflite"


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("toy")
    keras.utils.set_random_seed(1)
    widths = DecoderWidths((16, 16, 8), (1, 1, 1))
    network = build_edgecolor(None, 8, EncoderForm(), widths)
    copy_weights(build_encoder(), network)
    kernel, bias = network.get_layer("ab").get_weights()
    network.get_layer("ab").set_weights([kernel * 20, bias])  # colours that one can see
    save_network(network, folder / "toy.keras")
    np.save(folder / "toy.bins.npy", np.float32([[0, 0], [60, 0], [0, 60], [-60, 0], [0, -60], [40, 40], [-40, -40], [20, 0]]))
    stage = StageConfig("none", "whole", 0)
    config = TrainConfig(str(folder), network=NetworkConfig(channels=widths.channels, blocks=widths.blocks), bins=BinsConfig(8),
                         stage=(stage,))
    (folder / "toy.config.json").write_text(json.dumps(asdict(config)))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["export", str(folder / "toy.keras"), "-o", str(folder / "toy.tflite"), "--data", str(PICTURES), "--pictures", "4",
                     "--size", "64", "--size", "96x64", "--layers", str(folder / "layers.json")])
    assert code == 0
    return Toy(folder, printed.getvalue())
