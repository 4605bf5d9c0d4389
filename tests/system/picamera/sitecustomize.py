"""In the tree's Python: bridges what a software camera has not got and a Raspberry Pi has. picamera2 itself stays as it is.

No raw modes, because the virtual pipeline has no sensor; libcamera's own buffers, because picamera2's are of one plane, and that
pipeline writes two. Its frames are ready at once, before picamera2 notes that it has started; those it would not hand back. And that
of libcamera 0.4.0 leaves each frame's status unset, whatever the memory held before: picamera2 would take most for damaged.
"""

from __future__ import annotations

import importlib.machinery
import sys
from typing import Any

MODULE = "picamera2.picamera2"


class _Bridge(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        if name != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            real = module.Picamera2.__init__

            def init(self: Any, *arguments: Any, **named: Any) -> None:
                real(self, *arguments, **named)
                self.allocator = sys.modules["picamera2.allocators"].LibcameraAllocator(self.camera)

            start = module.Picamera2.start_

            def start_(self: Any) -> None:
                with self.request_lock:  # nobody hands a frame back meanwhile
                    start(self)

            metadata = sys.modules["libcamera"].FrameMetadata
            metadata.status = property(lambda self: metadata.Status.Success)
            module.Picamera2.__init__, module.Picamera2.start_ = init, start_
            module.Picamera2._get_raw_modes = lambda self: [{"format": "NV12", "size": (640, 480)}]

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Bridge)
