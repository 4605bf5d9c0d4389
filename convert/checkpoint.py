"""Where a stage of training stands, on disk: weights, optimizers, average, step and time spent."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from convert.optimizer import Average
from convert.spent import Spent
from edgecolor.errors import ConfigError


def save_checkpoint(path: Path, step: int, model: keras.Model, optimizers: list[Any], average: Average, spent: list[float]) -> None:
    """Write all that the steps from ``step`` on depend on; a former checkpoint is replaced by rename. spent: see Spent.until_now."""
    part = path.with_name("part.npz")
    arrays = {f"weight{i}": w for i, w in enumerate(model.get_weights())}
    arrays |= {f"optimizer{i}": np.asarray(v) for i, v in enumerate(v for o in optimizers for v in o.variables)}
    arrays |= {f"average{i}": v for i, v in enumerate(average.values)}
    np.savez(part, step=step, spent=spent, **arrays)
    part.rename(path)


def restore_checkpoint(path: Path, model: keras.Model, optimizers: list[Any], average: Average) -> tuple[int, Spent]:
    """Put a checkpoint back into model, optimizers and average; returns its step, and what was spent. Raises ConfigError: damaged."""
    try:
        with path.open("rb") as stream, np.load(stream) as saved:
            model.set_weights([saved[f"weight{i}"] for i in range(len(model.get_weights()))])
            for i, variable in enumerate(v for o in optimizers for v in o.variables):
                variable.assign(saved[f"optimizer{i}"])
            average.values = [saved[f"average{i}"] for i in range(len(average.values))]
            wall, processor = map(float, saved["spent"])
            return int(saved["step"]), Spent(wall, processor)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"{path}: damaged, or of a stage with other settings ({error}); delete it to begin the stage anew") from error
