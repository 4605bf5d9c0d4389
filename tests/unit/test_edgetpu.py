"""The Coral's ways to fail, through the real runtimes' load_delegate: a library that fails on demand stands for libedgetpu."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecolor import edgetpu
from edgecolor.assets import load_model
from edgecolor.colorizer import Colorizer, TfliteNetwork
from edgecolor.errors import (
    AssetNotFoundError,
    ConfigError,
    DelegateLostError,
    DelegateMissingError,
    ModelError,
    ModelNotCompiledError,
)
from edgecolor.interpreter import Interpreter, available_runtimes
from edgecolor.serveconfig import NetworkConfig
from tests.conftest import ROOT
from tests.edgetpu import build_library, write_compiled

LUMA = np.tile(np.arange(256, dtype=np.uint8), (96, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coral")


@pytest.fixture(scope="module")
def library(folder: Path) -> Path:
    return build_library(folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return write_compiled(folder)


@pytest.fixture
def coral(library: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A Coral that works; set EDGETPU_STUB to make it fail."""
    monkeypatch.setattr(edgetpu, "LIBRARY", str(library))
    return monkeypatch


@pytest.mark.parametrize("runtime", list(available_runtimes()))
def test_a_compiled_model_runs_on_it(runtime: str, model: Path, library: Path) -> None:
    # A process of its own: tflite-runtime can not load a model beside TensorFlow, which other tests have imported.
    code = """
import sys
from pathlib import Path
import numpy as np
from edgecolor import edgetpu
from edgecolor.interpreter import Interpreter
edgetpu.LIBRARY = sys.argv[1]
interpreter = Interpreter(Path(sys.argv[2]).read_bytes(), sys.argv[3], 1, "edgetpu:usb")
assert interpreter.delegated
assert (interpreter.invoke(np.zeros(interpreter.input.shape, np.int8)) == 100).all()
"""
    command = [sys.executable, "-c", code, str(library), str(model), runtime]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("state", "said"), [
    ("absent", "No device found"), ("dies loading", r"ended the process that tried it \(signal 6\)"),
    ("dies later", r"ended the process that tried it \(signal 6\): it does not fit the runtime litert"),
])
def test_what_does_not_work_is_found_out_by_a_child(state: str, said: str, model: Path, coral: pytest.MonkeyPatch) -> None:
    coral.setenv("EDGETPU_STUB", state)
    with pytest.raises(DelegateMissingError, match=f"delegate 'edgetpu' can not be used: .*{said}.*plug the Coral in, install"):
        Interpreter(model.read_bytes(), "litert", 1, "edgetpu")


def test_a_coral_that_hangs_does_not_hang_the_service(model: Path, coral: pytest.MonkeyPatch) -> None:
    coral.setenv("EDGETPU_STUB", "hangs")
    coral.setattr(edgetpu, "_PROBE_TIMEOUT_S", 3.0)
    with pytest.raises(DelegateMissingError, match="did not answer within 3 s"):
        Interpreter(model.read_bytes(), None, 1, "edgetpu")


def test_another_device_than_the_one_asked_for_is_not_taken(coral: pytest.MonkeyPatch) -> None:
    assert edgetpu.device_options("edgetpu") == {} and edgetpu.device_options("edgetpu:usb") == {"device": "usb"}
    assert edgetpu.device_options("edgetpu:7") == {"device": ":7"}
    assert "No device found" in edgetpu.probe("litert", edgetpu.device_options("edgetpu:7"))


def test_without_the_library_the_way_to_install_it_is_named(model: Path) -> None:
    with pytest.raises(DelegateMissingError, match=r"libedgetpu\.so\.1: cannot open shared object file.*install a libedgetpu that fits"):
        Interpreter(model.read_bytes(), None, 1, "edgetpu")


@pytest.mark.parametrize("name", ["edgetpu:", "edgetpu:tpu", "edgetpu:-1", "gpu", "EDGETPU"])
def test_a_delegate_of_another_name_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown; the one delegate is edgetpu"):
        edgetpu.device_options(name)
    with pytest.raises(ConfigError):
        NetworkConfig(delegate=name)


