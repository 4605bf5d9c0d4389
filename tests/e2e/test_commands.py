"""benchmark, doctor and the command line's own manners, in a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.edgetpu import build_library, write_compiled


def edgecolor(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edgecolor", *arguments], capture_output=True, text=True, check=False, cwd=cwd)


def test_benchmark_reports_every_stage_beside_the_reference() -> None:
    done = edgecolor("benchmark", "--rounds", "3", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["runtime"] == "litert" and report["threads"] == 1 and report["delegated"] is True
    assert [(f["width"], f["height"]) for f in report["frames"]] == [(640, 480), (1280, 720)]
    for frame in report["frames"]:
        assert set(frame["ms"]) == {"resize", "lookup + invoke", "ab to chroma", "guided fit", "guided planes", "jpeg"}
        assert all(ms > 0 for ms in frame["ms"].values())
        assert abs(sum(frame["ms"].values()) - frame["total_ms"]) < 1e-6
        assert frame["network_to_reference"] > 0 and frame["beside_network_to_reencode"] > 0


def test_benchmark_prints_a_table_and_names_a_missing_reference() -> None:
    done = edgecolor("benchmark", "--rounds", "3", "--model", "seed")
    assert done.returncode == 0 and "frames per second" in done.stdout and "network / reference" in done.stdout
    done = edgecolor("benchmark", "--reference", "absent.tflite")
    assert done.returncode == 1 and "absent.tflite" in done.stderr and "Traceback" not in done.stderr


def test_doctor_names_the_runtime_and_checks_every_model() -> None:
    done = edgecolor("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert "litert would be used" in found["runtime"]["detail"] and found["prometheus_client"]["state"] == "ok"
    assert found["model edgecolor"]["state"] == "ok" and "XNNPACK in effect" in found["model edgecolor"]["detail"]
    for row in found.values():
        assert row["fix"] or row["state"] == "ok", f"{row['what']} is {row['state']} and no fix is named"


def test_doctor_loads_the_corals_library_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_library(tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    done = edgecolor("doctor")
    assert "RuntimeVersion(14)" in done.stdout and "Coral delegate" not in done.stdout
    monkeypatch.setenv("EDGETPU_STUB", "dies later")  # loading it shows nothing of that
    assert "ok       Coral delegate" in edgecolor("doctor", "--coral").stdout
    done = edgecolor("doctor", "--coral", str(write_compiled(tmp_path)))
    assert done.returncode == 0 and "trouble  Coral delegate" in done.stdout and "does not fit the runtime litert" in done.stdout


def test_wrong_usage_has_exit_code_2() -> None:
    for arguments in ((), ("paint",), ("benchmark", "--runtime", "onnx"), ("benchmark", "--delegate", "gpu")):
        done = edgecolor(*arguments)
        assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr


def test_a_coral_that_is_not_there_is_an_error_and_never_the_cpu(tmp_path: Path) -> None:
    for model, said in (("edgecolor", "not compiled for the Edge TPU"), (str(write_compiled(tmp_path)), "libedgetpu.so.1: cannot open")):
        done = edgecolor("benchmark", "--model", model, "--delegate", "edgetpu")
        assert done.returncode == 1 and said in done.stderr and done.stdout == "" and "Traceback" not in done.stderr


def test_version_is_the_packages() -> None:
    from edgecolor import __version__

    assert edgecolor("--version").stdout.strip() == f"edgecolor {__version__}"
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_models_lists_what_is_here_and_what_auto_takes() -> None:
    done = edgecolor("models", "--json", "--threads", "1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = {row["name"]: row for row in report["models"]}
    assert {"edgecolor", "edgecolor-tiny", "seed"} <= set(rows)
    assert rows["edgecolor"]["ms"] > rows["seed"]["ms"] > 0 and rows["edgecolor-tiny"]["size"] == [128, 128]
    assert rows["edgecolor"]["ab_to_gray"] < rows["seed"]["ab_to_gray"]
    assert report["auto"]["name"] in rows and report["auto"]["name"] != "seed" and report["auto"]["reason"]
    table = edgecolor("models", "--threads", "1").stdout
    assert rows["edgecolor"]["sha256"][:12] in table and "--model auto takes" in table


def test_colorize_takes_the_auto_model_and_says_which(tmp_path: Path) -> None:
    done = edgecolor("colorize", "tests/data/gray.jpg", "-o", str(tmp_path / "color.jpg"), "--model", "auto", "--threads", "1")
    assert done.returncode == 0 and "\nmodel edgecolor" in f"\n{done.stderr}", done.stderr
    assert (tmp_path / "color.jpg").is_file()
