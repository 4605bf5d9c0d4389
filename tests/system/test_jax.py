"""The same trainer on JAX, in an environment without TensorFlow and OpenCV: two virtual devices, pictures in device memory."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.weights import load_network
from tests.conftest import DATA, ROOT

pytestmark = pytest.mark.system

CONFIG = f"""
out = "OUT"
resident = true
data_parallel = true
[data]
train = "{DATA / 'pictures'}"
validation = "{DATA / 'pictures'}"
short_side = 72
[network]
channels = [16, 16, 8]
blocks = [1, 1, 1]
[bins]
count = 8
[[stage]]
name = "features"
kind = "features"
steps = 3
batch = 4
passes = 2
size = 64
[[stage]]
name = "whole"
kind = "whole"
steps = 3
batch = 4
size = 64
learning_rate = 1e-4
adversarial = 0.1
recognition = 0.5
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jax")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["jax"]
    fresh = folder / "bin" / "python"
    done = subprocess.run([str(fresh), "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return fresh


def test_training_on_two_devices(python: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(CONFIG.replace("OUT", str(tmp_path / "run")))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [str(python), "-m", "convert", "train", "--config", str(tmp_path / "run.toml")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines()))
    assert [row["stage"] for row in rows] == ["features", "whole"]
    # What JAX trained is read and run by TensorFlow here, where it is exported.
    assert keras.backend.backend() == "tensorflow"
    network = load_network(tmp_path / "run" / "weights.keras")
    assert np.isfinite(np.asarray(network.predict_on_batch(np.zeros((1, 64, 64, 1), np.float32))["ab"])).all()
