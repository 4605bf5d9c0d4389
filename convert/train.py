"""Training: stages from a TOML file, resumable at any step, with a log, a validation figure and a contact sheet.

The loop is Keras 3 (``train_on_batch``), so that it runs on any backend. What a step sees is a pure function of the
seed and the step's number; a checkpoint holds weights, optimizer and average, and is replaced by rename.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.checkpoint import restore_checkpoint, save_checkpoint
from convert.config import StageConfig, TrainConfig
from convert.critic import build_critic, teach
from convert.dataset import PictureCache
from convert.features import FeatureCache
from convert.files import write_json
from convert.losses import Bins, ColorModel, Teacher, find_centers, make_bins
from convert.narrow import narrow
from convert.network import (
    DecoderWidths,
    EncoderForm,
    bare_encoder,
    build_decoder,
    build_edgecolor,
    build_encoder,
    build_seed,
    build_upper,
    encoder_block,
)
from convert.norms import fused
from convert.optimizer import Average, make_optimizer
from convert.plot import plot_log
from convert.sampler import Sampler, some_pixels
from convert.spent import Spent, note_spent
from convert.validation import Validation
from convert.weights import BINS, WEIGHTS, centers_of, copy_weights, load_network, read_centers, save_network, widen, write_centers
from edgecolor.errors import ConfigError

NARROWED = "narrowed.keras"
_NARROWING, _NARROWING_SIZE = 96, 128  # pictures, and their size, by which a narrow encoder is fitted
Batch = tuple[Any, dict[str, NDArray[Any]]]


def _feature_batch(cache: FeatureCache, read: Any, stage: StageConfig, seed: int, step: int) -> Batch:
    """read: cache.batch or cache.shallow_batch."""
    steps = cache.rows // stage.batch
    if not steps:
        fix = f"give more pictures, more passes, or batch = {cache.rows}"
        raise ConfigError(f"stage {stage.name}: {cache.rows} crops are cached, fewer than a batch of {stage.batch}; {fix}")
    order = np.random.default_rng((seed, 2, step // steps)).permutation(cache.rows)
    rows = np.sort(order[step % steps * stage.batch :][: stage.batch])  # which a disk likes
    taps, ab = read(rows)
    targets = {"ab": ab.astype(np.float32), "pixels": some_pixels(np.random.default_rng((seed, 3, step)), len(ab), stage)}
    return taps, {**targets, "said": cache.said(rows).astype(np.float32)} if stage.teacher else targets


def _batches_per_second(make: Any, start: int, count: int = 8) -> float:
    """How fast batches are made when no network waits for them: what the data pipeline could feed."""
    np.asarray(make(start)[1]["ab"])  # the first one compiles
    began = time.monotonic()
    for step in range(start, start + count):
        np.asarray(make(step)[1]["ab"])  # waits for the device
    return count / (time.monotonic() - began)


def _ahead(make: Any, start: int, stop: int) -> Iterator[tuple[int, Batch]]:
    """Batches start..stop-1 in order, each made while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[Batch] = pool.submit(make, start)
        for step in range(start, stop):
            batch = waiting.result()
            if step + 1 < stop:
                waiting = pool.submit(make, step + 1)
            yield step, batch


