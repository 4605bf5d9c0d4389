from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.__main__ import main
from convert.bars import SMALL, Bars, judge_cost, judge_pale, judge_quantization, judge_scores, judge_small
from convert.cost import Cost
from convert.entries import float_partner, open_entries
from convert.evaluate import DataScores
from convert.metrics import Seen
from convert.report import _sources
from convert.scores import Evidence, Row, summarize
from convert.sheet import worst_pictures
from edgecolor.errors import ConfigError
from tests.conftest import DATA, ROOT
from tests.convert.conftest import PICTURES, Toy

MEANS = ("psnr", "ab_distance", "ciede2000", "auc", "colorfulness", "colorfulness_difference", "chroma", "mse", "agreement")


@pytest.fixture(scope="module")
def pale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of paper: nearly white, with a few dark lines."""
    folder = tmp_path_factory.mktemp("data") / "paper"
    folder.mkdir()
    for i in range(2):
        page = np.full((200, 300, 3), 240, np.uint8)
        page[20:180:20, 30:270] = 40 + 20 * i
        cv2.imwrite(str(folder / f"page-{i}.png"), page)
    return folder


@pytest.fixture(scope="module")
def written(toy: Toy, pale: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that one evaluation of float Keras, float TFLite and int8 TFLite can write."""
    out = tmp_path_factory.mktemp("evaluation")
    other = out / "other"
    other.mkdir()
    for name in ("coffee.jpg", "chelsea.jpg", "rocket.jpg"):
        (other / name).write_bytes((PICTURES / name).read_bytes())
    code = main([
        "evaluate", str(toy.folder / "toy.keras"), str(toy.float32), str(toy.int8), "--size", "64", "--data", str(PICTURES), "--data",
        str(other), "--pale", str(pale), "--bars", "--json", str(out / "scores.json"), "--markdown", str(out / "table.md"),
        "--sheet", str(out / "sheet.png"), "--worst", str(out / "worst.png"),
    ])
    assert code == 0
    return out


def test_gray_seed_and_originals_are_rows_besides_the_named_models(written: Path) -> None:
    scores = json.loads((written / "scores.json").read_text())
    assert list(scores) == ["pictures", "other", "paper"]
    for data in scores.values():
        assert list(data["rows"]) == ["original", "gray", "seed", "toy.keras", "toy-float.tflite", "toy.tflite"]
    assert scores["pictures"]["pictures"] == 4 and scores["other"]["names"] == ["chelsea.jpg", "coffee.jpg", "rocket.jpg"]


def test_figures_hang_together(written: Path) -> None:
    data = json.loads((written / "scores.json").read_text())["pictures"]
    gray, int8, real = (data["rows"][name] for name in ("gray", "toy.tflite", "toy-float.tflite"))
    assert gray["chroma"] < 1e-3 and gray["frechet_to_gray"] == gray["ab_to_gray"] == 1 and gray["psnr_gain"] == 0
    assert int8["psnr_gain"] == pytest.approx(int8["psnr"] - gray["psnr"], abs=2e-4)
    assert int8["ab_to_gray"] == pytest.approx(int8["ab_distance"] / gray["ab_distance"], abs=2e-4)
    assert int8["colorfulness_share"] == pytest.approx(int8["colorfulness"] / data["rows"]["original"]["colorfulness"], abs=2e-4)
    assert 0 < int8["float_ab_difference"] < 8 and int8["chroma"] > 1
    keras_row = data["rows"]["toy.keras"]
    assert keras_row["ab_distance"] == pytest.approx(real["ab_distance"], abs=0.05) and keras_row["macs"] == int8["macs"]
    each = data["each"]["toy.tflite"]
    for figure in ("psnr", "ab_distance", "agreement"):
        assert np.mean(each[figure]) == pytest.approx(int8[figure], abs=2e-4) and len(each[figure]) == 4
        low, high = data["intervals"]["toy.tflite"][figure]
        assert low <= int8[figure] <= high
    assert data["intervals"]["gray"]["psnr_gain"] == [0, 0]


def test_costs_are_measured_beside_the_reference(written: Path, toy: Toy) -> None:
    rows = json.loads((written / "scores.json").read_text())["pictures"]["rows"]
    assert rows["toy.tflite"]["bytes"] == toy.int8.stat().st_size and rows["seed"]["parameters"] == 60_370
    assert rows["toy.tflite"]["ms"] > 0 and "ms" not in rows["toy.keras"] and "parameters" not in rows["gray"]
    if (ROOT / "tests" / "benchmarks" / "mobilenet_v2_1.0_224_int8.tflite").is_file():
        assert 0.01 < rows["toy.tflite"]["to_reference"] < 1


