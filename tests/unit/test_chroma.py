"""The pace of guesses. The worker itself is tested within the pipeline."""

from __future__ import annotations

import pytest

from edgecolor.chroma import Pace


def guesses(rate: float, frames: float, seconds: float) -> list[float]:
    """When guesses begin while frames come ``frames`` times a second."""
    pace, begun = Pace(rate), []
    for n in range(round(seconds * frames)):
        now = 50 + n / frames
        if pace.wait(now, awaited=False) == 0:
            pace.begin(now)
            begun.append(now)
    return begun


def test_without_a_rate_nothing_is_held_back() -> None:
    assert len(guesses(0, 25, 4)) == 100


@pytest.mark.parametrize(("rate", "frames"), [(10, 25), (2, 25), (0.5, 30), (7, 30), (25, 10)])
def test_the_rate_holds_and_frames_that_come_between_do_not_lower_it(rate: float, frames: float) -> None:
    assert len(guesses(rate, frames, 20)) == pytest.approx(20 * min(rate, frames), rel=0.08, abs=1.1)


def test_one_awaited_guess_may_be_early_but_many_are_no_more_than_the_rate() -> None:
    pace = Pace(0.5)
    pace.begin(100.0)
    assert pace.wait(100.1, awaited=False) == pytest.approx(0.9)
    assert pace.wait(100.1, awaited=True) == 0
    pace.begin(100.1)
    assert pace.wait(100.2, awaited=True) == pytest.approx(0.8), "the second of them waits"
    begun = 0
    for tenth in range(1000):
        if pace.wait(101 + tenth / 10, awaited=True) == 0:
            pace.begin(101 + tenth / 10)
            begun += 1
    assert begun <= 52


def test_a_rate_that_is_changed_counts_at_once() -> None:
    pace = Pace(0.01)
    pace.begin(0.0)
    pace.change(10, 1.0)
    assert pace.wait(1.0, awaited=False) == pytest.approx(0.1)
    pace.change(10, 1.05)
    assert pace.wait(1.05, awaited=False) == pytest.approx(0.05), "the same rate again changes nothing"
    pace.change(0, 1.06)
    assert pace.wait(1.06, awaited=False) == 0
