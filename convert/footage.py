"""Footage of one camera as pictures: frames spread over its videos, split by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray
from PIL import Image

from edgecolor.errors import VideoError
from edgecolor.frame import Matrix
from edgecolor.monochrome import is_monochrome
from edgecolor.sources.planes import matrix_of

_COLORSPACES: dict[Matrix, Colorspace] = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_MOST_SIDE = 480  # held-out frames are kept at most this tall: scores are taken at 256


@dataclass(frozen=True)
class Footage:
    """Folders of frames: ``train``, stretched to the network's square as the runtime will see them, and ``held``, as they are.

    gray: how many frames had no colour to learn from, and were left out.
    """

    train: Path
    held: Path
    frames: tuple[int, int]
    gray: int


def _count(video: Path) -> int:
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise VideoError(f"{video}: no video stream in it")
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{video}: not a readable video ({error})") from error


def _frames(video: Path, wanted: set[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    read = 0
    with av.open(str(video)) as container:
        container.streams.video[0].thread_type = "AUTO"
        try:
            for index, frame in enumerate(container.decode(video=0)):
                if index in wanted:
                    # As the runtime reads it: untagged HD footage is BT.709, which FFmpeg's scaler does not assume.
                    yield index, np.asarray(frame.to_ndarray(format="rgb24", src_colorspace=_COLORSPACES[matrix_of(frame)]), np.uint8)
                read = index + 1
        except av.FFmpegError as error:
            raise VideoError(f"{video}: damaged after {read} frames ({error}); cut it there, or leave it out") from error


def _colored(rgb: NDArray[np.uint8]) -> bool:
    y, cr, cb = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
    return not is_monochrome((np.asarray(y, np.uint8), np.asarray(cb, np.uint8), np.asarray(cr, np.uint8)))


def _height_limited(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    if height <= _MOST_SIDE:
        return rgb
    size = (round(width * _MOST_SIDE / height), _MOST_SIDE)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def gather(videos: Sequence[Path], out: Path, size: int, count: int, held_share: float = 1 / 3) -> Footage:
    """Write ``count`` frames, evenly spread over the videos in the order given; the last ``held_share`` of that time is held out.

    Raises VideoError: a file that can not be read, or footage with too little colour (fewer than 8 frames on either side).
    """
    folders = out / "train", out / "held"
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    lengths = [_count(video) for video in videos]
    border = round(sum(lengths) * (1 - held_share))
    places = np.unique(np.linspace(0, sum(lengths) - 1, count).astype(int))
    written, gray, start = [0, 0], 0, 0
    for video, length in zip(videos, lengths, strict=True):
        wanted = {int(place) - start for place in places if start <= place < start + length}
        for index, rgb in _frames(video, wanted):
            if not _colored(rgb):
                gray += 1
                continue
            place = start + index
            held = place >= border
            kept = _height_limited(rgb) if held else np.asarray(cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
            Image.fromarray(kept).save(folders[held] / f"site-{place:08d}.png", compress_level=1)
            written[held] += 1
        start += length
    if min(written) < 8:
        raise VideoError(
            f"{', '.join(v.name for v in videos)}: {written[0]} frames in colour to learn from and {written[1]} to check with "
            f"({gray} are gray); at least 8 of each are needed: record by day"
        )
    return Footage(*folders, (written[0], written[1]), gray)
