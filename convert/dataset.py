"""Pictures for training: any folder of pictures or of stored zips, decoded once into a uint8 cache.

Nothing here knows a network. Decoding is Pillow's, which is also where trainers with a GPU and little else have it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from convert.config import DataConfig
from convert.documents import Document
from edgecolor.color import rgb_to_lab
from edgecolor.errors import ConfigError, PictureError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
Picture = NDArray[np.uint8]
# What zipfile and Pillow raise for damaged files; a damaged PNG is a SyntaxError.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, OverflowError, RuntimeError, struct.error, zlib.error,
            zipfile.BadZipFile, Image.DecompressionBombError)
_FORMAT = 2  # counts up when the cache is laid out anew


@functools.cache
def _archive(path: Path) -> zipfile.ZipFile:
    """Kept open: reading a directory of thousands of names costs more than a picture. Raises PictureError."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise PictureError(f"{path}: not a readable zip ({error}); copy it again, or take it away") from error


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

    @property
    def identity(self) -> list[str | int]:
        """What tells it from another picture of the same name, without reading it: name, bytes, and when it was changed or its CRC."""
        if self.member:
            entry = _archive(self.path).getinfo(self.member)
            return [self.name, entry.file_size, entry.CRC]
        stat = self.path.stat()
        return [self.name, stat.st_size, stat.st_mtime_ns]

    def read(self) -> Picture:
        """Decode to RGB (H, W, 3) uint8, upright. Raises PictureError."""
        archive = _archive(self.path) if self.member else None
        try:
            data = archive.read(self.member) if archive else self.path.read_bytes()
            with Image.open(io.BytesIO(data)) as picture:
                return np.asarray(_of_eight_bits(ImageOps.exif_transpose(picture)).convert("RGB"), np.uint8)
        except _DAMAGED as error:
            where = f"{self.path}, {self.member}" if self.member else self.path
            raise PictureError(f"{where}: not a picture that Pillow can decode ({error}); copy it again, or take it away") from error


def _of_eight_bits(picture: Image.Image) -> Image.Image:
    """Gray of 16 bits (in mode I: with more than 8) to 8, by its high byte; Pillow's own conversion clips at 255."""
    if not picture.mode.startswith("I"):
        return picture
    gray = np.asarray(picture, np.int64)
    return Image.fromarray(np.clip(gray >> 8, 0, 255).astype(np.uint8)) if picture.mode != "I" or gray.max() > 255 else picture


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


def luma_of(rgb: Picture, size: tuple[int, int] | None = None) -> Picture:
    """Rec. 601 luma (H, W) uint8 of RGB, resized by area to ``size`` (width, height) where given."""
    gray = Image.fromarray(rgb).convert("L")  # Pillow's L is Rec. 601 luma
    return np.asarray(gray.resize(size, Image.Resampling.BOX, reducing_gap=None) if size else gray, np.uint8)


def resize(rgb: Picture, size: tuple[int, int]) -> Picture:
    """RGB resized by area (width, height)."""
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX), np.uint8)


def training_pictures(config: DataConfig) -> list[PictureFile]:
    """What is trained on: without a validation folder those of ``train`` that are not set aside. Raises PictureError, ConfigError."""
    return list_pictures(Path(config.train)) if config.validation else _shares(config)[0]


def validation_pictures(config: DataConfig) -> list[PictureFile]:
    """The validation folder's pictures, or those of ``train`` that are set aside. Raises PictureError, ConfigError."""
    return list_pictures(Path(config.validation)) if config.validation else _shares(config)[1]


def _shares(config: DataConfig) -> tuple[list[PictureFile], list[PictureFile]]:
    pictures = list_pictures(Path(config.train))
    shares = split(pictures, config.validation_share)
    if not all(shares):
        raise ConfigError(
            f"{config.train}: {len(pictures)} pictures are too few to set {config.validation_share:.0%} of them aside for validation; give "
            "a folder of others (--validation, or data.validation), or another data.validation_share"
        )
    return shares


