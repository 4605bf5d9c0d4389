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


def test_a_meter_that_begins_anew_counts_on_and_knows_nothing_of_the_pace_before() -> None:
    now = 100.0
    meter = Meter(lambda: now)
    for pause in (0.1, 0.1, 4.0):
        now += pause
        meter.tick()
    meter.restart()
    assert meter.rate() == 0.0 and meter.count == 3
    for _ in range(2):
        now += 0.1
        meter.tick()
    assert meter.rate() == pytest.approx(10) and meter.count == 5


def test_a_meter_knows_the_rate_of_what_comes_seldom_until_it_stops() -> None:
    now = 100.0
    meter = Meter(lambda: now)
    meter.tick()
    assert meter.rate() == 0.0, "one event has no rate"
    for _ in range(5):
        now += 10
        meter.tick()
        assert meter.rate() == pytest.approx(0.1)
    now += 9
    assert meter.rate() == pytest.approx(0.1)
    now += 11
    assert meter.rate() == pytest.approx(0.05), "one is overdue"
    now += 11
    assert meter.rate() == 0.0
    meter.tick()
    now += 0.1
    meter.tick()
    assert meter.rate() == pytest.approx(10), "what was before the pause no longer counts"


def test_a_meters_rate_falls_as_soon_as_events_stop() -> None:
    now = 100.0
    meter = Meter(lambda: now)
    for _ in range(100):
        now += 0.1
        meter.tick()
    rates = []
    for _ in range(6):
        now += 1
        rates.append(meter.rate())
    assert rates == sorted(rates, reverse=True) and rates[3] < 3 and rates[5] == 0.0


def test_a_histogram_is_cumulative_and_counts_what_is_beyond() -> None:
    histogram = Histogram((1.0, 2.0, 4.0), keep=3)
    assert histogram.median() is None
    assert histogram.snapshot() == {"buckets": [[1.0, 0], [2.0, 0], [4.0, 0]], "sum": 0.0, "count": 0}
    for value in (0.5, 1.0, 1.5, 3.0, 100.0):
        histogram.observe(value)
    assert histogram.snapshot() == {"buckets": [[1.0, 2], [2.0, 3], [4.0, 4]], "sum": 106.0, "count": 5}
    assert histogram.median() == 3.0, "of the newest three"
