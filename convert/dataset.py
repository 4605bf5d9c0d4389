"""Pictures for training: any folder of pictures or of stored zips, decoded once into a uint8 cache, cropped at random.

Nothing here knows a network. Every random choice is a pure function of (seed, index), so that a run that was killed
and resumed sees the same data in the same order.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.config import DataConfig
from edgecolor.color import rgb_to_lab
from edgecolor.errors import PictureError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
Picture = NDArray[np.uint8]


@functools.cache
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)  # kept open: reading a directory of thousands of names costs more than a picture


@dataclass(frozen=True)
class PictureFile:
    """One picture on disk, or a member of a zip."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        return self.member or self.path.name

    @property
    def source(self) -> str:
        """What stands before the last "-" of the name: the packed shards name a picture's source there."""
        stem = Path(self.name).stem
        return stem.rsplit("-", 1)[0] if "-" in stem else ""

    def read(self) -> Picture:
        """Decode to RGB (H, W, 3) uint8. Raises PictureError."""
        data = _archive(self.path).read(self.member) if self.member else self.path.read_bytes()
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise PictureError(f"{self.path} {self.member}: not a picture that OpenCV can decode")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def list_pictures(root: Path) -> list[PictureFile]:
    """Every picture under ``root``, those inside zips too, in a fixed order. Raises PictureError when there is none."""
    found: list[PictureFile] = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if path.suffix.lower() == ".zip":
            found += [PictureFile(path, name) for name in sorted(_archive(path).namelist()) if Path(name).suffix.lower() in SUFFIXES]
        elif path.suffix.lower() in SUFFIXES:
            found.append(PictureFile(path))
    if not found:
        raise PictureError(f"{root}: no pictures there ({', '.join(sorted(SUFFIXES))}, or zips of them)")
    return found


def split(pictures: Sequence[PictureFile], share: float) -> tuple[list[PictureFile], list[PictureFile]]:
    """(training, validation) by the hash of each file's name: the same for every machine, order and addition of files."""

    def is_validation(picture: PictureFile) -> bool:
        return int.from_bytes(hashlib.sha256(picture.name.encode()).digest()[:4], "big") < share * 2**32

    return [p for p in pictures if not is_validation(p)], [p for p in pictures if is_validation(p)]


def _fit_short_side(rgb: Picture, side: int) -> Picture:
    h, w = rgb.shape[:2]
    factor = side / min(h, w)
    size = (max(side, round(w * factor)), max(side, round(h * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size, interpolation=method), np.uint8)


class PictureCache:
    """All training pictures as RGB uint8 at one short side, in one memory-mapped file; made once, then reused."""

    def __init__(self, folder: Path, config: DataConfig) -> None:
        pictures = list_pictures(Path(config.train))
        if not config.validation:
            pictures, _ = split(pictures, config.validation_share)
        digest = hashlib.sha256(json.dumps([config.short_side, *(p.name for p in pictures)]).encode()).hexdigest()[:16]
        data, index = folder / f"pictures-{digest}.u8", folder / f"pictures-{digest}.npz"
        if not index.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._decode(pictures, config.short_side, data, index)
        table = np.load(index)
        self._offsets, self._shapes, self.sources = table["offsets"], table["shapes"], table["sources"]
        self._bytes = np.memmap(data, np.uint8, "r")
        factors = [config.oversample.get(str(source), 1.0) for source in self.sources]
        self.weights = np.asarray(factors, np.float64) / np.sum(factors)

    @staticmethod
    def _decode(pictures: list[PictureFile], side: int, data: Path, index: Path) -> None:
        offsets, shapes, sources, end = [], [], [], 0
        with data.open("wb") as stream, ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(lambda p: _fit_short_side(p.read(), side), pictures)
            for picture, rgb in tqdm(zip(pictures, decoded, strict=True), "decode", len(pictures), unit="picture"):
                stream.write(rgb.tobytes())
                offsets.append(end)
                shapes.append(rgb.shape[:2])
                sources.append(picture.source)
                end += rgb.nbytes
        part = index.with_name(f"part-{index.name}")
        np.savez(part, offsets=np.array(offsets), shapes=np.array(shapes), sources=np.array(sources))
        part.rename(index)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, i: int) -> Picture:
        h, w = self._shapes[i]
        return np.asarray(self._bytes[self._offsets[i] : self._offsets[i] + h * w * 3]).reshape(h, w, 3)