def test_bars_judge_named_int8_models_only(written: Path) -> None:
    scores, table = json.loads((written / "scores.json").read_text()), (written / "table.md").read_text()
    bars = {name: data["bars"] for name, data in scores.items()}
    assert {bar["row"] for data in bars.values() for bar in data} == {"toy.tflite"}
    assert any(bar["figure"].startswith("Frechet") for bar in bars["pictures"]) and not any(
        bar["figure"].startswith("Frechet") for bar in bars["other"]
    )
    assert [bar["figure"] for bar in bars["paper"] if bar["data"]] == ["mean chroma added"]
    assert "FAIL toy.tflite on pictures: top-1" in table or "PASS toy.tflite on pictures: top-1" in table
    assert "PASS toy.tflite: parameters, millions" in table


def test_the_table_says_what_the_frechet_distance_is_over(written: Path) -> None:
    table = (written / "table.md").read_text()
    assert "not comparable with Inception FID" in table and table.count("Frechet (Lite0, 256 px)") >= 4
    assert "### other, 3 pictures" in table and "network / reference" in table and " ± " in table


def test_pale_pictures_show_the_chroma_added(written: Path) -> None:
    paper = json.loads((written / "scores.json").read_text())["paper"]
    assert paper["rows"]["gray"]["chroma"] < 1e-3 and paper["rows"]["original"]["chroma"] < 1e-3
    assert paper["rows"]["toy.tflite"]["chroma"] == pytest.approx(np.mean(paper["each"]["toy.tflite"]["chroma"]), abs=1e-3)
    assert paper["rows"]["toy.tflite"]["chroma"] > 0.1


def test_sheets_have_a_cell_for_each_row_and_picture(written: Path) -> None:
    sheet, worst = (cv2.imread(str(written / name)) for name in ("sheet.png", "worst.png"))
    # Seven pictures of both sets in two columns of four, six cells each; titles above.
    assert sheet.shape == (18 + 4 * 192, 2 * 6 * 192 + 8, 3)
    # The last model's: gray, guess and original, each row under a caption.
    assert worst.shape == (4 * (192 + 18), 2 * 3 * 192 + 8, 3)
    assert worst[:18, :576].min() < 100  # there is text


