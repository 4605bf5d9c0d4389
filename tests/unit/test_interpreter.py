from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecolor.assets import load_model
from edgecolor.errors import ConfigError, ModelError, RuntimeMissingError
from edgecolor.interpreter import Interpreter, available_runtimes, free_cores, usual_threads

_BOTH = """
import sys, numpy as np
from edgecolor.assets import load_model
from edgecolor.interpreter import Interpreter
from edgecolor.quantization import input_table
luma = np.load(sys.argv[1] + "/luma.npy")
for name, runtime in (("first", "litert"), ("second", "tflite")):
    interpreter = Interpreter(load_model("edgecolor").content, runtime, 1)
    assert interpreter.runtime == runtime and interpreter.delegated == (runtime == "litert")
    codes = input_table(interpreter.input.scale, interpreter.input.zero_point)[luma]
    np.save(f"{sys.argv[1]}/{name}.npy", interpreter.invoke(codes[None, :, :, None]))
"""
_REFERENCE = """
import sys, numpy as np
from tflite_runtime import interpreter as tflite
from edgecolor.assets import load_model
from edgecolor.interpreter import Interpreter
from edgecolor.quantization import input_table
content = load_model("edgecolor").content
ours = Interpreter(content, "tflite", 1)
codes = input_table(ours.input.scale, ours.input.zero_point)[np.load(sys.argv[1] + "/luma.npy")][None, :, :, None]
reference = tflite.Interpreter(model_content=content, experimental_op_resolver_type=tflite.OpResolverType.BUILTIN_REF)
reference.allocate_tensors()
reference.set_tensor(reference.get_input_details()[0]["index"], codes)
reference.invoke()
np.save(sys.argv[1] + "/first.npy", ours.invoke(codes))
np.save(sys.argv[1] + "/second.npy", reference.get_tensor(reference.get_output_details()[0]["index"]))
"""


@pytest.fixture(scope="module")
def content() -> bytes:
    return load_model("edgecolor").content


def test_litert_is_preferred_and_runs_int8_through_xnnpack(content: bytes) -> None:
    interpreter = Interpreter(content, threads=1)
    assert interpreter.runtime == "litert" and interpreter.delegated
    assert interpreter.input.dtype == interpreter.output.dtype == np.int8
    assert interpreter.input.scale > 0


def test_the_same_input_gives_the_same_output_and_outputs_are_copies(content: bytes) -> None:
    interpreter = Interpreter(content, threads=1)
    tensor = np.random.default_rng(0).integers(-128, 128, interpreter.input.shape).astype(np.int8)
    first = interpreter.invoke(tensor)
    kept = first.copy()
    interpreter.invoke(-tensor)
    assert (first == kept).all() and (interpreter.invoke(tensor) == kept).all()
    assert first.shape == interpreter.output.shape


def test_unknown_or_absent_choices_are_errors(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        Interpreter(content, runtime="onnx")
    with pytest.raises(ConfigError, match="threads"):
        Interpreter(content, threads=0)
    with pytest.raises(ConfigError, match="delegate"):
        Interpreter(content, delegate="gpu")
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)
    with pytest.raises(RuntimeMissingError, match="pip install tflite-runtime"):
        Interpreter(content, runtime="tflite")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        Interpreter(content)


def test_a_model_with_the_wrong_number_of_outputs_is_refused() -> None:
    with pytest.raises(ModelError, match="can not load"):
        Interpreter(b"TFL3 but not really", threads=1)


def test_free_cores_are_those_that_idle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat = tmp_path / "stat"

    def write(*idle: int) -> None:
        """Each core has been at work for 10,000 ticks; of the next hundred it idles so many."""
        stat.write_text("cpu 1 2 3 4\n" + "".join(f"cpu{n} {10_100 - i} 0 0 {500 + i} 0 0 0 0 0 0\n" for n, i in enumerate(idle)))

    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 3})
    monkeypatch.setattr("edgecolor.interpreter.Path", lambda _: stat)
    for idle, free in (((100, 100, 100, 100), 3), ((100, 2, 100, 80), 2), ((0, 40, 100, 0), 1), ((0, 0, 0, 0), 1)):
        stat.write_text("cpu 1 2 3 4\n" + "".join(f"cpu{n} 10000 0 0 500 0 0 0 0 0 0\n" for n in range(4)))
        monkeypatch.setattr("edgecolor.interpreter.sleep", lambda _, idle=idle: write(*idle))
        assert free_cores() == free, idle


def test_free_cores_of_this_machine() -> None:
    assert 1 <= free_cores(0.05) <= len(os.sched_getaffinity(0))


def test_without_a_number_litert_takes_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr("edgecolor.interpreter.free_cores", lambda: 2)
    assert usual_threads("litert") == 4
    assert usual_threads("tflite") == 2


def test_available_runtimes_names_litert_first() -> None:
    assert next(iter(available_runtimes())) == "litert"


def answers(script: str, data: Path, folder: Path) -> list[NDArray[np.int_]]:
    """The outputs of shape (1, h, w, 2) that a script wrote to first.npy and second.npy, of a photo's luma."""
    if "tflite" not in available_runtimes():
        message = "tflite-runtime is not installed; pip install '.[tflite]' on Python 3.11"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    size = load_model("edgecolor").card["contract"]["input"]["shape"][2:0:-1]
    luma = cv2.resize(cv2.imread(str(data / "gray.jpg"), cv2.IMREAD_GRAYSCALE), size, interpolation=cv2.INTER_AREA)
    np.save(folder / "luma.npy", luma)
    # A process of its own: tflite-runtime can not load a model beside TensorFlow, which other tests have imported.
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [np.load(folder / f"{name}.npy").astype(int) for name in ("first", "second")]


def test_both_runtimes_agree_within_two_steps(data: Path, tmp_path: Path) -> None:
    """Outputs are not bit-identical between runtimes; they must not drift apart either."""
    first, second = answers(_BOTH, data, tmp_path)
    steps = np.abs(first - second)
    assert steps.mean() * load_model("edgecolor").card["contract"]["output"]["scale"] < 0.5, "CIELAB units"
    assert (steps <= 2).mean() > 0.97


def test_tflite_gives_what_its_reference_kernels_give_on_every_processor(data: Path, tmp_path: Path) -> None:
    """Its faster ones do so on arm64 and not on x86-64; these tests run on both."""
    first, second = answers(_REFERENCE, data, tmp_path)
    assert first.std() > 5 and np.array_equal(first, second)
