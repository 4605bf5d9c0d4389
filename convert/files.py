"""How results are written: whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write_file(path: Path, content: bytes) -> Path:
    """Write by temporary name and rename."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    return part.rename(path)
