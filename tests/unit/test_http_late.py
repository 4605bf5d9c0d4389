"""Whose stream is late: one whose pictures take so long that what is seen is not of this moment."""

from __future__ import annotations

import pytest

from edgecolor.sinks.http import server


def test_a_stream_is_late_from_a_slow_part_on_until_a_quick_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(server, "monotonic", lambda: now)
    stream = server._Stream("mine")
    told = []
    for seconds in (0.1, 8.0, 9.0, 0.1, 0.1):
        stream.begin_part()
        now += seconds / 2
        told.append(stream.is_late())
        now += seconds / 2
        told.append(stream.is_late())
        stream.end_part()
        told.append(stream.is_late())
    #                first       slow                 slower     quick, until it has come   quick
    assert told == [False] * 3 + [False, True, True] + [True] * 3 + [True, True, False] + [False] * 3
