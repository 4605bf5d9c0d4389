"""Cameras at a Raspberry Pi's own connector, by picamera2 and libcamera: YUV planes as the image processor writes them.

Sources: "The Picamera2 Library" (Raspberry Pi Ltd), chapters on configurations, controls and requests; libcamera's control_ids.

There is no lores stream for the network: its 192x192 copy costs 1 to 2 % of a guess (``edgecolor benchmark``: resize beside invoke),
less than a second set of buffers and a second scaler's idea of the picture are worth.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from threading import Event
from time import CLOCK_BOOTTIME, clock_gettime, monotonic
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecolor.errors import ConfigError, EdgeColorError, SourceError, SourceLostError
from edgecolor.frame import ColorRange, Frame, Matrix
from edgecolor.meters import Latest
from edgecolor.sources import PICAMERA_INSTALL, PicameraOptions, SourceOptions

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1
_DEFAULT_SIZE = (640, 480)
_DEFAULT_RATE = 30.0  # picamera2's own for video
# libcamera, draft::NoiseReductionMode
_NOISE_REDUCTION = {"off": 0, "fast": 1, "high-quality": 2, "minimal": 3}
_OLDEST_S = 5.0  # a time further back than that is of another clock


class PicameraSource:
    """Camera ``number`` as ``edgecolor doctor`` lists them. Of ``options`` size, rate and timeout concern it.

    Each call of ``frames`` opens the camera anew and closes it at its end. Raises ConfigError when picamera2 is not installed.
    """

    live = True

    def __init__(self, number: int, options: SourceOptions, picamera: PicameraOptions) -> None:
        if importlib.util.find_spec("picamera2") is None:
            raise ConfigError(f"source picamera: picamera2 is not installed for this Python; {PICAMERA_INSTALL}")
        if picamera.lowest_rate > options.rate > 0:
            raise ConfigError(f"lowest_rate {picamera.lowest_rate:g} is above rate {options.rate:g}")
        if options.rate * picamera.exposure > 1:
            raise ConfigError(f"exposure {picamera.exposure:g} s is longer than a frame at rate {options.rate:g}")
        self.name, self.rate, self.timeout = f"picamera:{number}", options.rate, options.timeout
        self.number, self.options, self.picamera = number, options, picamera
        self._numbers = count()

    def frames(self, stop: Event) -> Iterator[Frame]:
        """Yield the newest frame each time until ``stop`` is set.

        Raises SourceLostError; SourceError when picamera2 can not be loaded; ConfigError for what this camera can not be told.
        """
        newest: Latest[Frame | Exception] = Latest()
        with _Camera(self) as camera:
            camera.start(newest, self._numbers)
            last = monotonic()
            while not stop.is_set():
                taken = newest.take(_POLL_S)
                if isinstance(taken, Exception):
                    raise SourceLostError(f"{self.name}: a frame can not be read: {taken}", "garbage") from taken
                if taken is not None:
                    last = monotonic()
                    self.rate = camera.rate or self.rate
                    yield taken
                elif monotonic() - last > self.timeout:
                    raise SourceLostError(f"{self.name}: no frame for {self.timeout:g} s; is its cable seated?", "silent")


class _Camera:
    """One opening of the camera. picamera2 brings each frame in a thread of its own."""

    def __init__(self, source: PicameraSource) -> None:
        self.rate = 0.0
        self._source = source
        self._device: Any = None
        self._layout = _Layout("", 0, 0, 0)
        self._range: ColorRange = "full"
        self._matrix: Matrix = "bt601"
        self._first: float | None = None

    def __enter__(self) -> _Camera:
        name, number = self._source.name, self._source.number
        os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")  # it writes to stderr itself, past our own log and its format
        try:
            library = importlib.import_module("picamera2")
        except Exception as error:  # its libraries raise what they like: ImportError, ValueError for another numpy's binaries
            raise SourceError(f"{name}: picamera2 can not be loaded ({error}); `edgecolor doctor` tells why") from error
        present = _called(name, library.Picamera2.global_camera_info)
        if number >= len(present):
            found = ", ".join(f"{place}: {camera.get('Model', '?')}" for place, camera in enumerate(present))
            raise SourceLostError(f"{name}: there is no such camera; found: {found or 'none'}", "unplugged")
        self._device = library.Picamera2.__new__(library.Picamera2)  # in two steps, to have it in hand when the second one fails
        try:
            self._device.__init__(number)
        except Exception as error:
            self.__exit__()
            raise SourceLostError(f"{name}: can not be opened, or another program uses it: {_deepest(error)}", "unreachable") from error
        try:
            self._configure()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Free all that it holds, also of a half-made one: tries go on for ever, so that nothing may stay."""
        device, self._device = self._device, None
        try:
            device.close()
        except Exception as error:  # noqa: BLE001 - that it is being closed has a reason of its own, which is told instead
            _LOG.info("%s: was not closed in order: %s", self._source.name, error)
        device.is_open = False  # its own end would try once more
        if not device.notifymeread.closed:
            device.notifymeread.close()
            os.close(device.notifyme_w)
        del device
        gc.collect()  # picamera2 leaves some open files to it: selectors, a heap

    def start(self, newest: Latest[Frame | Exception], numbers: Iterator[int]) -> None:
        """Let frames come into ``newest``, and in their stead what went wrong."""

        def came(request: Any) -> None:
            try:
                newest.put(self._frame(request, next(numbers)))
            except Exception as error:  # noqa: BLE001 - it would end picamera2's thread; it is raised where frames are taken
                newest.put(error)

        self._device.post_callback = came
        _called(self._source.name, self._device.start)

    def _configure(self) -> None:
        name, options = self._source.name, self._source.options
        libcamera = importlib.import_module("libcamera")
        controls = self._controls()
        for control in controls:
            if control not in self._device.camera_controls:
                raise ConfigError(f"{name}: this camera has no control {control}; it has {', '.join(sorted(self._device.camera_controls))}")
        width, height = map(int, options.size.split("x")) if options.size else _DEFAULT_SIZE
        # sYCC: BT.601 in full range, what a JPEG holds, so that luma goes there unchanged.
        # No raw stream, which picamera2 adds otherwise: it is the sensor's whole picture, several times over.
        asked = {"main": {"format": "YUV420", "size": (width, height)}, "raw": None, "colour_space": libcamera.ColorSpace.Sycc()}
        _called(name, lambda: self._device.configure(self._device.create_video_configuration(**asked, controls=controls)))
        got = self._device.camera_configuration()
        main = got["main"]
        self._layout = _Layout(main["format"], main["size"][0], main["size"][1], main["stride"])
        if main["format"] not in ("YUV420", "NV12"):
            raise SourceLostError(f"{name}: gives {main['format']}, neither YUV420 nor NV12", "unsupported")
        if options.size and main["size"] != (width, height):
            raise ConfigError(f"{name}: size {options.size} is none of this camera's; the nearest is {main['size'][0]}x{main['size'][1]}")
        space = got.get("colour_space")
        self._range = "limited" if "Limited" in str(getattr(space, "range", "")) else "full"
        self._matrix = "bt709" if "709" in str(getattr(space, "ycbcrEncoding", "")) else "bt601"

    def _controls(self) -> dict[str, Any]:
        options, rate = self._source.picamera, self._source.options.rate
        wanted: dict[str, Any] = {}
        if rate or options.lowest_rate or options.exposure:
            shortest = max(1 / (rate or _DEFAULT_RATE), options.exposure)
            longest = max(shortest, 1 / options.lowest_rate if options.lowest_rate else 0.0)
            wanted["FrameDurationLimits"] = (round(shortest * 1e6), round(longest * 1e6))
        if options.exposure:
            wanted["ExposureTime"] = round(options.exposure * 1e6)
        if options.gain:
            wanted["AnalogueGain"] = options.gain
        if options.noise_reduction:
            wanted["NoiseReductionMode"] = _NOISE_REDUCTION[options.noise_reduction]
        return wanted

    def _frame(self, request: Any, sequence: int) -> Frame:
        # One copy, so that the camera has its buffer back at once, however long the frame is looked at; planes are views of it.
        y, cb, cr = self._layout.planes(request.make_buffer("main"))
        metadata = request.get_metadata()
        if duration := metadata.get("FrameDuration"):
            self.rate = 1e6 / duration
        captured, pts = self._time(metadata.get("SensorTimestamp"))
        return Frame(y, cb, cr, self._range, self._matrix, pts, captured, sequence)

    def _time(self, stamp: int | None) -> tuple[float, float]:
        """(moment of capture on this process's clock, seconds since the first frame) of a SensorTimestamp in nanoseconds."""
        now = monotonic()
        age = 0.0
        if stamp is not None:
            # libcamera says CLOCK_BOOTTIME, its drivers give CLOCK_MONOTONIC: the same on a board that never sleeps.
            ages = (now - stamp / 1e9, clock_gettime(CLOCK_BOOTTIME) - stamp / 1e9)
            age = next((age for age in ages if 0 <= age <= _OLDEST_S), 0.0)
        time = now if stamp is None else stamp / 1e9
        self._first = time if self._first is None else self._first
        return now - age, time - self._first


