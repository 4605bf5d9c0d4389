"""Times that start anew on the way go on in the result, in all streams alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from edgecolor.videos.timeline import Gaps, Timeline

VIDEO, AUDIO, WORDS = (SimpleNamespace(index=index, type=kind) for index, kind in enumerate(("video", "audio", "subtitle")))


def packet(stream: Any, seconds: float, lasting: float = 0.0, shown: float | None = None) -> Any:
    """With a clock of milliseconds. shown: where it is not the time of decoding."""
    ticks = round(1000 * seconds)
    pts = ticks if shown is None else round(1000 * shown)
    return SimpleNamespace(stream=stream, dts=ticks, pts=pts, duration=round(1000 * lasting), time_base=Fraction(1, 1000))


def film(start: float, seconds: float) -> list[Any]:
    """Pictures of 0.2 s, and sound of 0.1 s that begins 50 ms before and ends 150 ms after them, in the order of their times."""
    pictures = [packet(VIDEO, start + 0.2 * number, 0.2) for number in range(round(5 * seconds))]
    sound = [packet(AUDIO, start - 0.05 + 0.1 * number, 0.1) for number in range(round(10 * seconds) + 2)]
    return sorted(pictures + sound, key=lambda packet: packet.dts)


def straightened(packets: Iterable[Any]) -> tuple[Timeline, list[list[int]]]:
    """And the times of showing of each stream, in milliseconds."""
    timeline = Timeline(main=0)
    found: list[list[int]] = [[], [], []]
    for straight in timeline.straighten(packets):
        found[straight.stream.index].append(straight.pts)
    return timeline, found


def test_times_that_rise_stay_as_they_are() -> None:
    packets = film(3600.0, 4) + film(7200.0, 4)  # also over a gap
    want = [[p.pts for p in packets if p.stream is stream] for stream in (VIDEO, AUDIO)]
    timeline, found = straightened(packets)
    assert found[:2] == want and timeline.restarts == timeline.moved == 0


@pytest.mark.parametrize("late", [0, 10, 40])
def test_what_begins_anew_follows_when_all_of_the_former_has_ended_and_in_step(late: int) -> None:
    """late: so many packets of the former sound come among those of the new film."""
    former, new, third = film(10.0, 8), film(1.0, 6), film(0.5, 2)
    tail = [packet for packet in former if packet.stream is AUDIO][82 - late :]
    early = [packet for packet in new if packet.stream is VIDEO][:15]
    packets = [p for p in former if p not in tail] + early + tail + [p for p in new if p not in early] + third
    timeline, (shown, heard, _) = straightened(packets)
    assert timeline.restarts == 2 and timeline.moved == 0
    assert shown == [*range(10_000, 18_000, 200), *range(18_200, 24_200, 200), *range(24_400, 26_400, 200)]
    assert heard == [*range(9950, 18_150, 100), *range(18_150, 24_350, 100), *range(24_350, 26_550, 100)]


def test_subtitles_go_with_the_film_that_they_come_with() -> None:
    former, new = film(1.0, 20), film(1.0, 20)
    words = [packet(WORDS, 2.0, 1.0), packet(WORDS, 15.0, 1.0)]
    timeline, found = straightened([*former[:20], words[0], *former[20:], *new[:250], words[1], *new[250:]])
    assert timeline.restarts == 1
    assert found[2] == [2000, 15_000 + 20_200]


def test_frames_that_wait_for_others_do_not_overlap_what_was_before() -> None:
    """The former one has no such frames: its times of showing end when those of decoding do. The new one begins 0.1 s before."""
    former = [packet(VIDEO, 5 + 0.1 * number, 0.1, shown=5.3 + 0.1 * number) for number in range(10)]
    new = [packet(VIDEO, 0.1 * number, 0.1) for number in range(10)]
    _, found = straightened([*former, *new])
    assert found[0] == list(range(5300, 7300, 100))


def test_a_little_disorder_is_no_new_beginning() -> None:
    times = [0.0, 0.1, 0.2, 0.15, 0.3]
    timeline, found = straightened([packet(stream, time, 0.05) for time in times for stream in (VIDEO, AUDIO)])
    assert found[0] == [0, 100, 200, 150, 300], "the decoder puts pictures in order"
    assert found[1] == [0, 100, 200, 201, 300]
    assert timeline.restarts == 0 and timeline.moved == 1


@pytest.mark.parametrize(("stream", "wrong"), [(VIDEO, 1), (AUDIO, 1), (AUDIO, 6)])
def test_a_few_times_far_ahead_are_damage_and_move_nothing_else(stream: Any, wrong: int) -> None:
    packets = film(10.0, 8)
    want = [[p.pts for p in packets if p.stream is kind] for kind in (VIDEO, AUDIO)]
    for late in [p for p in packets if p.stream is stream][20 : 20 + wrong]:
        late.dts, late.pts = late.dts + 100_000, late.pts + 100_000
    timeline, found = straightened(packets)
    assert timeline.restarts == 0 and timeline.moved == (wrong if stream is AUDIO else 0)
    for kind in (0, 1):
        damaged = slice(20, 20 + wrong) if kind == stream.index else slice(0, 0)
        before, after = found[kind][: damaged.start], found[kind][damaged.stop :]
        assert before == want[kind][: damaged.start] and after == want[kind][damaged.stop :]
    assert all(a < b for times in found[:2] for a, b in pairwise(times))


def test_pictures_that_come_seldom_are_no_damage() -> None:
    lapse = [packet(VIDEO, 10.0 * number, 10.0) for number in range(100)]
    timeline, (shown, *_) = straightened(lapse)
    assert shown == list(range(0, 1_000_000, 10_000)) and timeline.restarts == 0


def test_sound_that_begins_late_after_a_new_beginning_is_not_squeezed() -> None:
    new = film(0.0, 24)
    late = [p for p in new if p.stream is VIDEO or p.dts >= 12_000]
    timeline, (_, heard, _) = straightened(film(0.0, 20) + late)
    assert timeline.restarts == 1 and timeline.moved == 0 and min(b - a for a, b in pairwise(heard)) == 100


def test_words_hold_nothing_up_at_a_new_beginning() -> None:
    read = 0

    def packets() -> Iterator[Any]:
        nonlocal read
        for one in [*film(50.0, 20), packet(WORDS, 69.0, 1.0), *film(0.0, 20)]:
            read += 1
            yield one

    most = max(read - done for done, _ in enumerate(Timeline(main=0).straighten(packets()), 1))
    assert most < 10


def gaps(steps: Iterable[int], lasting: int = 0) -> Gaps:
    """Of pictures that come so many milliseconds after each other, from 1 s on."""
    found = Gaps()
    for time in accumulate(steps, initial=1000):
        found.see(time, lasting)
    return found


@pytest.mark.parametrize("even", [[40], [41, 42, 42], [33, 34, 33], [8, 8, 9]])  # rates that milliseconds can not say, too
def test_gaps_in_a_constant_rate_are_counted(even: list[int]) -> None:
    step = sum(even) / len(even)
    found = gaps([*even * 50, round(11 * step), *even * 50, round(21 * step), *even * 10])
    assert found.missing == 30 and found.first == pytest.approx(1000 + 50 * sum(even) + step, abs=1)
    assert gaps([*even * 50, round(11 * step)], lasting=round(step)).missing == 10
    assert gaps(even * 50).missing == 0 and gaps(even * 50).first is None


def test_pictures_that_are_meant_to_be_seen_for_long_are_no_gaps() -> None:
    assert gaps([*[40] * 50, 2000, *[40] * 50], lasting=2000).missing == 0, "says how long they last"
    assert gaps([*[40] * 50, 80, 40, 120, 2000, *[40] * 50]).missing == 0, "its rate varies"
    assert gaps([*[40] * 30, 33, 50, 47, 40, 2000, *[40] * 50]).missing == 0
    assert gaps([*[40] * 20, 2000, *[40] * 20, 1000, *[40] * 9]).missing == 0, "stops often"
    assert gaps([2000, *[40] * 50]).missing == gaps([10_000] * 50).missing == gaps([]).missing == 0