def test_the_card_takes_every_data_set(written: Path, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["card", str(toy.int8), "--scores", str(written / "scores.json"), "--rows"]
    assert main([*arguments, "int8=toy.tflite", "gray=gray"]) == 0
    stored = json.loads(toy.int8.with_suffix(".json").read_text())["scores"]
    rows = json.loads((written / "scores.json").read_text())["other"]["rows"]
    assert list(stored) == ["pictures", "other", "paper"] and stored["other"]["int8"] == rows["toy.tflite"]
    assert stored["other"]["pictures"] == 3 and stored["paper"]["gray"]["chroma"] < 1e-3
    capsys.readouterr()
    assert main([*arguments, "int8=absent.tflite"]) == 2
    assert "no row absent.tflite" in capsys.readouterr().err
    for forgotten in ([], ["--rows", "toy.tflite"]):  # without rows, or without what to call them, the figures would be lost
        assert main([*arguments[:-1], *forgotten]) == 2
        assert "--scores needs --rows" in capsys.readouterr().err
    assert json.loads(toy.int8.with_suffix(".json").read_text())["scores"] == stored


def test_other_json_is_no_scores(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.json").write_text('{"data": "val", "pictures": 3, "rows": {}}')
    assert main(["card", str(toy.int8), "--scores", str(tmp_path / "old.json"), "--rows", "int8=x"]) == 2
    assert "old.json" in capsys.readouterr().err


def test_a_bar_that_can_not_be_judged_is_said_to_be_open(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = ["--limit", "2", "--bars", "--reference", str(tmp_path / "absent.tflite")]
    assert main(["evaluate", str(toy.int8), "--data", str(PICTURES), *alone]) == 0
    said = capsys.readouterr().out
    assert "name toy-float.tflite too" in said and "time was not judged" in said and "python -m convert reference" in said


def test_a_float_network_of_another_size_tells_nothing_of_quantization(toy: Toy) -> None:
    for size, partner in ((64, "toy.keras"), (96, None)):
        entries = open_entries([str(toy.folder / "toy.keras"), str(toy.int8)], (size, size))
        found = float_partner(entries[-1], entries)
        assert (found and found.name) == partner


def test_what_is_small_is_said_of_a_row_beside_a_large_one(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    for small in ("toy.tflite", "other.tflite"):
        assert main(["evaluate", str(toy.int8), "--data", str(PICTURES), "--bars", "--small", small]) == 2
        assert "must be int8 rows, beside a large one" in capsys.readouterr().err
    # The baseline is no large network, though it is named.
    assert main(["evaluate", "seed", str(toy.int8), "--data", str(PICTURES), "--bars", "--small", "toy.tflite"]) == 2
    assert "must be int8 rows, beside a large one" in capsys.readouterr().err
    assert main(["evaluate", str(toy.int8), "--data", str(PICTURES), "--small", "toy.tflite"]) == 2
    assert "give --bars too" in capsys.readouterr().err


def test_the_baseline_is_one_row_however_it_is_named(toy: Toy) -> None:
    for named in ("seed", str(ROOT / "models" / "seed.tflite")):
        entries = open_entries([str(toy.int8), named, str(toy.int8)], (64, 64))
        assert [(entry.name, entry.asked) for entry in entries] == [("toy.tflite", True), (Path(named).name, True)]
    assert [(entry.name, entry.asked) for entry in open_entries([str(toy.int8)], (64, 64))] == [("seed", False), ("toy.tflite", True)]


def test_two_models_of_one_name_are_refused(toy: Toy, tmp_path: Path) -> None:
    for suffix in (".tflite", ".json"):
        (tmp_path / f"toy{suffix}").write_bytes(toy.int8.with_suffix(suffix).read_bytes())
    with pytest.raises(ConfigError, match=r"toy\.tflite"):
        open_entries([str(toy.int8), str(tmp_path / "toy.tflite")], (64, 64))


def test_the_stages_of_a_run_are_told_apart_by_their_folders(toy: Toy, tmp_path: Path) -> None:
    for stage in ("0-features", "1-whole"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "weights.keras").write_bytes((toy.folder / "toy.keras").read_bytes())
    with pytest.raises(ConfigError, match=r"config\.json is missing"):
        open_entries([str(tmp_path / "1-whole" / "weights.keras")], (64, 64))
    (tmp_path / "config.json").write_bytes((toy.folder / "toy.config.json").read_bytes())
    entries = open_entries([str(path) for path in sorted(tmp_path.glob("*/weights.keras"))], (64, 64))
    assert [entry.name for entry in entries] == ["seed", "0-features/weights.keras", "1-whole/weights.keras"]


def test_two_data_sets_of_one_name_are_refused(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(toy.int8), "--data", str(PICTURES), "--data", str(DATA / "pictures")]) == 2
    assert "one name" in capsys.readouterr().err


def evidence(count: int, level: float, seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    each = {key: rng.normal(level, 1, count) for key in MEANS}
    return Evidence(each, Seen(rng.normal(level, 1, (count, 6)), np.zeros(count, np.int64)))


def test_intervals_are_those_of_the_standard_error() -> None:
    rows = summarize({"original": evidence(400, 5, 0), "gray": evidence(400, 4, 1), "model": evidence(400, 5, 2)})
    psnr = rows["model"]
    assert psnr.half_widths["psnr"] == pytest.approx(1.96 * psnr.each["psnr"].std(ddof=1) / 20, rel=0.15)
    assert 0 < psnr.half_widths["frechet"] < rows["gray"].figures["frechet"]
    # Draws are the same for every row: the difference of a row from itself has no spread.
    assert rows["gray"].half_widths["psnr_gain"] == 0 == rows["gray"].half_widths["frechet_to_gray"]
    again = summarize({"original": evidence(400, 5, 0), "gray": evidence(400, 4, 1), "model": evidence(400, 5, 2)})
    assert again["model"].half_widths == psnr.half_widths


def test_worst_pictures_are_ranked_by_ab_distance() -> None:
    row = summarize({name: evidence(30, 5, seed) for seed, name in enumerate(("original", "gray", "model"))}, 2, 1)["model"]
    worst = worst_pictures(row, 3)
    assert list(row.each["ab_distance"][worst]) == sorted(row.each["ab_distance"], reverse=True)[:3]


GOOD = {"frechet_to_gray": 0.58, "psnr_gain": 0.9, "ab_to_gray": 0.86, "colorfulness_share": 0.7, "agreement_gain": 0.0}


def test_sources_with_enough_pictures_have_a_line_each() -> None:
    names = [f"day/street-{i}.jpg" for i in range(10)] + [f"indoor-{i}.jpg" for i in range(12)] + ["rare-1.jpg", "nameless.jpg"]
    distances = {"gray": np.full(24, 20.0), "net": np.array([10.0] * 10 + [15.0] * 12 + [99.0] * 2)}
    rows = {name: Row({}, {}, {"ab_distance": values}) for name, values in distances.items()}
    scores = DataScores("mixed", tuple(names), rows, {})
    assert _sources(scores)[3:] == ["| source | pictures | gray | net |", "|---|---|---|---|",
                                    "| indoor | 12 | 20.0 | 0.75 |", "| street | 10 | 20.0 | 0.50 |"]  # fmt: skip
    distances["gray"][:10] = 0.0  # streets that are gray themselves
    assert _sources(scores)[-1] == "| street | 10 | 0.0 | - |"
    assert _sources(DataScores("few", tuple(names[:11]), rows, {})) == [], "one source alone is all there is"


def test_bars_are_met_at_their_own_values_and_missed_just_beyond() -> None:
    assert all(verdict.passed for verdict in judge_scores("val", "m", GOOD, True))
    for figure, beyond in (("frechet_to_gray", 0.5801), ("psnr_gain", 0.899), ("ab_to_gray", 0.861), ("colorfulness_share", 0.69),
                           ("colorfulness_share", 1.11), ("agreement_gain", -0.001)):
        failed = [verdict for verdict in judge_scores("val", "m", {**GOOD, figure: beyond}, True) if not verdict.passed]
        assert len(failed) == 1 and str(failed[0]).startswith("FAIL m on val: "), figure


def test_elsewhere_seventy_percent_of_each_gain_must_remain() -> None:
    less = {**GOOD, "frechet_to_gray": 2.0, "psnr_gain": 0.63, "ab_to_gray": 0.902, "colorfulness_share": 0.5}
    assert all(verdict.passed for verdict in judge_scores("other", "m", less, False))
    assert not all(verdict.passed for verdict in judge_scores("other", "m", {**less, "psnr_gain": 0.62}, False))


def test_bars_of_quantization_cost_and_pale_pictures() -> None:
    real = {"psnr": 23.0, "frechet": 100.0}
    assert [v.passed for v in judge_quantization("val", "m", {"psnr": 22.86, "frechet": 102.9}, real, 1.0)] == [True, True, True]
    assert [v.passed for v in judge_quantization("val", "m", {"psnr": 22.84, "frechet": 96.9}, real, 1.01)] == [False, False, False]
    assert [v.passed for v in judge_cost("m", Cost(4_000_001, 1, 1, 1.0, 1.31))] == [False, False]
    assert [v.passed for v in judge_cost("m", Cost(4_000_000, 1, 1, None, None), Bars())] == [True]
    assert judge_pale("paper", "m", 5.99).passed and not judge_pale("paper", "m", 6.0).passed


def test_a_small_network_is_judged_beside_the_large_one_and_gray() -> None:
    gray = {"psnr": 22.0, "psnr_pooled": 20.0, "ab_distance": 17.0, "ciede2000": 11.0, "auc": 0.88, "colorfulness_difference": 40.0,
            "frechet": 160.0, "agreement": 0.6}  # fmt: skip
    large = {"ab_distance": 14.0, "frechet": 80.0}
    good = {"psnr": 22.1, "psnr_pooled": 20.1, "ab_distance": 14.84, "ciede2000": 10.9, "auc": 0.881, "colorfulness_difference": 39.0,
            "frechet": 108.0, "agreement": 0.601}  # fmt: skip
    assert all(verdict.passed for verdict in judge_small("val", "s", good, large, gray))
    for figure, beyond in (("ab_distance", 14.85), ("frechet", 108.1), ("psnr", 22.0), ("psnr_pooled", 19.9), ("ciede2000", 11.1),
                           ("auc", 0.88), ("colorfulness_difference", 41.0), ("agreement", 0.6)):  # fmt: skip
        assert [v.passed for v in judge_small("val", "s", {**good, figure: beyond}, large, gray)].count(False) == 1, figure
    assert [v.passed for v in judge_cost("s", Cost(1_000_001, 1, 1, 1.0, 0.41), SMALL)] == [False, False]


def test_json_holds_no_number_that_json_has_not(written: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((written / "scores.json").read_text(), parse_constant=refuse)
