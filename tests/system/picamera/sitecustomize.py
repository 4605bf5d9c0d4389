"""In the tree's Python: bridges what a software camera has not got and a Raspberry Pi has. picamera2 itself stays as it is.

No raw modes, because the virtual pipeline has no sensor; libcamera's own buffers, because picamera2's come from the board's heaps.
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

            module.Picamera2.__init__ = init
            module.Picamera2._get_raw_modes = lambda self: [{"format": "NV12", "size": (640, 480)}]

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Bridge)
