"""Training, export, evaluation and cards as a user runs them, at toy size, on the bundled pictures."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from convert import train as training
from convert.__main__ import main
from convert.config import TrainConfig, load_config
from convert.network import DecoderWidths, EncoderForm, build_edgecolor, build_seed, encoder_block
from convert.optimizer import Average
from convert.train import Run, seconds_per_step
from convert.weights import average_networks, load_network, recipe_of, save_network, widen
from edgecolor import Colorizer
from edgecolor.color import settle
from edgecolor.errors import AssetNotFoundError, ConfigError, ModelError
from tests.conftest import DATA, ROOT

CONFIG = """
out = "{out}"
checkpoint_every = 2
validate_every = 4
[data]
train = "{data}"
validation = "{data}"
short_side = 72
[network]
channels = [16, 16, 8]
blocks = [1, 1, 1]
[bins]
count = 8
[decoding]
doubt = 0.5
gain = 1.25
[[stage]]
name = "features"
kind = "features"
steps = 6
batch = 4
passes = 4
size = 64
warmup = 2
[[stage]]
name = "whole"
kind = "whole"
steps = 4
batch = 4
size = 64
warmup = 0
learning_rate = 1e-4
adversarial = 0.1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


def config(folder: Path, name: str) -> TrainConfig:
    path = folder / f"{name}.toml"
    path.write_text(CONFIG.format(out=folder / name / "run", data=DATA / "pictures"))
    return load_config(path)


def convert(*arguments: str | Path) -> str:
    """A command, in this process: TensorFlow takes seconds to load."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([str(argument) for argument in arguments]) == 0
    return printed.getvalue()


@pytest.fixture(scope="module")
def straight(folder: Path) -> Path:
    """A run from start to end, as a process of its own."""
    config(folder, "straight")
    command = [sys.executable, "-m", "convert", "train", "--config", str(folder / "straight.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return Path(done.stdout.strip().splitlines()[-1]).parent


def train(run: TrainConfig) -> Path:
    """Train without compiling steps: for a few steps of a toy that takes ten times as long as they do. ``straight`` is compiled."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        return Run(run).train()
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def packed(straight: Path, folder: Path) -> Path:
    path = folder / "toy.keras"
    convert("pack", straight, "-o", path)
    return path


def test_a_run_leaves_weights_log_config_and_sheets(straight: Path) -> None:
    rows = list(csv.DictReader((straight / "log.csv").read_text().splitlines()))
    assert [(row["stage"], row["step"]) for row in rows] == [("features", "4"), ("features", "6"), ("whole", "4")]
    for key in ("pictures_per_second", "pictures_per_second_without_network", "val_ab"):
        assert all(float(row[key]) > 0 for row in rows), key
    assert (straight / "0-features" / "sheet-000004.jpg").stat().st_size > 1000
    assert (straight / "log.png").stat().st_size > 10_000
    assert json.loads((straight / "config.json").read_text())["stage"][1]["name"] == "whole"
    spent = json.loads((straight / "spent.json").read_text())
    assert [(stage, took["pictures"]) for stage, took in spent.items()] == [("features", 6 * 4), ("whole", 4 * 4)], spent
    assert all(0 < took["hours"] < 1 and took["processor_hours"] > 0 for took in spent.values())
    assert keras.models.load_model(straight / "weights.keras", compile=False).count_params() > 2_000_000


