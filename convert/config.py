"""Training configuration: frozen dataclasses read from TOML. An unknown key is an error that names the nearest known one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgecolor.config import build
from edgecolor.errors import ConfigError
from edgecolor.layers import read_layers

STRIDE = 32  # of the encoder's deepest features: what a network's sides are multiples of


def _within(config: object, low: float, high: float, *names: str) -> None:
    """Raise ConfigError for the first of these fields that is not in [low, high]."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high:
            bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise ConfigError(f"{name} = {value:g} is not {bounds}")


@dataclass(frozen=True)
class DataConfig:
    """Where pictures come from. ``train`` is a folder of pictures and of stored zips of pictures, searched recursively."""

    train: str = "../shared/data/train"
    validation: str = ""  # empty: a deterministic share of ``train``, by the hash of each file's name
    validation_share: float = 0.02
    unlabelled: str = ""  # pictures without colours of their own: a stage with a teacher uses them too
    short_side: int = 144  # pictures are decoded once and kept at this short side
    documents: int = 0  # so many drawn pages without colour are added to the pictures
    oversample: dict[str, float] = field(default_factory=dict)  # name prefix (before the last "-") -> factor

    def __post_init__(self) -> None:
        _within(self, 0, math.inf, "documents")
        if not 0 < self.validation_share < 1:
            raise ConfigError(f"validation_share = {self.validation_share:g} is not between 0 and 1")
        if self.short_side < 32 or self.short_side % 2:
            raise ConfigError(f"short_side = {self.short_side} is not an even number from 32 on")
        if wrong := [name for name, factor in self.oversample.items() if not 0 < factor < math.inf]:
            raise ConfigError(f"oversample: the factor of {wrong[0]} is not above 0")


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and its widths (see convert.network)."""

    kind: Literal["edgecolor", "seed"] = "edgecolor"
    lite: int = 0
    kept: tuple[float, float, float, float, float, float, float] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    repeats: tuple[int, int, int, int, int, int, int] = (99, 99, 99, 99, 99, 99, 99)
    channels: tuple[int, int, int] = (160, 96, 64)
    blocks: tuple[int, int, int] = (2, 1, 2)
    hidden: int = 0

    def __post_init__(self) -> None:
        _within(self, 0, 2, "lite")
        _within(self, 0, math.inf, "hidden")
        if min(self.channels) < 1 or min(self.blocks) < 0:
            raise ConfigError("channels are at least 1, blocks at least 0")


@dataclass(frozen=True)
class BinsConfig:
    """The ab-bin classification head (Zhang et al. 2016): k-means bins, soft targets, rebalancing, annealed mean."""

    count: int = 96
    centers: str = ""  # a .npy of another network's bins: networks of the same ones can teach each other; empty: found, or those of start
    neighbours: int = 5
    sigma: float = 5.0  # CIELAB units
    rebalance: float = 0.5  # 0: the rarer a bin is, the more it weighs; 1: all weigh alike
    temperature: float = 0.38

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "count", "neighbours")
        _within(self, 0, 1, "rebalance")
        if min(self.sigma, self.temperature) <= 0:
            raise ConfigError("sigma and temperature are above 0")


@dataclass(frozen=True)
class DecodingConfig:
    """What the exported model's card tells the runtime to do with the output: see edgecolor.color.settle. No part of training."""

    doubt: float = 0.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        _within(self, 0, 50, "doubt")  # both as edgecolor.assets takes them
        _within(self, 0.1, 4, "gain")


