from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgecolor import catalog, cli
from edgecolor.assets import Model
from edgecolor.colorizer import TfliteNetwork
from edgecolor.commands import models
from edgecolor.errors import AssetNotFoundError, ConfigError, ModelError
from tests.conftest import ROOT

MODELS = ROOT / "models"


def shelve(folder: Path, name: str, distance: float | None, source: str = "seed") -> None:
    """Put a copy of a shipped model on a shelf under another name, with this mean ab distance on its card."""
    shutil.copy(MODELS / f"{source}.tflite", folder / f"{name}.tflite")
    card = json.loads((MODELS / f"{source}.json").read_text())
    card |= {"name": name, "scores": {} if distance is None else {"val": {"int8": {"frechet": distance}}}}
    (folder / f"{name}.json").write_text(json.dumps(card))


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Milliseconds of each model on a board of the test's making."""
    ms: dict[str, float] = {}

    def measure(model: Model, *_: object) -> float:
        return ms[model.name]

    monkeypatch.setattr(catalog, "measure_ms", measure)
    return ms


def test_shipped_models_are_listed_once_without_their_float_copies_and_compiled_ones(tmp_path: Path) -> None:
    shelve(tmp_path, "big", 14.0)
    shelve(tmp_path, "big-float", 14.0)
    shelve(tmp_path, "big_edgetpu", 14.0)
    shelve(tmp_path, "seed", 15.0)
    listed = catalog.list_models([tmp_path, MODELS])
    assert [item.name for item in listed] == ["big", "edgecolor", "edgecolor-tiny", "seed"]
    assert listed[3].path == tmp_path / "seed.tflite", "the first folder counts"
    assert all(item.model is not None and item.where == "checkout" for item in listed)


def test_a_model_that_can_not_be_used_is_listed_with_the_reason(tmp_path: Path) -> None:
    shelve(tmp_path, "bad", 14.0)
    (tmp_path / "bad.tflite").write_bytes(b"changed")
    (listed,) = catalog.list_models([tmp_path])
    assert listed.model is None and "SHA-256" in listed.wrong


def test_auto_takes_the_best_that_is_fast_enough(tmp_path: Path, speeds: dict[str, float]) -> None:
    for name, distance in (("big", 14.0), ("small", 14.9), ("dull", 15.5)):
        shelve(tmp_path, name, distance)
    speeds |= {"big": 250.0, "small": 60.0, "dull": 5.0}
    choice = catalog.choose(folders=[tmp_path])
    assert choice.model.name == "small" and "big 4.0, small 16.7" in choice.reason
    assert catalog.choose(folders=[tmp_path], enough=3).model.name == "big"


def test_auto_takes_the_fastest_where_none_is_fast_enough(tmp_path: Path, speeds: dict[str, float]) -> None:
    for name, distance in (("big", 14.0), ("small", 14.9)):
        shelve(tmp_path, name, distance)
    speeds |= {"big": 2000.0, "small": 500.0}
    choice = catalog.choose(folders=[tmp_path])
    assert choice.model.name == "small" and "fastest" in choice.reason


def test_auto_goes_on_with_the_model_that_the_work_was_begun_with(tmp_path: Path, speeds: dict[str, float]) -> None:
    shelve(tmp_path, "big", 14.0, "edgecolor")
    shelve(tmp_path, "small", 14.9, "edgecolor-tiny")
    speeds |= {"big": 99.0, "small": 5.0}
    begun = {item.name: item.model.card["sha256"] for item in catalog.list_models([tmp_path]) if item.model}
    assert catalog.choose(folders=[tmp_path], used=begun["small"]).model.name == "small"
    speeds["big"] = 101.0
    choice = catalog.choose(folders=[tmp_path], used=begun["big"])
    assert choice.model.name == "big" and choice.reason == "what is there was made with it"
    assert catalog.choose(folders=[tmp_path], used="0" * 64).model.name == "small", "one that is gone does not count"