@pytest.mark.system  # a minute
def test_a_killed_run_goes_on_where_it_was(straight: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCutError(Exception):
        pass

    saves = []
    checkpoint = training.save_checkpoint

    def cut(path: Path, step: int, *rest: object) -> None:
        checkpoint(path, step, *rest)  # type: ignore[arg-type]
        saves.append(step)
        if len(saves) in (2, 4):  # in the middle of each stage
            raise PowerCutError

    monkeypatch.setattr(training, "save_checkpoint", cut)
    for _ in range(2):
        with pytest.raises(PowerCutError):
            train(config(folder, "killed"))
    weights = train(config(folder, "killed"))
    assert saves == [2, 4, 6, 2, 4]
    wanted = keras.models.load_model(straight / "weights.keras", compile=False)
    resumed = keras.models.load_model(weights, compile=False)
    for mine, theirs in zip(resumed.get_weights(), wanted.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-4, rtol=1e-3)


def test_the_folded_decoder_is_the_decoder_on_standardized_features(straight: Path) -> None:
    """Folding must not change what the network says: compare with the features cache's own batch."""
    from convert.dataset import PictureCache
    from convert.features import FeatureCache
    from convert.network import DecoderWidths, EncoderForm, build_decoder, build_edgecolor, build_encoder
    from convert.weights import copy_weights

    run = load_config(straight.parent.parent / "straight.toml")
    cache = FeatureCache(straight.parent / "cache", PictureCache(straight.parent / "cache", run.data), run, run.stage[0])
    decoder = build_decoder(cache.shapes, 8, DecoderWidths((16, 16, 8), (1, 1, 1)))
    whole = build_edgecolor(64, 8, EncoderForm(), DecoderWidths((16, 16, 8), (1, 1, 1)))
    encoder = build_encoder(0, 64)
    copy_weights(encoder, whole)
    copy_weights(decoder, whole)
    cache.fold_into(whole)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    taps = [(np.asarray(t) - m) / d for t, m, d in zip(encoder.predict_on_batch(x), cache.means, cache.deviations, strict=True)]
    np.testing.assert_allclose(
        np.asarray(whole.predict_on_batch(x)["ab"]), np.asarray(decoder.predict_on_batch(taps)["ab"]), atol=2e-3
    )


def test_export_evaluate_and_card_as_commands(straight: Path, folder: Path) -> None:
    model = folder / "models" / "toy.tflite"
    convert("export", straight, "-o", model, "--size", "96x64", "--pictures", "40")
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["data"]["pictures"] == card["data"]["representative"] == 4, "there are no more"
    assert card["contract"]["input"]["shape"] == [1, 64, 96, 1] and card["contract"]["output"]["shape"] == [1, 16, 24, 2]
    assert card["contract"]["input"]["dtype"] == "int8" and card["network"]["macs"] > 10_000_000
    int8, real = Colorizer(model, threads=1), Colorizer(model.with_name("toy-float.tflite"), threads=1)
    luma = np.tile(np.arange(256, dtype=np.uint8), (128, 1))
    assert np.abs(int8.guess(luma).grid - real.guess(luma).grid).mean() < 0.02

    scores, sheet = folder / "scores.json", folder / "sheet.png"
    models = model, straight / "weights.keras"
    table = convert("evaluate", *models, "--data", DATA / "pictures", "--size", "64", "--json", scores)
    convert("sheet", *models, "--data", DATA / "pictures", "--size", "64", "-o", sheet)
    assert "| gray |" in table and "| toy.tflite |" in table and "| weights.keras |" in table
    rows = json.loads(scores.read_text())["pictures"]["rows"]
    assert rows["gray"]["chroma"] < 1e-3 and rows["original"]["chroma"] > 5 and sheet.stat().st_size > 10_000
    convert("card", model, "--scores", scores, "--rows", "int8=toy.tflite", "gray=gray")
    stored = json.loads(model.with_suffix(".json").read_text())["scores"]["pictures"]
    assert stored["int8"]["psnr"] == rows["toy.tflite"]["psnr"] and stored["pictures"] == 4
    assert Colorizer(model, threads=1).network.size == (64, 96)


def test_packed_weights_are_small_and_say_the_same(straight: Path, packed: Path, folder: Path) -> None:
    from convert.export import inference_network

    assert np.load(packed.with_suffix(".bins.npy")).shape == (8, 2)
    assert set(json.loads(packed.with_suffix(".config.json").read_text())["spent"]) == {"features", "whole"}
    assert packed.stat().st_size < 0.55 * (straight / "weights.keras").stat().st_size
    x = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 1)).astype(np.float32)
    whole, half = (np.asarray(inference_network(p, (64, 64)).predict_on_batch(x)) for p in (straight / "weights.keras", packed))
    assert half.dtype == np.float32 and np.abs(1.25 * whole - half).max() < 0.05 < 0.2 * np.abs(whole).max()
    assert json.loads(packed.with_suffix(".config.json").read_text())["decoding"] == {"doubt": 0.625, "gain": 1.0}
    shown = (settle(whole, 0.5, 1.25), settle(half, 0.625, 1.0))
    np.testing.assert_allclose(*shown, atol=0.05)
    convert("export", packed, "-o", folder / "models" / "again.tflite", "--size", "64", "--pictures", "2")

    # Another run starts from them, with the bins that their head was trained for.
    first = config(folder, "further")
    stage = dataclasses.replace(first.stage[1], steps=1, learning_rate=1e-9)
    further = train(dataclasses.replace(first, start=str(packed), stage=(stage,)))
    assert (np.load(further.parent / "bins.npy") == np.load(straight / "bins.npy")).all()
    same = np.asarray(inference_network(further, (64, 64)).predict_on_batch(x))
    np.testing.assert_allclose(same, half, atol=0.05)