def _shapes(network: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    return {layer.name: [tuple(w.shape) for w in layer.weights] for layer in network.layers if layer.weights}


def _encoder_shapes(network: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    return {name: shapes for name, shapes in _shapes(network).items() if encoder_block(name) is not None}


class Run:
    """One training run in one folder: config.json, state per stage, log.csv, sheets, and the averaged ``weights.keras``."""

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.folder = config, Path(config.out)
        if not config.stage:
            raise ConfigError("no [[stage]] to train: see convert/configs")
        if config.data.unlabelled and not any(stage.teacher and stage.kind == "whole" for stage in config.stage):
            raise ConfigError(f"data: unlabelled: {config.data.unlabelled}: no stage of kind whole has a teacher to say their colours")
        for index, stage in enumerate(config.stage):  # said now, not after an hour of what comes before
            made_here, done = self.folder in Path(stage.teacher).parents, (self.folder / f"{index}-{stage.name}" / "done").exists()
            if stage.teacher and not (made_here or done or Path(stage.teacher).is_file()):
                raise ConfigError(f"stage {stage.name}: teacher {stage.teacher}: no such file; train it first, or see convert ensemble")
        keras.config.set_dtype_policy(config.precision)
        if config.data_parallel:
            if keras.backend.backend() != "jax":
                raise ConfigError("data_parallel needs JAX: set KERAS_BACKEND=jax")
            keras.distribution.set_distribution(keras.distribution.DataParallel())
        self.form = EncoderForm(config.network.lite, config.network.kept, config.network.repeats)
        self.widths = DecoderWidths(config.network.channels, config.network.blocks, config.network.hidden)
        if config.network.kind == "seed" and config.start and _shapes(load_network(Path(config.start))) != _shapes(build_seed()):
            raise ConfigError(f"start: {config.start} is no seed network, and network.kind is seed")
        self.validation = Validation(config)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "config.json", dataclasses.asdict(config))
        self.pictures = PictureCache(self.folder.parent / "cache", config.data)
        self._tuned = bool(config.start) or not self.form.whole  # whether the encoder is no longer the published one
        self.step_seconds: list[float] = []  # of the stage that is, or was, trained last

    def network(self, weights: Path | None) -> keras.Model:
        """The whole network with these weights; without them newly initialized, with the published encoder."""
        if self.config.network.kind == "seed":
            network = build_seed()
            if weights is not None:
                copy_weights(load_network(weights), network)
            return network
        network = build_edgecolor(None, self.config.bins.count, self.form, self.widths)
        if weights is None:
            copy_weights(build_encoder(self.config.network.lite), network)
        else:
            widen(load_network(weights), network)
        return network

    def _start(self) -> Path | None:
        """What the first stage starts from: the configured weights, or what is left of them, or of the published ones, in this form."""
        given = Path(self.config.start) if self.config.start else None
        if self.form.whole or self.config.network.kind == "seed":
            return given
        path, lite = self.folder / NARROWED, self.config.network.lite
        if path.exists():
            return path
        network = build_edgecolor(None, self.config.bins.count, self.form, self.widths)
        if given is None:
            whole = build_encoder(lite)
        else:
            whole = load_network(given)
            if _encoder_shapes(whole) == _encoder_shapes(network):
                return given
            if _encoder_shapes(whole) != _encoder_shapes(bare_encoder(EncoderForm(lite))):
                raise ConfigError(f"start: the encoder of {given} is neither of the configured form (network.kept, network.repeats), nor "
                                  f"a whole EfficientNet-Lite{lite} that could be narrowed to it")
        rng = np.random.default_rng(self.config.seed)
        some = rng.choice(len(self.pictures), _NARROWING, p=self.pictures.weights())
        sampler = Sampler(self.pictures, dataclasses.replace(self.config.stage[0], size=_NARROWING_SIZE), self.config.resident)
        narrow(whole, network, self.form, np.asarray(sampler.crops(np.sort(some), rng)[0]))
        return save_network(network, path)

    def train(self) -> Path:
        """Run every stage that is not done yet; returns the path of the averaged weights."""
        keras.utils.set_random_seed(self.config.seed)
        weights = self._start()
        for index, stage in enumerate(self.config.stage):
            folder = self.folder / f"{index}-{stage.name}"
            folder.mkdir(exist_ok=True)
            if not (folder / "done").exists():
                network = self.network(weights)
                train = {"features": self._train_features, "deep": self._train_deep, "whole": self._train_whole}[stage.kind]
                train(stage, self.config.seed + 1000 * index, folder, network)
                save_network(network, folder / WEIGHTS)
                save_network(network, self.folder / WEIGHTS)
                (folder / "done").touch()
            weights = folder / WEIGHTS
            self._tuned |= stage.kind != "features"
        return self.folder / WEIGHTS

    def _bins(self, colors: NDArray[Any]) -> Bins | None:
        if self.config.network.kind == "seed":
            return None
        path = self.folder / BINS
        if not path.exists():
            write_centers(path, self._centers(colors))
        return make_bins(colors, read_centers(path), self.config.bins)

    def _centers(self, colors: NDArray[Any]) -> NDArray[Any]:
        given, start, count = self.config.bins.centers, self.config.start, self.config.bins.count
        centers = read_centers(Path(given)) if given else centers_of(Path(start)) if start else None
        if centers is None:
            return find_centers(colors, count, self.config.seed)
        if centers.shape != (count, 2):
            raise ConfigError(f"bins: the centers {given or 'of ' + start} are {' x '.join(map(str, centers.shape))} numbers, not "
                              f"the {count} x 2 of bins.count")
        return centers

    @staticmethod
    def _teacher(stage: StageConfig, bins: Bins | None) -> Teacher | None:
        if not stage.teacher:
            return None
        path = Path(stage.teacher)
        if not path.is_file():
            raise ConfigError(f"stage {stage.name}: teacher {path}: no such file")
        centers = centers_of(path)
        if bins is None or centers is None or not np.array_equal(centers, bins.centers):
            raise ConfigError(f"teacher {path}: its bins are not this run's; start from its weights, or from some that came from them")
        return Teacher(load_network(path), centers, stage.fade)

    def _features(self, stage: StageConfig, network: keras.Model) -> tuple[FeatureCache, Bins | None]:
        for name in ("perceptual", "recognition", "adversarial"):
            if getattr(stage, name):
                raise ConfigError(f"stage {stage.name}: {name}: only a stage of kind 'whole' sees the pictures that it needs")
        cache = FeatureCache(self.folder.parent / "cache", self.pictures, self.config, stage, network if self._tuned else None)
        bins = self._bins(cache.some_colors(200_000, self.config.seed))
        if teacher := self._teacher(stage, bins):
            cache.ask(teacher)
        return cache, bins

    def _train_features(self, stage: StageConfig, seed: int, folder: Path, network: keras.Model) -> None:
        cache, bins = self._features(stage, network)
        decoder = fused(build_decoder(cache.shapes, self.config.bins.count, self.widths))
        model = ColorModel(decoder.inputs, decoder.output)
        model.set_loss(stage, bins, self.config.bins.temperature)

        def finish(values: list[NDArray[Any]]) -> keras.Model:
            trained = build_decoder(cache.shapes, self.config.bins.count, self.widths)
            trained.set_weights(values)
            copy_weights(trained, network)
            cache.fold_into(network)
            return network

        self._loop(stage, folder, model, set(), lambda step: _feature_batch(cache, cache.batch, stage, seed, step), finish)

    def _train_deep(self, stage: StageConfig, seed: int, folder: Path, network: keras.Model) -> None:
        cache, bins = self._features(stage, network)
        upper = build_upper(cache.shapes, self.config.bins.count, self.form, self.widths)
        copy_weights(network, upper, missing=False)
        self._tune(stage, folder, upper, network, lambda step: _feature_batch(cache, cache.shallow_batch, stage, seed, step), bins)

    def _train_whole(self, stage: StageConfig, seed: int, folder: Path, network: keras.Model) -> None:
        shown = keras.models.clone_model(network)
        sampler = Sampler(self.pictures, stage, self.config.resident)
        rng = np.random.default_rng(self.config.seed)
        colors = np.asarray(sampler.crops(rng.choice(len(self.pictures), 512, p=self.pictures.weights()), rng)[1])
        critic = build_critic(stage.size, stage.critic_rate) if stage.adversarial else None
        bins = self._bins(colors.reshape(-1, 2)[::7])
        self._tune(stage, folder, network, shown, lambda step: sampler.batch(seed, step), bins, critic, self._teacher(stage, bins))
        copy_weights(shown, network)

    def _tune(
        self, stage: StageConfig, folder: Path, part: keras.Model, shown: keras.Model, make: Any, bins: Bins | None,
        critic: keras.Model | None = None, teacher: Teacher | None = None,
    ) -> None:
        """Train a part of the network, or all of it. shown: a whole network, apart from it, which takes the averaged weights."""
        encoder = {layer.name: encoder_block(layer.name) for layer in part.layers if encoder_block(layer.name) is not None}
        for layer in part.layers:
            frozen = layer.name in encoder and (encoder[layer.name] or 0) < stage.frozen_blocks
            kept = stage.frozen_depthwise and layer.name in encoder and isinstance(layer, keras.layers.DepthwiseConv2D)
            if frozen or kept or isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False  # a batch norm then works in inference mode, as it is exported
        model = ColorModel(part.inputs, part.output)
        model.set_loss(stage, bins, self.config.bins.temperature, critic, teacher)

        def finish(values: list[NDArray[Any]]) -> keras.Model:
            by_path = dict(zip((v.path for v in model.weights), values, strict=True))
            for layer in part.layers:
                if layer.weights:
                    shown.get_layer(layer.name).set_weights([by_path[v.path] for v in layer.weights])
            return shown

        slow = {layer.name for layer in part.layers if layer.weights and layer.name in encoder}
        self._loop(stage, folder, model, slow, make, finish, critic)

    def _loop(
        self, stage: StageConfig, folder: Path, model: ColorModel, slow: set[str], make: Any, finish: Any, critic: keras.Model | None = None
    ) -> None:
        optimizer = make_optimizer(stage, model, slow)
        model.compile(optimizer=optimizer)
        optimizer.build(model.trainable_variables)
        optimizers = [optimizer]
        if critic is not None:
            critic.optimizer.build(critic.trainable_variables)
            optimizers.append(critic.optimizer)
        average, start, spent = Average(model, self.config.ema), 0, Spent()
        state = folder / "state.npz"
        if state.exists():
            start, spent = restore_checkpoint(state, model, optimizers, average)
        alone = _batches_per_second(make, start) * stage.batch
        began, done = time.monotonic(), 0
        self.step_seconds = []
        with tqdm(total=stage.steps, initial=start, desc=stage.name, unit="step") as bar:
            for step, (x, y) in _ahead(make, start, stage.steps):
                step_began = time.monotonic()
                loss = float(model.train_on_batch(x, y))
                if critic is not None:
                    teach(critic, x, y["ab"], model.predict_on_batch(x)["ab"], y.get("labelled"))
                if (step + 1) % Average.EVERY == 0:
                    average.update(model, step)
                self.step_seconds.append(time.monotonic() - step_began)
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}")
                done += stage.batch
                last = step + 1 == stage.steps
                if last or (step + 1) % self.config.checkpoint_every == 0:
                    save_checkpoint(state, step + 1, model, optimizers, average, spent.until_now())
                if last or (step + 1) % self.config.validate_every == 0:
                    network = finish(average.values)
                    save_network(network, folder / WEIGHTS)
                    figures = self.validation.run(network, stage.size, folder / f"sheet-{step + 1:06d}.jpg")
                    speeds = {"pictures_per_second": done / (time.monotonic() - began), "pictures_per_second_without_network": alone}
                    self._log({"stage": stage.name, "step": step + 1, "loss": loss, **speeds, **figures})
        note_spent(self.folder, stage.name, stage.steps * stage.batch, spent.until_now())
        finish(average.values)

    def _log(self, row: dict[str, Any]) -> None:
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        plot_log(path, self.folder / "log.png")
        tqdm.write(json.dumps(row))


def seconds_per_step(run: Run) -> float:
    """Train a short run anew and say how long a step of it takes, once everything is compiled and memory has been touched."""
    for index, stage in enumerate(run.config.stage):
        shutil.rmtree(run.folder / f"{index}-{stage.name}", ignore_errors=True)  # of one that was cut off, too few steps are left
    run.train()
    return float(np.median(run.step_seconds[len(run.step_seconds) * 2 // 3 :]))