def test_auto_never_takes_the_baseline_or_a_model_without_scores(tmp_path: Path) -> None:
    shelve(tmp_path, "seed", 1.0)
    shelve(tmp_path, "unknown", None)
    with pytest.raises(AssetNotFoundError, match="edgecolor models"):
        catalog.choose(folders=[tmp_path])
    shelve(tmp_path, "edgecolor", 14.0, "edgecolor")
    assert catalog.choose(folders=[tmp_path]).model.name == "edgecolor"


def test_measuring_runs_the_real_network() -> None:
    listed = {item.name: item.model for item in catalog.list_models([MODELS])}
    assert listed["seed"] and catalog.measure_ms(listed["seed"], threads=1) > 0


def test_a_model_that_the_runtime_can_not_load_costs_its_own_row_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(model: Model, *_: object) -> float:
        if model.name == "seed":
            raise ModelError("the tflite runtime can not load the model: Didn't find op\nRegistration failed.\n")
        return 5.0

    monkeypatch.setattr(catalog, "measure_ms", measure)
    arguments = cli.build_parser().parse_args(["models"])
    assert models.run(arguments) == 1
    table = capsys.readouterr().out
    assert "seed: can not be used: the tflite runtime can not load the model: Didn't find op Registration failed.\n" in table
    assert "\nedgecolor-tiny  128x128" in table and "--model auto takes edgecolor" in table
    arguments.json = True
    assert models.run(arguments) == 1
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert "Registration failed." in rows["seed"]["error"] and "ms" not in rows["seed"] and rows["edgecolor"]["ms"] == 5.0


def test_a_colorizer_of_the_auto_model_says_what_it_took(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        network = TfliteNetwork("auto", None, 1, None)
    assert network.model.name in caplog.text and "model" in caplog.text


def test_auto_on_a_delegate_is_refused_before_anything_is_measured(speeds: dict[str, float]) -> None:
    for fallback in (None, "cpu"):
        with pytest.raises(ConfigError, match=r"model auto with delegate edgetpu:usb.*name the compiled one"):
            TfliteNetwork("auto", None, 1, "edgetpu:usb", fallback)


@pytest.mark.parametrize(("key", "value"), [("scores", [1]), ("scores", {"val": [1]}), ("network", [1])])
def test_a_card_whose_tables_are_none_is_listed_as_damaged(tmp_path: Path, key: str, value: object) -> None:
    shelve(tmp_path, "bad", 14.0)
    card = json.loads((tmp_path / "bad.json").read_text())
    (tmp_path / "bad.json").write_text(json.dumps({**card, key: value}))
    (listed,) = catalog.list_models([tmp_path])
    assert listed.model is None and "bad.json" in listed.wrong and key in listed.wrong
    with pytest.raises(AssetNotFoundError):
        catalog.choose(folders=[tmp_path])


@pytest.mark.parametrize("rows", [{"int8": [1]}, {"int8": {"frechet": float("nan")}}])
def test_scores_that_are_no_numbers_do_not_count(tmp_path: Path, rows: dict[str, object]) -> None:
    shelve(tmp_path, "odd", 14.0)
    card = json.loads((tmp_path / "odd.json").read_text())
    (tmp_path / "odd.json").write_text(json.dumps({**card, "scores": {"val": rows}}))
    (listed,) = catalog.list_models([tmp_path])
    assert listed.model and catalog.score(listed.model, "frechet") is None


def test_shares_of_gray_are_rounded_once(tmp_path: Path) -> None:
    shelve(tmp_path, "big", 14.0)
    card = json.loads((tmp_path / "big.json").read_text())
    rows = {"int8": {"ab_distance": 14.3398, "ab_to_gray": 0.8405}, "gray": {"ab_distance": 17.0617}}
    (tmp_path / "big.json").write_text(json.dumps({**card, "scores": {"val": rows}}))
    (listed,) = catalog.list_models([tmp_path])
    assert listed.model and f"{catalog.share_of_gray(listed.model, 'ab_distance'):.3f}" == "0.840"
    assert catalog.share_of_gray(listed.model, "frechet") is None