@pytest.mark.system  # half a minute
def test_the_deeper_blocks_learn_from_cached_features(packed: Path, folder: Path) -> None:
    first = config(folder, "deep")
    stage = dataclasses.replace(first.stage[0], name="deep", kind="deep", passes=1, warmup=0, frozen_depthwise=True, encoder_rate=1.0)
    stage = dataclasses.replace(stage, steps=Average.EVERY)  # fewer leave the average where it began
    run = dataclasses.replace(first, start=str(packed), stage=(stage,))
    for name in ("perceptual", "recognition", "adversarial"):
        with pytest.raises(ConfigError, match=f"{name}: only a stage of kind 'whole'"):
            Run(dataclasses.replace(run, stage=(dataclasses.replace(stage, **{name: 1.0}),))).train()
    with pytest.raises(ConfigError, match="fewer than a batch of 500"):
        Run(dataclasses.replace(run, stage=(dataclasses.replace(stage, batch=500),))).train()
    before, after = load_network(packed), load_network(train(run))
    changed = set()
    for layer in before.layers:
        pairs = zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True)
        if not all(np.allclose(now, was, rtol=1e-6, atol=1e-7) for was, now in pairs):
            changed.add(layer.name)
    assert {"block5_expand_conv", "block15_project_conv", "lateral4", "lateral32", "bins", "ab"} <= changed
    assert min(block for name in changed if (block := encoder_block(name)) is not None) == 5
    assert not any(name.endswith("_bn") or (name.startswith("block") and "depthwise" in name) for name in changed)


@pytest.mark.system  # half a minute
def test_a_teacher_is_asked_of_the_cached_crops_before(packed: Path, folder: Path) -> None:
    """What it said is what the student aims at: itself, if it is its own teacher, so that nothing is left to learn."""
    teacher = convert("ensemble", packed, packed, "-o", folder / "ensemble").strip()
    first = config(folder, "asked")
    still = {"warmup": 0, "passes": 1, "camera": 0.0, "learning_rate": 1e-9, "bins_weight": 0.0, "teacher": teacher}
    stage = dataclasses.replace(first.stage[0], kind="deep", steps=1, **still)
    loss = {}
    for taught in (0.0, 1.0):
        out = folder / "asked" / f"{taught:g}"
        train(dataclasses.replace(first, start=str(packed), stage=(dataclasses.replace(stage, taught=taught),), out=str(out)))
        loss[taught] = float(next(csv.DictReader((out / "log.csv").read_text().splitlines()))["loss"])
    assert loss[1.0] < 0.1 < loss[0.0], loss
    with pytest.raises(ConfigError, match=r"teacher absent\.keras: no such file; train it first"):
        Run(dataclasses.replace(first, stage=(dataclasses.replace(stage, teacher="absent.keras"),)))
    unlabelled = dataclasses.replace(first.data, unlabelled=str(DATA / "pictures"))
    with pytest.raises(ConfigError, match="no stage of kind whole has a teacher"):
        Run(dataclasses.replace(first, data=unlabelled, stage=(stage,)))


