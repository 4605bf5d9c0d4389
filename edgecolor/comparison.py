"""Two sets of pictures or videos beside each other, for a person to look at: a page with sliders, and a contact sheet."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecolor.containers import FORMAT_OF_SUFFIX
from edgecolor.errors import ConfigError, PictureError, VideoError
from edgecolor.pictures import to_8_bits
from edgecolor.plan import VIDEO_SUFFIXES
from edgecolor.sources.images import color_pixels, open_picture

_FILES = Path(__file__).parent
_QUALITY = 85
_UNKNOWN_RATE = 25
_EARLIER_S = (0.0, 10.0, float("inf"))  # where decoding begins, until a frame comes out that is not too late
_GAP, _BAR = 4, 22  # pixels of the sheet: between pictures, and for a row's name
Pixels = NDArray[np.uint8]  # (H, W, 3) BGR


@dataclass(frozen=True)
class View:
    """The same picture, or the same moment of a video, from both sides; both have one size."""

    name: str
    a: Pixels
    b: Pixels


def find_pairs(a: Path, b: Path) -> tuple[list[tuple[str, Path, Path]], list[Path]]:
    """(name, file of A, file of B), and the files that only one side has, or whose counterpart is not plain.

    Files are a pair as they are. In folders those of the same path are; then, of the others, two pictures or two videos whose paths
    differ in their suffixes only, where each side has one. Raises ConfigError: one is a folder and the other is not, one is missing or
    can not be read, or nothing fits together.
    """
    try:
        for side in (a, b):
            side.stat()
        if a.is_dir() != b.is_dir():
            raise ConfigError(f"{a} and {b}: compare two files or two folders, not one with the other")
        if not a.is_dir():
            return [(a.name, a, b)], []
        sides = [_files(a), _files(b)]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{error.filename}: there is no such file or folder") from error
    except OSError as error:
        raise ConfigError(f"{error.filename}: can not be read: {error.strerror}") from error
    pairs = [(name, sides[0][name], sides[1][name]) for name in sides[0].keys() & sides[1].keys()]
    left = [_by_stem(side, {name for name, *_ in pairs}) for side in sides]
    alone: list[Path] = []
    for key in left[0].keys() | left[1].keys():
        of_a, of_b = (side.get(key, []) for side in left)
        if len(of_a) == len(of_b) == 1:
            pairs.append((key[0], of_a[0], of_b[0]))
        else:
            alone += of_a + of_b
    if not pairs:
        raise ConfigError(f"{a} and {b}: no picture or video has the same name in both")
    return sorted(pairs), sorted(alone)


def views(name: str, a: Path, b: Path, width: int, frames: int) -> Iterator[View]:
    """A pair's picture, or ``frames`` moments of its videos, evenly spread; not wider than ``width``. A's shape counts.

    Raises PictureError or VideoError: not readable, or a picture beside a video.
    """
    video = [side.suffix.lower() in VIDEO_SUFFIXES for side in (a, b)]
    if video[0] != video[1]:
        raise PictureError(f"{a} and {b}: one is a picture, the other a video")
    if not video[0]:
        yield _view(name, _picture(a), _picture(b), width)
        return
    seconds = min(_duration(a), _duration(b))
    for number in range(frames):
        moment = seconds * (number + 0.5) / frames
        yield _view(f"{name}, {moment:.2f} s", _frame(a, moment), _frame(b, moment), width)


def page(a: str, b: str, shown: list[View]) -> str:
    """One HTML document that needs nothing from anywhere: pictures, style and script are in it, and its policy allows no more."""
    style, script = ((_FILES / f"comparison.{kind}").read_text("utf-8") for kind in ("css", "js"))
    values = {
        "title": "Comparison", "a": html.escape(a), "b": html.escape(b), "style": style, "script": script,
        "style-hash": _hash(style), "script-hash": _hash(script), "figures": "\n".join(map(_figure, shown)),
    }  # fmt: skip
    text = (_FILES / "comparison.html").read_text("utf-8")
    pieces = text.split("{{")
    return pieces[0] + "".join(values[key] + rest for key, _, rest in (piece.partition("}}") for piece in pieces[1:]))


def sheet(shown: list[View], width: int, columns: int = 2) -> Pixels:
    """A contact sheet: A and B of each view beside each other, ``columns`` views in a row, each ``width`` pixels wide in all."""
    cells = [_cell(view, width) for view in shown]
    rows: list[Pixels] = []
    for start in range(0, len(cells), columns):
        row = cells[start : start + columns]
        height = max(cell.shape[0] for cell in row)
        padded = [cv2.copyMakeBorder(c, 0, height - c.shape[0], 0, _GAP, cv2.BORDER_CONSTANT, value=(0, 0, 0)) for c in row]
        padded += [np.zeros_like(padded[0])] * (columns - len(row) if rows else 0)
        rows.append(np.concatenate(padded, axis=1))
    return np.concatenate(rows)


def _files(folder: Path) -> dict[str, Path]:
    """By their paths in the folder."""
    known = FORMAT_OF_SUFFIX.keys() | set(VIDEO_SUFFIXES)
    found = (path for path in folder.rglob("*") if path.suffix.lower() in known and path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}


def _by_stem(files: dict[str, Path], but: set[str]) -> dict[tuple[str, bool], list[Path]]:
    """By their paths without the suffix, and whether they are videos."""
    found: dict[tuple[str, bool], list[Path]] = {}
    for name, path in files.items():
        if name not in but:
            stem = PurePosixPath(name).with_suffix("").as_posix()
            found.setdefault((stem, path.suffix.lower() in VIDEO_SUFFIXES), []).append(path)
    return found


def _view(name: str, a: Pixels, b: Pixels, width: int) -> View:
    scale = min(1.0, width / a.shape[1])
    size = max(1, round(a.shape[1] * scale)), max(1, round(a.shape[0] * scale))
    first, second = (side if side.shape[1::-1] == size else cv2.resize(side, size, interpolation=cv2.INTER_AREA) for side in (a, b))
    return View(name, first, second)  # type: ignore[arg-type]


def _picture(path: Path) -> Pixels:
    pixels = to_8_bits(color_pixels(open_picture(path)))
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., :3])  # type: ignore[return-value]


def _duration(path: Path) -> float:
    import av

    with _opened(path) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if container.duration:
            return float(container.duration / av.time_base)
        return sum(1 for packet in container.demux(stream) if packet.size) / _rate(stream)  # a raw stream


def _frame(path: Path, moment: float) -> Pixels:
    """The frame that is shown at a moment, in seconds from the first one; the last one when there are no more."""
    for earlier in _EARLIER_S:
        found, timely = _frame_from(path, max(0.0, moment - earlier), moment)
        if timely or earlier >= moment:
            break
    if found is None:
        raise VideoError(f"{path}: no frame can be decoded")
    return found


def _frame_from(path: Path, begin: float, moment: float) -> tuple[Pixels | None, bool]:
    """The frame, when decoding begins at about some moment before, or None; and whether it is not a later one.

    FFmpeg may go to a place without a key frame, as in transport streams.
    """
    import av

    found: Any = None
    timely = False
    with _opened(path) as container:
        stream = container.streams.video[0]
        start = float((stream.start_time or 0) * stream.time_base)
        if begin > 0:
            with suppress(av.FFmpegError):  # some formats can only be read on: they are at their beginning
                container.seek(int((start + begin) / stream.time_base), stream=stream)
        for number, frame in enumerate(container.decode(stream)):
            time = start + number / _rate(stream) if frame.time is None else frame.time
            if time > start + moment and found is not None:
                break
            found, timely = frame, timely or time <= start + moment
        if found is None:
            return None, False
        pixels = np.rot90(found.to_ndarray(format="bgr24"), round(found.rotation / 90) % 4)
    return np.ascontiguousarray(pixels), timely


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import av

    try:
        with av.open(str(path.absolute())) as container:  # else FFmpeg takes what stands before a colon for a protocol
            yield container
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise VideoError(f"{path}: can not be read as a video ({error})") from error


def _rate(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or _UNKNOWN_RATE)


def _figure(view: View) -> str:
    name = html.escape("".join(c if c.isprintable() else "\ufffd" for c in view.name))
    return (
        f'<figure><div class="pair"><img class="a" alt="A: {name}" src="{_data(view.a)}"><img class="b" alt="B: {name}" '
        f'src="{_data(view.b)}"><i></i><input type="range" min="0" max="100" step="0.1" value="50" aria-label="A to B: {name}"></div>'
        f"<figcaption>{name}</figcaption></figure>"
    )


def _data(pixels: Pixels) -> str:
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _cell(view: View, width: int) -> Pixels:
    half = (width - _GAP) // 2
    size = half, max(1, round(view.a.shape[0] * half / view.a.shape[1]))
    a, b = (cv2.resize(side, size, interpolation=cv2.INTER_AREA) for side in (view.a, view.b))
    cell = np.zeros((size[1] + _BAR, width, 3), np.uint8)
    cell[: size[1], :half], cell[: size[1], half + _GAP : 2 * half + _GAP] = a, b
    name = view.name.encode("ascii", "replace").decode("ascii")  # all that OpenCV's letters can show
    cv2.putText(cell, name[-(width // 8) :], (2, size[1] + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return cell