class PictureCache:
    """All training pictures as luma and colour, uint8 and int8, in two memory-mapped files; made once, then reused.

    A picture is scaled to ``short_side`` and cut to at most 4:3, and lies at the top left of a square canvas:
    luma (N, C, C) uint8, Rec. 601; ab (N, C/2, C/2, 2) int8 in CIELAB units, each the colour of 2x2 pixels' mean;
    shapes (N, 2), the height and width that are used; labelled (N,) bool, whether its colours are to be learnt. 55 kB a picture
    at 144: a GPU's memory holds them all. digest: a name for these pictures at this short side.
    """

    def __init__(self, folder: Path, config: DataConfig) -> None:
        pictures = training_pictures(config)
        unlabelled = list_pictures(Path(config.unlabelled)) if config.unlabelled else []
        everything: list[PictureFile | Document] = [*pictures, *(Document(number) for number in range(config.documents)), *unlabelled]
        key = [_FORMAT, config.short_side, *(picture.identity for picture in everything)]
        self.digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        self.canvas = config.short_side * 4 // 3 // 4 * 4
        luma, ab, index = (folder / f"pictures-{self.digest}.{kind}" for kind in ("luma", "ab", "npz"))
        if not index.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._decode(everything, config.short_side, luma, ab, index)
        table = np.load(index)
        self.shapes, self.sources = table["shapes"], table["sources"]
        count, side = len(self.shapes), self.canvas
        self.luma = np.memmap(luma, np.uint8, "r", shape=(count, side, side))
        self.ab = np.memmap(ab, np.int8, "r", shape=(count, side // 2, side // 2, 2))
        factors = [config.oversample.get(str(source), 1.0) for source in self.sources]
        self._weights = np.asarray(factors, np.float64)
        self.labelled = np.arange(count) < count - len(unlabelled)

    def weights(self, *, unlabelled: bool = False) -> NDArray[np.float64]:
        """How probable each picture is to be drawn. unlabelled: those without colours to learn too."""
        weights = self._weights if unlabelled else self._weights * self.labelled
        return np.asarray(weights / weights.sum(), np.float64)

    def _decode(self, pictures: list[PictureFile | Document], short_side: int, luma: Path, ab: Path, index: Path) -> None:
        shapes = []
        with luma.open("wb") as lumas, ab.open("wb") as colors, ThreadPoolExecutor(os.cpu_count()) as pool:
            fitted = pool.map(lambda p: _fit(p.read(), short_side, self.canvas), pictures)
            for rgb in tqdm(fitted, "decode", len(pictures), unit="picture"):
                h, w = rgb.shape[:2]
                canvas = np.zeros((self.canvas, self.canvas), np.uint8)
                canvas[:h, :w] = luma_of(rgb)
                color = np.zeros((self.canvas // 2, self.canvas // 2, 2), np.int8)
                half = rgb.reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3)) / 255
                color[: h // 2, : w // 2] = np.clip(np.rint(rgb_to_lab(half)[..., 1:]), -127, 127)
                lumas.write(canvas.tobytes())
                colors.write(color.tobytes())
                shapes.append((h, w))
        part = index.with_name(f"part-{index.name}")
        np.savez(part, shapes=np.array(shapes, np.float32), sources=np.array([p.source for p in pictures]))
        part.rename(index)

    def __len__(self) -> int:
        return len(self.shapes)

    def take(self, indices: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        """Canvases of the pictures at ``indices``: luma (N, C, C) uint8 and ab (N, C/2, C/2, 2) int8."""
        return np.asarray(self.luma[indices]), np.asarray(self.ab[indices])


def _fit(rgb: Picture, short_side: int, canvas: int) -> Picture:
    """Scale to ``short_side`` (even), cut the middle of what is longer than ``canvas``."""
    h, w = rgb.shape[:2]
    factor = short_side / min(h, w)
    size = max(short_side, round(w * factor) // 2 * 2), max(short_side, round(h * factor) // 2 * 2)
    method = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    scaled = np.asarray(Image.fromarray(rgb).resize(size, method), np.uint8)
    top, left = (max(0, side - canvas) // 2 for side in scaled.shape[:2])
    return scaled[top : top + canvas, left : left + canvas]