def camera_luma(luma: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """What cameras do to luma (H, W) in [0, 1]: tone, blur, vignetting, low light with noise, coarse compression.

    Each effect is applied by its own chance; the colour target stays that of the clean picture.
    """
    h, w = luma.shape
    if rng.random() < 0.6:
        luma = luma ** np.float32(np.exp(rng.uniform(-0.6, 0.6)))
    if rng.random() < 0.5:
        contrast, middle = rng.uniform(0.5, 1.25), rng.uniform(0.35, 0.65)
        luma = (luma - np.float32(middle)) * np.float32(contrast) + np.float32(middle + rng.uniform(-0.1, 0.1))
    if rng.random() < 0.3:
        luma = cv2.GaussianBlur(luma, (0, 0), rng.uniform(0.4, 1.6))  # type: ignore[assignment]
    if rng.random() < 0.2:
        y, x = np.mgrid[-1 : 1 : complex(h), -1 : 1 : complex(w)]
        luma = luma * (1 - np.float32(rng.uniform(0.1, 0.5)) * (x * x + y * y) / 2).astype(np.float32)
    if rng.random() < 0.25:
        luma = luma * np.float32(rng.uniform(0.2, 0.8))
    if rng.random() < 0.6:
        sigma = rng.uniform(0.0, 0.08) * np.sqrt(np.clip(luma, 0.02, 1))  # shot noise grows with the root of light
        luma = luma + (rng.standard_normal((h, w)) * sigma).astype(np.float32)
    luma = np.clip(luma, 0, 1)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))]
        coded = cv2.imencode(".jpg", (luma * 255).astype(np.uint8), quality)[1]
        luma = (cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE) / np.float32(255)).astype(np.float32)
    return luma.astype(np.float32)


def random_sample(
    rgb: Picture, size: int, crop: tuple[float, float], camera: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """One random crop: (luma (size, size) uint8 full range, ab target (size/4, size/4, 2) int8 in CIELAB units).

    Luma is Rec. 601, what a camera sends. The target is the picture's colour averaged over each output pixel's area.
    """
    h, w = rgb.shape[:2]
    side = max(16, round(min(h, w) * rng.uniform(*crop)))
    top, left = rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)
    patch = rgb[top : top + side, left : left + side]
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    patch = np.ascontiguousarray(patch)
    resized = cv2.resize(patch, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    target = cv2.resize(patch, (size // 4, size // 4), interpolation=cv2.INTER_AREA)
    luma = np.asarray(cv2.cvtColor(resized, cv2.COLOR_RGB2GRAY), np.uint8)  # OpenCV's gray is Rec. 601 luma
    if rng.random() < camera:
        luma = np.rint(camera_luma(luma / np.float32(255), rng) * 255).astype(np.uint8)
    ab = rgb_to_lab(target / np.float32(255))[..., 1:]
    return luma, np.clip(np.rint(ab), -127, 127).astype(np.int8)


def sample_batch(
    cache: PictureCache, indices: NDArray[Any], seeds: NDArray[Any], size: int, crop: tuple[float, float], camera: float,
    pool: ThreadPoolExecutor,
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Random crops of the pictures at ``indices``, each by its own seed: (N, size, size) uint8, (N, size/4, size/4, 2) int8."""

    def one(pair: tuple[int, Any]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        return random_sample(cache[pair[0]], size, crop, camera, np.random.default_rng(pair[1]))

    lumas, targets = zip(*pool.map(one, zip(indices, seeds, strict=True)), strict=True)
    return np.stack(lumas), np.stack(targets)
