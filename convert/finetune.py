"""A site model: ``edgecolor`` fine-tuned on one fixed camera's own colours by day, for its nights.

Half of what it sees is the site's frames (with camera effects: darkness, noise, blur), half general pictures, of which it
learns what the general model says of them, so that it does not forget (Li and Hoiem 2016, "Learning without forgetting",
arXiv:1606.09282). What it knows for sure need not fade as guesses do: the site's decoding is chosen too. Afterwards the
weights are moved back towards where they began as far as needed for the general figures to hold (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models", arXiv:2109.01903).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convert.card import write_cards
from convert.config import BinsConfig, DataConfig, NetworkConfig, StageConfig, TrainConfig
from convert.dataset import PictureFile, list_pictures
from convert.entries import open_entry
from convert.evaluate import choose_pictures, score
from convert.export import export
from convert.files import write_file, write_json
from convert.footage import Footage, gather
from convert.metrics import Judge
from convert.scores import Figures
from convert.train import Run, seconds_per_step
from convert.weights import load_network, mix_networks, recipe_of, save_network
from edgecolor.errors import ConfigError

FORGETTING = 0.05  # how far a general figure may fall, as a share of itself
_GUARDED = {"ab_distance": 1, "frechet": 1, "colorfulness": -1}  # +1: more is worse
_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)  # how much of the way from the general weights to the site's
_PROBE_STEPS = 30
GENERAL = "general"


@dataclass(frozen=True)
class Report:
    """Figures of the held-out footage and of general pictures: of the float weights before, of the int8 model after.

    share: of the way that was kept. doubt: the site model's (see edgecolor.color.settle).
    """

    site: tuple[Figures, Figures]
    general: tuple[Figures, Figures]
    share: float
    doubt: float
    footage: Footage
    steps: int

    @property
    def gain(self) -> float:
        """By how much the mean ab distance on the held-out footage fell, as a share of itself."""
        return 1 - self.site[1]["ab_distance"] / self.site[0]["ab_distance"]


def _rehearsal(pictures: Sequence[PictureFile], out: Path, size: int, count: int, seed: int) -> int:
    """Copy ``count`` general pictures, at the short side that is trained on."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(seed).choice(len(pictures), min(count, len(pictures)), replace=False)
    for number, index in enumerate(chosen):
        picture = Image.fromarray(pictures[int(index)].read())
        factor = size / min(picture.size)
        picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC).save(
            out / f"general-{number:05d}.png", compress_level=1
        )
    return len(chosen)