@dataclass(frozen=True)
class StageConfig:
    """One stage of training. ``whole``: the network, on pictures. On the encoder's cached features: ``features``, a decoder begun anew;
    ``deep``, the network behind its first blocks, those up to stride 8."""

    name: str
    kind: Literal["features", "deep", "whole"]
    steps: int
    batch: int = 128
    size: int = 128  # side of the network's input
    crop: tuple[float, float] = (0.6, 1.0)  # side of the square crop, as a share of the picture's short side
    camera: float = 0.3  # share of pictures that get camera augmentation
    passes: int = 3  # features: how many crops of the data set are cached
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 2e-3
    encoder_rate: float = 0.1  # whole: the encoder's learning rate, as a share of learning_rate
    frozen_depthwise: bool = False  # deep, whole: so do the encoder's depthwise kernels, whose gradients take long
    frozen_blocks: int = 2  # whole: the stem and this many first blocks stay as published
    warmup: int = 300
    bins_weight: float = 1.0
    annealed_share: float = 0.6  # the regression head aims at this share of the annealed mean, and the rest of the truth
    fade: float = 0.0  # how much what can not be told, by a teacher either, is aimed at paler, see convert.losses.certainty; 0: not at all
    gradient: float = 0.0  # weight of the difference of ab between neighbouring pixels: against bleeding
    perceptual: float = 0.0  # weight of the perceptual loss: it should look the same to another encoder
    recognition: float = 0.0  # weight of the recognition loss: that encoder's classifier should say the same of it
    perceived: int = 0  # how many pictures of a batch that encoder sees: it takes most of a step's time; 0: all
    perceptual_lite: int = 1  # whose eyes: EfficientNet-Lite1 or 2; Lite0 judges the results and is never used here
    adversarial: float = 0.0  # whole: weight of a critic's opinion, see convert.critic
    critic_rate: float = 4e-4  # the critic's own learning rate
    teacher: str = ""  # a .keras file, with its bins, of the network from whose output is learnt too, and by a whole stage from its bins
    taught: float = 0.7  # how much of the aim is the teacher's, the rest is the truth's; all where there is no truth
    pixels: int = 256  # how many pixels of a grid take part in a step's loss; 0: all

    def __post_init__(self) -> None:
        if not self.name or {"/", "\\"} & set(self.name):
            raise ConfigError(f"name = {self.name!r} can not be a folder's")
        if self.size < STRIDE or self.size % STRIDE:
            raise ConfigError(f"size = {self.size} is no multiple of {STRIDE}, the encoder's stride")
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ConfigError(f"crop = {list(self.crop)} is not a range of shares above 0, at most 1")
        _within(self, 1, math.inf, "batch", "passes")
        _within(self, 0, math.inf, "steps", "warmup", "frozen_blocks", "perceived", "pixels")
        _within(self, 0, math.inf, "learning_rate", "encoder_rate", "critic_rate", "bins_weight", "fade", "gradient", "perceptual",
                "recognition", "adversarial")
        _within(self, 0, 1, "camera", "annealed_share", "taught")
        if self.perceptual_lite not in (1, 2):
            raise ConfigError(f"perceptual_lite = {self.perceptual_lite} is not 1 or 2; Lite0 judges the results and must not teach them")


@dataclass(frozen=True)
class TrainConfig:
    """A whole training run."""

    out: str
    start: str = ""  # a .keras file whose weights the first stage starts from
    resident: bool = False  # keep all pictures in the device's memory: for a GPU
    precision: Literal["float32", "mixed_bfloat16"] = "float32"  # bfloat16 where the device is made for it
    data_parallel: bool = False  # split each batch over all devices (keras.distribution, JAX only)
    seed: int = 1
    ema: float = 0.998
    checkpoint_every: int = 500
    validate_every: int = 1000
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    bins: BinsConfig = BinsConfig()
    decoding: DecodingConfig = DecodingConfig()
    stage: tuple[StageConfig, ...] = ()

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "checkpoint_every", "validate_every")
        _within(self, 0, 1, "ema")
        _within(self, 0, math.inf, "seed")
        if self.network.kind == "seed" and any(stage.kind != "whole" for stage in self.stage):
            raise ConfigError("a seed network has no encoder whose features could be cached: its stages are of kind whole")


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file. Raises ConfigError with file, line and key."""
    return build(TrainConfig, read_layers(path))