@pytest.mark.system  # a minute
def test_a_narrow_student_learns_from_the_packed_network(packed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("convert.train.teach", lambda critic, x, truth, guess, labelled: told.append(labelled))
    first = config(folder, "student")
    features, whole = first.stage
    network = dataclasses.replace(first.network, kept=(1.0, 0.5, 0.5, 0.5, 0.4, 0.2, 1.0), repeats=(1, 1, 2, 1, 2, 1, 0))
    stages = dataclasses.replace(features, steps=2), dataclasses.replace(whole, steps=2, teacher=str(packed))
    data = dataclasses.replace(first.data, unlabelled=str(DATA / "pictures"))
    student = dataclasses.replace(first, start=str(packed), network=network, data=data, stage=stages)
    weights = train(student)
    assert len(told) == 2 and {0.0, 1.0} == set(np.concatenate(told)), "the critic is told whose colours are true"
    small = keras.models.load_model(weights, compile=False)
    assert small.count_params() < 400_000 < keras.models.load_model(packed, compile=False).count_params()
    frozen = "block0_depthwise_conv"  # by frozen_blocks: as it was narrowed, and that is as it was in the teacher
    for path in (weights.parent / "narrowed.keras", packed):
        theirs = keras.models.load_model(path, compile=False).get_layer(frozen).get_weights()
        np.testing.assert_allclose(small.get_layer(frozen).get_weights()[0], theirs[0], atol=1e-3)
    other = dataclasses.replace(student, out=str(folder / "other"), stage=(stages[1],), bins=dataclasses.replace(student.bins, count=6))
    with pytest.raises((ConfigError, ModelError), match="bins"):
        train(dataclasses.replace(other, start=""))


def test_a_run_goes_on_from_a_network_that_is_narrow_already(folder: Path) -> None:
    """Nothing of it is fitted again, and its decoder stays."""
    first = config(folder, "narrow")
    form = EncoderForm(0, (1.0, 0.5, 0.5, 0.5, 0.4, 0.2, 1.0), (1, 1, 2, 1, 2, 1, 0))
    network = dataclasses.replace(first.network, kept=form.kept, repeats=form.repeats)
    path = save_network(build_edgecolor(None, 8, form, DecoderWidths((16, 16, 8), (1, 1, 1))), folder / "narrow.keras")
    stage = dataclasses.replace(first.stage[1], steps=1, learning_rate=1e-9, adversarial=0.0, batch=2)
    run = dataclasses.replace(first, start=str(path), network=network, stage=(stage,))
    given, trained = load_network(path), load_network(train(run))
    for layer in given.layers:
        for was, now in zip(layer.get_weights(), trained.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_allclose(now, was, atol=1e-6)
    narrower = dataclasses.replace(network, repeats=(1, 1, 1, 1, 1, 1, 0))
    with pytest.raises(ConfigError, match=r"start: .*narrow\.keras is neither of the configured form"):
        Run(dataclasses.replace(run, out=str(folder / "narrower" / "run"), network=narrower)).train()


def seed_run(folder: Path, name: str) -> TrainConfig:
    """A run of the seed network, which is trained in a second."""
    first = config(folder, name)
    stage = dataclasses.replace(first.stage[1], steps=2, adversarial=0.0, optimizer="adam")
    return dataclasses.replace(first, network=dataclasses.replace(first.network, kind="seed"), stage=(stage,))


@pytest.mark.parametrize("content", [b"", b"PK\3\4", None])
def test_a_damaged_checkpoint_is_named_with_the_way_out(folder: Path, content: bytes | None) -> None:
    run = seed_run(folder, "damaged")
    state = train(run).parent / "0-whole" / "state.npz"
    (state.parent / "done").unlink()
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ConfigError, match=r"state\.npz: damaged.*; delete it to begin the stage anew"):
        train(run)
    state.unlink()
    assert train(run).exists()


def test_a_step_is_timed_anew_where_a_run_is_complete(folder: Path) -> None:
    run = seed_run(folder, "timed")
    train(run)
    assert 0 < seconds_per_step(Run(run)) < 60


def test_runs_that_can_not_be_are_refused_before_they_begin(folder: Path) -> None:
    run = seed_run(folder, "refused")
    for wrong, message in (
        (dataclasses.replace(run, stage=()), r"no \[\[stage\]\]"),
        (dataclasses.replace(run, start=str(ROOT / "models" / "edgecolor.keras")), "is no seed network"),
    ):
        with pytest.raises(ConfigError, match=message):
            Run(wrong)
    assert not Path(run.out).exists()
    (folder / "few").mkdir()
    shutil.copy(DATA / "pictures" / "coffee.jpg", folder / "few")
    with pytest.raises(ConfigError, match="too few to set 2% of them aside"):
        Run(dataclasses.replace(run, data=dataclasses.replace(run.data, train=str(folder / "few"), validation="")))


def test_weights_that_are_damaged_or_of_another_kind_are_named(folder: Path) -> None:
    whole = (ROOT / "models" / "seed.keras").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    path = folder / "bad.keras"
    with pytest.raises(AssetNotFoundError, match=r"bad\.keras: no such file"):
        load_network(path)
    for content in (b"", b"hello", bytes(flipped), whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"bad\.keras: not a saved Keras network, or a damaged one"):
            load_network(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(ModelError, match=r"bad\.keras"):
        load_network(path)
    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(2, 3)]).save(path)
    with pytest.raises(ModelError, match=r"bad\.keras: another kind of network.* an output called ab"):
        load_network(path)


