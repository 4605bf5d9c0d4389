"""How results are written: whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_file(path: Path, content: bytes) -> Path:
    """Write by temporary name and rename."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    return part.rename(path)


def write_json(path: Path, table: dict[str, Any]) -> Path:
    """A table for people and programs to read, as ``write_file``."""
    return write_file(path, (json.dumps(table, indent=1) + "\n").encode())
