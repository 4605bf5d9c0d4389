"""Luma in, chroma out: shrink, look up, invoke, and lift the guess along the edges of the full-resolution luma."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecolor import upsample
from edgecolor.assets import Model, load_model, plain_path
from edgecolor.catalog import AUTO, choose
from edgecolor.color import ab_to_chroma, chroma_excursion, chroma_planes, luma_codes, settle
from edgecolor.errors import DelegateError, DelegateLostError, DelegateMissingError, ModelError
from edgecolor.frame import ColorRange, Frame, Matrix, Plane, check_luma, chroma_shape
from edgecolor.interpreter import Interpreter
from edgecolor.quantization import dequantize, input_table, lightness_input

_LOG = logging.getLogger(__name__)


class Network(Protocol):
    """What guesses colour: takes 8-bit luma codes (S, T), gives (a*, b*) (S/4, T/4, 2) float32 in CIELAB units."""

    @property
    def size(self) -> tuple[int, int]:
        """(S, T): height and width of the input."""
        ...

    def __call__(self, luma: NDArray[np.uint8], color_range: ColorRange) -> NDArray[np.float32]: ...


def _chosen(runtime: str | None, threads: int | None, delegate: str | None) -> Model:
    choice = choose(runtime, threads, delegate)
    _LOG.info("model %s: %s", choice.model.name, choice.reason)
    return choice.model


class _Loaded:
    """A model in an interpreter, and what turns luma codes into its input."""

    def __init__(self, model: Model, runtime: str | None, threads: int | None, delegate: str | None, lost: str = "") -> None:
        self.model, self.lost = model, lost
        self.interpreter = Interpreter(model.content, runtime, threads, delegate)
        given, taken = self.interpreter.input, self.interpreter.output
        model.check_contract(given, taken)
        if given.dtype != taken.dtype or given.dtype not in (np.int8, np.float32):
            raise ModelError(f"{model.path}: input is {given.dtype}, output {taken.dtype}; both must be int8 or both float32")
        ranges: tuple[ColorRange, ColorRange] = ("full", "limited")
        self._tables: dict[str, NDArray[Any]] = {
            r: input_table(given.scale, given.zero_point, r) if given.dtype == np.int8 else lightness_input(r) for r in ranges
        }

    def __call__(self, luma: NDArray[np.uint8], color_range: ColorRange) -> NDArray[np.float32]:
        codes = self.interpreter.invoke(self._tables[color_range][luma][None, :, :, None])[0]
        taken, decoding = self.interpreter.output, self.model.decoding
        ab = codes if codes.dtype == np.float32 else dequantize(codes, taken.scale, taken.zero_point)
        return settle(ab, decoding.doubt, decoding.gain)


class TfliteNetwork:
    """A .tflite model with its card, int8 or float32. model "auto": see edgecolor.catalog.choose, which refuses a delegate.

    fallback: "cpu" to go on with the model that a compiled one was made from when the delegate is absent or lost; it is logged, and
    ``lost`` says why. Otherwise that raises DelegateMissingError here, DelegateLostError when called.

    Of calls from several threads, one is at work and the others wait: a server that takes new settings does not wait for the last guess
    of its former pipeline longer than a moment, and interpreters break when two use them.
    """

    def __init__(
        self, model: str | Path, runtime: str | None, threads: int | None, delegate: str | None, fallback: str | None = None
    ) -> None:
        self._settings = runtime, threads
        self._lock = Lock()
        wanted = load_model(model) if model != AUTO else _chosen(runtime, threads, delegate)
        self._spare = load_model(plain_path(wanted.path)) if fallback else None
        try:
            self._loaded = _Loaded(wanted, runtime, threads, delegate)
        except (DelegateMissingError, DelegateLostError) as error:
            self._fall_back(error)

    def _fall_back(self, error: DelegateError) -> None:
        """Use the CPU from now on; raise the error again where that is not wanted."""
        if self._spare is None:
            raise error
        _LOG.warning("colours are guessed on the CPU from now on, by %s: %s", self._spare.path.name, error)
        self._loaded = _Loaded(self._spare, *self._settings, None, str(error))

    @property
    def model(self) -> Model:
        return self._loaded.model

    @property
    def interpreter(self) -> Interpreter:
        return self._loaded.interpreter

    @property
    def lost(self) -> str:
        return self._loaded.lost

    @property
    def size(self) -> tuple[int, int]:
        _, height, width, _ = self.interpreter.input.shape
        return height, width

    def identity(self) -> dict[str, str | None]:
        """name and sha256 of the model, the delegate that it runs on (None: the CPU); delegate_lost: why not on the one asked for.

        To be called in any thread: all four are of one and the same moment.
        """
        now = self._loaded
        return {
            "name": now.model.name, "sha256": str(now.model.card["sha256"]), "delegate": now.interpreter.delegate,
            "delegate_lost": now.lost or None,
        }

    def __call__(self, luma: NDArray[np.uint8], color_range: ColorRange) -> NDArray[np.float32]:
        with self._lock:
            try:
                return self._loaded(luma, color_range)
            except DelegateLostError as error:
                self._fall_back(error)
                return self._loaded(luma, color_range)


@dataclass(frozen=True)
class Guess:
    """Chroma guessed for one frame, ready to be lifted onto that frame's luma or a later one's.

    grid: (h, w, 2) float32 (Cb, Cr) in [-0.5, 0.5]. guide: (S, T) uint8, the small luma it was guessed from.
    """

    grid: NDArray[np.float32]
    guide: NDArray[np.uint8]

    @functools.cached_property
    def lines(self) -> upsample.Lines:
        """The fit of this guess, made once however many frames it is lifted onto."""
        return upsample.fit(self.grid, self.guide)

    def lift(self, luma: Plane, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(Cb, Cr) (H, W, 2) float32 of ``shape``, guided by full-resolution ``luma`` (uint8 or uint16)."""
        guide = shrink(luma, (shape[1], shape[0]))
        return upsample.apply(self.lines, guide)

    def planes(self, luma: Plane, color_range: ColorRange = "full") -> tuple[Plane, Plane]:
        """4:2:0 planes (cb, cr) of luma's dtype, each (ceil(H/2), ceil(W/2)), guided by full-resolution ``luma``."""
        shape = chroma_shape(luma.shape)
        if luma.dtype != np.uint8:
            return chroma_planes(self.lift(luma, shape), luma.dtype, color_range)
        guide = shrink(luma, (shape[1], shape[0]))
        return upsample.apply_to_planes(self.lines, guide, chroma_excursion(np.uint8, color_range))


