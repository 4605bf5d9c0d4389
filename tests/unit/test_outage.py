from __future__ import annotations

import logging

import pytest

from edgecolor.outage import Health, Retries


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_waiting_times_double_up_to_the_most_and_begin_anew_after_steady_frames() -> None:
    retries = Retries(1, 30, 10, chance=lambda: 0)
    assert [retries.delay(0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert retries.delay(9.9) == 30, "frames that come for a moment only are no recovery"
    assert [retries.delay(10), retries.delay(0)] == [1, 2]


def test_chance_shortens_a_wait_by_a_quarter_at_most() -> None:
    delays = [Retries(8, 30, 10).delay(0) for _ in range(200)]
    assert 6 <= min(delays) < 7 < max(delays) <= 8
    assert len(set(delays)) > 100


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health("porch", live=True, timeout=5, clock=clock)


def test_the_way_to_live(health: Health, clock: Clock) -> None:
    assert health.view() == ("starting", "no frame has come through yet", 1000.0)
    assert health.age() is None
    clock.now += 1
    assert not health.came()
    assert health.view()[0] == "starting", "a frame that came is not yet a picture that went out"
    clock.now += 1
    health.sent()
    assert health.view() == ("live", None, 1002.0) and health.age() == 1


def test_an_outage_counts_and_logs_each_kind_once(health: Health, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    health.came()
    health.sent()
    caplog.set_level(logging.INFO)
    for kind, reason in (("silent", "no frame"), ("unreachable", "no route"), ("unreachable", "refused"), ("silent", "nothing")):
        clock.now += 3
        health.lose(kind, reason)
    assert health.losses == {"silent": 1, "unreachable": 1} and len(caplog.records) == 2
    assert health.view() == ("lost", "nothing", 1003.0), "the newest reason, the first moment"
    clock.now += 10
    assert health.came() and not health.came()
    assert health.view() == ("live", None, 1022.0) and health.reconnects == 1
    assert "back after 19.0 s" in caplog.text
    health.lose("silent", "again")
    assert health.losses["silent"] == 2


def test_silence_is_noticed_a_second_after_the_timeout(health: Health, clock: Clock) -> None:
    health.begin()
    for came in (False, True):
        if came:
            health.came()
            health.sent()
        clock.now += 6
        health.check_age()
        assert not health.lost
        clock.now += 0.1
        health.check_age()
        assert health.lost
    assert health.losses == {"silent": 2}


def test_a_file_is_never_silent(clock: Clock) -> None:
    health = Health("clip.mp4", live=False, timeout=5, clock=clock)
    clock.now += 1000
    health.check_age()
    assert not health.lost


def test_frames_count_as_steady_from_the_first_of_a_try(health: Health, clock: Clock) -> None:
    assert health.good_for() == 0
    health.came()
    clock.now += 12
    health.came()
    assert health.good_for() == 12
    health.begin()
    assert health.good_for() == 0


def test_the_end_is_final(health: Health, clock: Clock) -> None:
    health.retry_in(4)
    clock.now += 1
    assert health.time_to_retry() == 3
    health.finish("failed", "no memory")
    health.lose("ended", "the stream has ended")
    assert health.view()[:2] == ("failed", "no memory") and health.time_to_retry() is None and not health.losses


def test_moments_are_told_in_utc(health: Health, clock: Clock) -> None:
    clock.now += 60
    assert (health.wall_time(clock.now) - health.wall_time(1000)).total_seconds() == pytest.approx(60, abs=1)
    assert health.wall_time(1000).isoformat().endswith("+00:00")