@pytest.mark.parametrize("content", ["{ half", "[1]", '{"data": {}}', ""])
def test_a_damaged_configuration_beside_weights_is_named(folder: Path, content: str) -> None:
    (folder / "lost.config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"lost\.config\.json"):
        recipe_of(folder / "lost.keras")


def test_wrong_usage_is_said_in_one_line(folder: Path) -> None:
    command = [sys.executable, "-m", "convert", "train", "--config", str(folder / "absent.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "absent.toml" in done.stderr and "Traceback" not in done.stderr


def test_stages_are_averaged_into_a_run_that_can_be_packed(straight: Path, folder: Path) -> None:
    convert("average", straight, "0-features", "1-whole", "-o", folder / "averaged")
    parts = [keras.models.load_model(straight / stage / "weights.keras", compile=False) for stage in ("0-features", "1-whole")]
    mean = keras.models.load_model(folder / "averaged" / "weights.keras", compile=False)
    for found, one, other in zip(mean.get_weights(), *(part.get_weights() for part in parts), strict=True):
        np.testing.assert_allclose(found, (one + other) / 2, rtol=1e-5, atol=1e-6)
    assert json.loads((folder / "averaged" / "config.json").read_text())["averaged"] == ["0-features", "1-whole"]
    convert("pack", folder / "averaged", "-o", folder / "averaged.keras")
    assert (folder / "averaged.bins.npy").exists() and (folder / "averaged.config.json").exists()


def test_bins_of_another_network_are_taken_so_that_it_can_be_taught(straight: Path, folder: Path) -> None:
    first = config(folder, "pupil")
    colors = np.zeros((4, 2), np.float32)
    given = dataclasses.replace(first, bins=dataclasses.replace(first.bins, centers=str(straight / "bins.npy")))
    assert (Run(given)._centers(colors) == np.load(straight / "bins.npy")).all()
    for wrong, message in ((folder / "none.npy", "can not be read"), (folder / "few.npy", "7 x 2 numbers, not the 8 x 2")):
        np.save(folder / "few.npy", np.zeros((7, 2)))
        with pytest.raises(ConfigError, match=message):
            Run(dataclasses.replace(first, bins=dataclasses.replace(first.bins, centers=str(wrong))))._centers(colors)


def test_networks_of_two_forms_can_not_be_averaged() -> None:
    with pytest.raises(ModelError, match="not of one form"):
        average_networks([build_seed(64), build_edgecolor(64, 4)])


def test_a_widened_network_gives_what_the_narrow_one_gave() -> None:
    narrow = build_edgecolor(64, 4, EncoderForm(), DecoderWidths((16, 16, 8), (1, 1, 1)))
    wide = build_edgecolor(64, 4, EncoderForm(), DecoderWidths((16, 16, 8), (2, 1, 3), hidden=12))
    widen(narrow, wide)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    before, after = narrow.predict_on_batch(x), wide.predict_on_batch(x)
    for head in ("ab", "bins"):  # new weights give small numbers
        np.testing.assert_allclose(after[head], before[head], atol=5e-3 * float(np.ptp(before[head])))
        assert np.ptp(before[head]) > 0


@pytest.mark.parametrize(("widths", "message"), [
    (DecoderWidths((16, 16, 8), (0, 1, 1)), "no place for decode16_0"),
    (DecoderWidths((16, 16, 12), (1, 1, 1)), "has shapes"),
])
def test_a_network_that_is_not_wider_is_refused_as_a_start(widths: DecoderWidths, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        widen(build_edgecolor(64, 4, EncoderForm(), DecoderWidths((16, 16, 8), (1, 1, 1))), build_edgecolor(64, 4, EncoderForm(), widths))