def shrink(luma: Plane, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Luma (H, W) uint8 or uint16 -> uint8 of ``size`` (width, height), by area where it shrinks."""
    width, height = size
    # Halving is far cheaper in OpenCV than any other area factor, and halves of halves are still area means.
    while luma.shape[0] % 2 == 0 and luma.shape[1] % 2 == 0 and luma.shape[0] >= 2 * height and luma.shape[1] >= 2 * width:
        luma = cv2.resize(luma, (luma.shape[1] // 2, luma.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if luma.shape != (height, width):
        smaller = luma.shape[0] >= height and luma.shape[1] >= width
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return luma if luma.dtype == np.uint8 else (luma >> 8).astype(np.uint8)


class Colorizer:
    """Guesses chroma for luma. Shipped networks work for one thread at a time: one per thread is faster.

    model: a name ("edgecolor"), the path of a .tflite file with its card, or "auto" (edgecolor.catalog). runtime, threads, delegate: see
    edgecolor.interpreter.Interpreter, which also lists the errors raised; assets.load_model raises the rest.
    delegate_fallback: None, or "cpu": see TfliteNetwork.
    """

    def __init__(
        self, model: str | Path = "edgecolor", runtime: str | None = None, threads: int | None = None, delegate: str | None = None,
        *, delegate_fallback: str | None = None, network: Network | None = None,
    ) -> None:
        self.network: Network = network or TfliteNetwork(model, runtime, threads, delegate, delegate_fallback)
        self._codes = {r: luma_codes(np.uint8, r) for r in ("full", "limited")}

    def guess(self, luma: Plane, color_range: ColorRange = "full", matrix: Matrix = "bt601") -> Guess:
        """Guess chroma on the network's small grid. luma: (H, W) uint8 or uint16. Raises FrameError."""
        check_luma(luma)
        height, width = self.network.size
        guide = shrink(luma, (width, height))
        ab = self.network(guide, color_range)
        small = shrink(guide, (ab.shape[1], ab.shape[0]))
        return Guess(ab_to_chroma(self._codes[color_range][small], ab, matrix), guide)

    def __call__(self, luma: Plane, color_range: ColorRange = "full", matrix: Matrix = "bt601") -> tuple[Plane, Plane]:
        """Chroma planes for luma: (H, W) uint8 or uint16 -> (cb, cr), each (ceil(H/2), ceil(W/2)) of luma's dtype.

        Zero chroma is the middle code (128 or 32768); codes are scaled to ``color_range``. luma itself is not touched.
        """
        return self.guess(luma, color_range, matrix).planes(luma, color_range)

    def colorize(self, frame: Frame) -> Frame:
        """The frame with guessed chroma; its luma plane is the very same array."""
        cb, cr = self(frame.y, frame.color_range, frame.matrix)
        return replace(frame, cb=cb, cr=cr, origin="guess")