def _config(recipe: dict[str, Any], weights: Path, work: Path, footage: Footage, size: int, general: int, steps: int) -> TrainConfig:
    network: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe["network"].items()}
    stage = StageConfig(
        "site", "whole", steps, batch=16, size=size, crop=(0.85, 1.0), camera=0.5, learning_rate=4e-4, encoder_rate=0.3, frozen_blocks=3,
        warmup=min(20, steps // 4), bins_weight=0.5, annealed_share=0.3, teacher=str(weights), taught=0.0,
    )
    factors = {"site": general / footage.frames[0]} if general else {}
    return TrainConfig(
        str(work / "run"), start=str(weights), ema=0.99, checkpoint_every=100, validate_every=10**9, stage=(stage,),
        data=DataConfig(
            str(footage.train), str(footage.held), unlabelled=str(work / GENERAL) if general else "", short_side=size, oversample=factors,
        ),
        network=NetworkConfig(**network), bins=BinsConfig(**recipe["bins"]),
    )


def _figures(name: str, files: list[PictureFile], weights: Sequence[Path], size: int, judge: Judge) -> list[Figures]:
    entries = [open_entry(str(path), (size, size)) for path in weights]
    rows = score(name, files, entries, judge).rows
    return [rows[entry.name].figures for entry in entries]


def _forgotten(before: Figures, after: Figures) -> list[str]:
    return [key for key, sign in _GUARDED.items() if sign * (after[key] / before[key] - 1) > FORGETTING]


def _names(pictures: Sequence[PictureFile]) -> str:
    return hashlib.sha256("\n".join(picture.name for picture in pictures).encode()).hexdigest()


def representative(footage: Footage, general: Path, count: int) -> list[PictureFile]:
    """Up to ``count`` pictures to calibrate on, as many of the site's frames as of the general pictures: a range of colours that is the
    site's alone would cut all others off."""
    folders = [list_pictures(folder) for folder in (footage.train, general)]
    each = min(count // 2, *(len(pictures) for pictures in folders))
    return [pictures[index] for pictures in folders for index in np.linspace(0, len(pictures) - 1, each).astype(int)]


def finetune(
    weights: Path, videos: Sequence[Path], out: Path, minutes: float, general: Sequence[PictureFile], guard: list[PictureFile], *,
    size: int = 192, frames: int = 600, rehearsal: int = 1500, calibrating: int = 300, seed: int = 1,
) -> tuple[list[Path], Report]:
    """Fine-tune packed ``weights`` on videos of one camera: writes ``out`` (int8 .tflite), -float beside it; gives (cards, report).

    general: pictures to rehearse, guard: others to check that nothing was forgotten, by the int8 model. Frames and the run lie in ``out``
    with the suffix .run; what was cut off goes on there. Raises VideoError (the footage), ConfigError (weights without configuration,
    another fine-tuning begun there, general pictures forgotten).
    """
    recipe, work = recipe_of(weights), out.with_suffix(".run")
    site = work / "site.keras"
    marker = work / "footage.json"
    asked = {
        "from": hashlib.sha256(weights.read_bytes()).hexdigest(), "general": _names(general), "size": size, "minutes": minutes,
        "videos": [[video.name, video.stat().st_size] for video in videos if video.is_file()],
    }
    if marker.exists():
        begun = json.loads(marker.read_text())
        if begun["asked"] != asked:
            other = [key for key in asked if begun["asked"].get(key) != asked[key]]
            raise ConfigError(f"{work}: a fine-tuning with other {', '.join(other)} was begun there; remove it, or choose another -o")
        footage = Footage(work / "frames" / "train", work / "frames" / "held", begun["frames"], begun["gray"])
    else:
        for left in ("frames", GENERAL, "run", "probe"):
            shutil.rmtree(work / left, ignore_errors=True)
        footage = gather(videos, work / "frames", size, frames)
        _rehearsal(general, work / GENERAL, size, rehearsal, seed)
        write_file(marker, json.dumps({"asked": asked, "frames": footage.frames, "gray": footage.gray}).encode())
    rehearsed = min(rehearsal, len(general))
    steps = work / "steps.txt"
    if not steps.exists():
        probe = _config(recipe, weights, work, footage, size, rehearsed, _PROBE_STEPS)
        rate = seconds_per_step(Run(replace(probe, out=str(work / "probe"))))
        write_file(steps, str(max(_PROBE_STEPS, round(60 * minutes / rate))).encode())
    config = _config(recipe, weights, work, footage, size, rehearsed, int(steps.read_text()))
    trained = Run(config).train()

    bins = weights.with_suffix(".bins.npy")
    if bins.exists():
        shutil.copy(bins, site.with_suffix(".bins.npy"))
    judge = Judge()
    base, tuned = load_network(weights), load_network(trained)
    seen = representative(footage, work / GENERAL, calibrating)
    calibrated = {"pictures": len(seen), "representative": len(seen)}
    general_before = _figures("general", guard, [weights], size, judge)[0]
    # What belongs beside the weights comes first: they are scored as it says.
    mine = {**recipe, "data": {**recipe["data"], "train": str(footage.train)}}
    doubt = float(recipe.get("decoding", {}).get("doubt", 0.0))
    for share, doubt_left in itertools.product(_SHARES, _doubts(doubt)):
        mine["decoding"] = {**recipe.get("decoding", {"gain": 1.0}), "doubt": doubt_left}
        write_json(site.with_suffix(".config.json"), mine)
        save_network(mix_networks(base, tuned, share), site)
        general_after = _figures("general", guard, [site], size, judge)[0]
        if _forgotten(general_before, general_after):
            continue
        made = export(site, work / "made" / out.name, (size, size), seen, len(seen))
        write_cards(made, site, mine, calibrated)
        general_after = _figures("general", guard, [made.int8], size, judge)[0]
        if not _forgotten(general_before, general_after):
            break
    else:
        raise ConfigError(f"even a fifth of this fine-tuning makes {', '.join(_forgotten(general_before, general_after))} of general "
                          f"pictures more than {FORGETTING:.0%} worse; use more varied footage, or fewer --minutes")
    held = choose_pictures(footage.held)
    before, after = _figures("held-out footage", held, [weights, made.int8], size, judge)
    report = Report((before, after), (general_before, general_after), share, doubt_left, footage, config.stage[0].steps)
    about = {"videos": [video.name for video in videos], "frames": footage.frames, "steps": report.steps, "kept": share,
             "held_out": report.site, "general": report.general}
    cards = write_cards(made, site, mine, calibrated, {"site": about})
    # The cards come last: a model without one is not taken for finished.
    return [path.replace(out.with_name(path.name)) for path in (made.float32, made.int8, *cards)][2:], report


def _doubts(general: float) -> list[float]:
    """The general model's doubt comes last: a site's colours are often fainter than what counts as a guess elsewhere."""
    return [general / 4, general / 2, general] if general else [0.0]


def markdown(report: Report) -> str:
    """The report as a table."""
    rows = ["| | PSNR dB | ab distance | CIEDE2000 | colourfulness | Frechet | agreement |", "|---|---|---|---|---|---|---|"]
    for title, (before, after) in (("held-out footage", report.site), ("general pictures", report.general)):
        for when, figures in (("before", before), ("after", after)):
            cells = (f"{figures[key]:.{digits}f}" for key, digits in (
                ("psnr", 2), ("ab_distance", 2), ("ciede2000", 2), ("colorfulness", 1), ("frechet", 1), ("agreement", 3)))
            rows.append(f"| {title}, {when} | {' | '.join(cells)} |")
    kept = f"{report.steps} steps, {report.share:.0%} of the way kept, doubt {report.doubt:g}"
    return "\n".join([*rows, "", f"ab distance on held-out footage: {-report.gain:+.1%}; {kept}"])
