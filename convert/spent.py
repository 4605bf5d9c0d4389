"""What a training took, for the model's card: pictures seen, hours on the wall, and hours of processor over all its threads."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from convert.files import write_json

SPENT = "spent.json"  # in a run's folder
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Spent:
    """Seconds on the wall and of processor, counted from now on top of those of earlier processes of the same stage."""

    wall: float = 0.0
    processor: float = 0.0
    _began: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), time.process_time()))

    def until_now(self) -> list[float]:
        """Both, to be kept in a checkpoint."""
        wall, processor = self._began
        return [self.wall + time.monotonic() - wall, self.processor + time.process_time() - processor]


def note_spent(folder: Path, stage: str, pictures: int, seconds: list[float]) -> None:
    """Write what a finished stage took into its run's folder. pictures: samples seen, each as often as it was."""
    path = folder / SPENT
    known = json.loads(path.read_text()) if path.exists() else {}
    hours, processor = (float(f"{value / _HOUR_S:.3g}") for value in seconds)
    known[stage] = {"pictures": pictures, "hours": hours, "processor_hours": processor}
    write_json(path, known)