@dataclass(frozen=True)
class _Layout:
    """Where planes lie in a buffer: lines of ``stride`` bytes, chroma after luma, as YUV420 (Cb, then Cr) or NV12 (pairs)."""

    form: str
    width: int
    height: int
    stride: int

    def planes(self, buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Y, Cb and Cr of a whole buffer (one-dimensional uint8); views, but for NV12's chroma. Raises ValueError when it is short."""
        rows, columns = (self.height + 1) // 2, (self.width + 1) // 2
        luma = self.height * self.stride
        y = buffer[:luma].reshape(self.height, self.stride)[:, : self.width]
        if self.form == "NV12":
            pairs = buffer[luma : luma + rows * self.stride].reshape(rows, self.stride)[:, : 2 * columns]
            cb, cr = cv2.split(np.ascontiguousarray(pairs).reshape(rows, columns, 2))
            return y, np.asarray(cb, np.uint8), np.asarray(cr, np.uint8)
        half = self.stride // 2
        chroma = buffer[luma : luma + 2 * rows * half].reshape(2, rows, half)[:, :, :columns]
        return y, chroma[0], chroma[1]


def _called(name: str, call: Any) -> Any:
    """What ``call`` gives; what the libraries raise becomes a loss."""
    try:
        return call()
    except EdgeColorError:
        raise
    except Exception as error:
        raise SourceLostError(f"{name}: {_deepest(error)}", "unreachable") from error


def _deepest(error: BaseException) -> str:
    """The first cause: picamera2 wraps it in words that say nothing."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
