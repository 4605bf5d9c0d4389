"""How glibc's malloc deals with memory that was freed. Other C libraries are left as they are (mallopt(3))."""

from __future__ import annotations

import ctypes

_OPTIONS = {"trim_threshold": -1, "top_pad": -2, "mmap_max": -4, "arena_max": -8}  # malloc.h
_MOST = 2**31 - 1  # mallopt takes an int
_TOP_PAD_BYTES = 64 << 20


def _set(**options: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in options.items():
            mallopt(_OPTIONS[option], value)


def share_arenas() -> None:
    """Let threads share memory that was freed. Before there are threads.

    glibc gives them up to eight arenas a core, and each keeps the most that any thread ever had in it. Threads here come and go
    with cameras and connections: after a day of reconnecting all arenas would be as large as the largest.
    """
    _set(arena_max=2)


def keep_freed() -> None:
    """Keep memory for the next step of training instead of handing it back. Before there are threads.

    By default each large array is mapped anew, and the kernel clears every page of it, in every step.
    """
    _set(arena_max=1, mmap_max=0, trim_threshold=_MOST, top_pad=_TOP_PAD_BYTES)