def test_a_model_that_was_not_compiled_for_it_is_refused(coral: pytest.MonkeyPatch) -> None:
    """libedgetpu takes it, and leaves all of it to the CPU."""
    with pytest.raises(ModelNotCompiledError, match=r"not compiled for the Edge TPU.*convert edgetpu"):
        Interpreter(load_model("edgecolor").content, None, 1, "edgetpu")


def test_a_compiled_model_without_it_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="compiled for the Edge TPU: give --delegate edgetpu"):
        Interpreter(model.read_bytes(), None, 1)


def test_a_coral_that_is_unplugged_is_an_error(model: Path, coral: pytest.MonkeyPatch) -> None:
    coral.setenv("EDGETPU_STUB", "lost:2")
    colorizer = Colorizer(model, "litert", 1, "edgetpu")
    colorizer(LUMA), colorizer(LUMA)
    with pytest.raises(DelegateLostError, match="'edgetpu' failed at work; was it unplugged"):
        colorizer(LUMA)


def test_a_coral_that_is_unplugged_is_replaced_where_that_was_said(
    model: Path, coral: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    coral.setenv("EDGETPU_STUB", "lost:1")
    colorizer = Colorizer(model, "litert", 1, "edgetpu", delegate_fallback="cpu")
    wanted = Colorizer("edgecolor", "litert", 1)(LUMA)
    assert not np.array_equal(colorizer(LUMA)[0], wanted[0]), "the Coral answers"
    assert not caplog.records
    assert np.array_equal(colorizer(LUMA)[0], wanted[0]), "the CPU answers, and no frame is lost"
    assert isinstance(colorizer.network, TfliteNetwork)
    assert "unplugged" in colorizer.network.lost and colorizer.network.interpreter.delegate is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] and "on the CPU from now on" in caplog.text
    assert np.array_equal(colorizer(LUMA)[1], wanted[1]) and len(caplog.records) == 1


def test_a_coral_that_is_absent_at_the_start_is_replaced_where_that_was_said(model: Path, coral: pytest.MonkeyPatch) -> None:
    coral.setenv("EDGETPU_STUB", "absent")
    network = Colorizer(model, "litert", 1, "edgetpu", delegate_fallback="cpu").network
    assert isinstance(network, TfliteNetwork) and "No device found" in network.lost and network.model.name == "edgecolor"


def test_a_fallback_needs_its_model_and_a_delegate(model: Path, tmp_path: Path, coral: pytest.MonkeyPatch) -> None:
    for file in (model, model.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    with pytest.raises(AssetNotFoundError, match=r"compiled from beside it: edgecolor\.tflite"):
        Colorizer(tmp_path / model.name, None, 1, "edgetpu", delegate_fallback="cpu")
    with pytest.raises(AssetNotFoundError, match=r"is called NAME_edgetpu\.tflite"):
        Colorizer("edgecolor", None, 1, "edgetpu", delegate_fallback="cpu")
    with pytest.raises(ConfigError, match="delegate_fallback without a delegate"):
        NetworkConfig(delegate_fallback="cpu")


def test_a_fallback_is_no_way_to_run_what_was_not_compiled(model: Path, tmp_path: Path, coral: pytest.MonkeyPatch) -> None:
    plain = model.with_name("edgecolor.tflite")
    for name in ("edgecolor.tflite", "edgecolor_edgetpu.tflite"):
        (tmp_path / name).write_bytes(plain.read_bytes())
        shutil.copy(plain.with_suffix(".json"), (tmp_path / name).with_suffix(".json"))
    with pytest.raises(ModelNotCompiledError):
        Colorizer(tmp_path / "edgecolor_edgetpu.tflite", None, 1, "edgetpu", delegate_fallback="cpu")


@pytest.mark.hardware
def test_a_real_coral_answers() -> None:
    assert edgetpu.probe("litert", {}) == ""
