"""A small stand-in for picamera2 and libcamera: just what the source calls, with cameras that can be told to misbehave.

What it promises is held against the real libraries by tests/unit/test_picamera_contract.py, which runs over both.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import DATA

STILL_SIZE, BARS_SIZE = (640, 480), (320, 240)
BARS = ((255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0))  # RGB
SYCC = SimpleNamespace(range=SimpleNamespace(name="Full"), ycbcrEncoding=SimpleNamespace(name="Rec601"))
CONTROLS = ("AnalogueGain", "ExposureTime", "FrameDurationLimits", "NoiseReductionMode")


def still() -> NDArray[np.uint8]:
    """The gray picture that camera 0 shows, (480, 640)."""
    luma = cv2.imread(str(DATA / "gray.jpg"), cv2.IMREAD_GRAYSCALE)
    return np.asarray(cv2.resize(luma, STILL_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def gray_planes() -> list[NDArray[np.uint8]]:
    return [still(), *(np.full((STILL_SIZE[1] // 2, STILL_SIZE[0] // 2), 128, np.uint8) for _ in range(2))]


def bar_planes() -> list[NDArray[np.uint8]]:
    width, height = BARS_SIZE
    rgb = np.repeat(np.array(BARS, np.uint8)[None], width // len(BARS), axis=1).repeat(height, axis=0)
    y, cr, cb = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
    return [np.asarray(y), np.ascontiguousarray(cb[::2, ::2]), np.ascontiguousarray(cr[::2, ::2])]


@dataclass
class Camera:
    """planes: Y, Cb, Cr. padding: bytes after each line. frames: how many it gives before it falls silent."""

    model: str
    planes: list[NDArray[np.uint8]]
    form: str = "YUV420"
    padding: int = 0
    rate: float = 60.0
    frames: float = float("inf")
    space: Any = field(default_factory=lambda: SYCC)
    controls: tuple[str, ...] = CONTROLS
    short: int = 0  # bytes that its buffers lack
    fails: str = ""  # "heap", "configure", "start" or "close"
    stamp: Callable[[], int | None] = time.monotonic_ns
    taken: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)  # the controls of each configuration

    @property
    def size(self) -> tuple[int, int]:
        return self.planes[0].shape[1], self.planes[0].shape[0]

    @property
    def stride(self) -> int:
        return self.size[0] + self.padding

    def buffer(self) -> NDArray[np.uint8]:
        y, cb, cr = self.planes
        parts = [np.pad(y, ((0, 0), (0, self.padding)), constant_values=7)]
        if self.form == "NV12":
            parts.append(np.pad(np.dstack([cb, cr]).reshape(len(cb), -1), ((0, 0), (0, self.padding)), constant_values=7))
        else:
            parts += [np.pad(plane, ((0, 0), (0, self.padding // 2)), constant_values=7) for plane in (cb, cr)]
        whole = np.concatenate([part.reshape(-1) for part in parts])
        return whole[: len(whole) - self.short]


def usual() -> list[Camera]:
    return [Camera("still", gray_planes(), padding=64), Camera("bars", bar_planes(), form="NV12")]


def install(monkeypatch: pytest.MonkeyPatch, cameras: list[Camera]) -> None:
    """Put the stand-in where ``import picamera2`` and ``import libcamera`` find it."""

    class Picamera2:
        @staticmethod
        def global_camera_info() -> list[dict[str, Any]]:
            return [{"Model": camera.model, "Id": f"/base/{camera.model}", "Num": number} for number, camera in enumerate(cameras)]

        def __init__(self, camera_num: int = 0) -> None:
            self.notifyme_r, self.notifyme_w = os.pipe()
            self.notifymeread = os.fdopen(self.notifyme_r, "rb")
            self.post_callback: Callable[[Any], None] | None = None
            self._camera, self._config = cameras[camera_num], {}
            self._thread: threading.Thread | None = None
            self._ended = threading.Event()
            self.is_open = False
            if self._camera.taken:
                raise RuntimeError("Camera __init__ sequence did not complete.") from RuntimeError("Device or resource busy")
            self._camera.taken = self.is_open = True
            if self._camera.fails == "heap":  # it is acquired by then
                raise RuntimeError("Failed to open dma_heap device")

        @property
        def camera_controls(self) -> dict[str, Any]:
            return dict.fromkeys(self._camera.controls)

        def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
            assert asked.keys() == {"main", "raw", "colour_space", "controls"}
            return dict(asked)

        def configure(self, config: dict[str, Any]) -> None:
            if self._camera.fails == "configure":
                raise RuntimeError("Configuration failed")
            camera = self._camera
            camera.asked.append(config["controls"])
            main = {"format": camera.form, "size": camera.size, "stride": camera.stride, "framesize": len(camera.buffer())}
            self._config = {**config, "main": main, "colour_space": camera.space}

        def camera_configuration(self) -> dict[str, Any]:
            return self._config

        def start(self) -> None:
            if self._camera.fails == "start":
                raise RuntimeError("Failed to start camera: Input/output error")
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

        def _run(self) -> None:
            camera, given = self._camera, 0
            while given < camera.frames and not self._ended.wait(1 / camera.rate):
                given += 1
                assert self.post_callback is not None
                stamp = camera.stamp()
                metadata = {"FrameDuration": round(1e6 / camera.rate)} | ({} if stamp is None else {"SensorTimestamp": stamp})
                self.post_callback(SimpleNamespace(make_buffer=lambda _: camera.buffer(), get_metadata=lambda m=metadata: m))

        def close(self) -> None:
            if not self.is_open:
                return
            self._ended.set()
            if self._thread is not None:
                self._thread.join()
            self._camera.taken = False
            if self._camera.fails == "close":
                raise RuntimeError("Failed to release camera")
            self.notifymeread.close()
            os.close(self.notifyme_w)
            self.is_open = False

    for name, members in {"picamera2": {"Picamera2": Picamera2}, "libcamera": {"ColorSpace": SimpleNamespace(Sycc=lambda: SYCC)}}.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
