from __future__ import annotations

import threading
import time

import pytest

from edgecolor.meters import Histogram, Latest, Meter


def test_latest_keeps_one_item_and_counts_what_was_replaced() -> None:
    slot: Latest[int] = Latest()
    for number in range(5):
        slot.put(number)
    assert (slot.take(), slot.dropped) == (4, 4)
    slot.put(5)
    slot.clear()
    assert slot.take(timeout=0) is None and slot.dropped == 4 and not slot.closed
    slot.put(6)
    slot.close()
    assert slot.take() is None and slot.closed


def test_latest_wakes_who_waits() -> None:
    slot: Latest[int] = Latest()
    taken: list[int | None] = []
    thread = threading.Thread(target=lambda: taken.extend([slot.take(), slot.take()]))
    thread.start()
    slot.put(7)
    end = time.monotonic() + 10
    while not taken and slot.dropped == 0 and slot._item is not None and time.monotonic() < end:
        time.sleep(0.001)
    slot.close()
    thread.join(10)
    assert taken == [7, None]


def test_a_meter_forgets_what_is_long_ago() -> None:
    now = 100.0
    meter = Meter(lambda: now)
    for _ in range(50):
        now += 0.1
        meter.tick()
    assert meter.rate() == pytest.approx(10)
    for _ in range(50):
        now += 0.5
        meter.tick()
    assert meter.rate() == pytest.approx(2)
    now += 60
    assert meter.rate() == 0.0 and meter.count == 100


def test_a_histogram_is_cumulative_and_counts_what_is_beyond() -> None:
    histogram = Histogram((1.0, 2.0, 4.0), keep=3)
    assert histogram.median() is None
    assert histogram.snapshot() == {"buckets": [[1.0, 0], [2.0, 0], [4.0, 0]], "sum": 0.0, "count": 0}
    for value in (0.5, 1.0, 1.5, 3.0, 100.0):
        histogram.observe(value)
    assert histogram.snapshot() == {"buckets": [[1.0, 2], [2.0, 3], [4.0, 4]], "sum": 106.0, "count": 5}
    assert histogram.median() == 3.0, "of the newest three"
