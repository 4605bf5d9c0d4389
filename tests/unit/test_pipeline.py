"""The loop between source and sinks, with sources, networks and sinks that do exactly what a test says."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from queue import Queue

import numpy as np
import pytest

from edgecolor import pipeline as pipeline_module
from edgecolor.colorizer import Colorizer
from edgecolor.errors import EdgeColorError, FrameError, SourceError
from edgecolor.frame import Frame
from edgecolor.pipeline import Latest, Meter, Pipeline

SECONDS = 10.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.002)


def frame(sequence: int, shape: tuple[int, int] = (32, 48), color_range: str = "full", matrix: str = "bt709") -> Frame:
    y = np.full(shape, 16 + sequence % 200, np.uint8)
    return Frame(y, color_range=color_range, matrix=matrix, pts=sequence / 10, sequence=sequence)


class Fed:
    """A source that yields what the test feeds it; None is its end, an exception its failure."""

    name = "fed"

    def __init__(self, rate: float = 0.0) -> None:
        self.rate = rate
        self.queue: Queue[Frame | Exception | None] = Queue()

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        while not stop.is_set():
            if self.queue.empty():
                stop.wait(0.001)
                continue
            item = self.queue.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item


class Network:
    """Guesses a*, b* that tell which luma it saw: a* is its mean. Waits at a gate, which is open at first."""

    size = (16, 16)

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0
        self.seen: list[int] = []
        self.error: Exception | None = None
        self.work_s = 0.0

    def __call__(self, luma: np.ndarray, color_range: str) -> np.ndarray:
        self.calls += 1
        assert self.gate.wait(SECONDS)
        time.sleep(self.work_s)
        if self.error is not None:
            raise self.error
        self.seen.append(int(luma[0, 0]) - 16)
        return np.full((4, 4, 2), 30.0, np.float32)


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self, color: bool = True) -> None:
        self.frames: list[Frame] = []
        self.color = color
        self.error: Exception | None = None

    def wants_color(self) -> bool:
        return self.color

    def put(self, frame: Frame) -> None:
        if self.error is not None:
            raise self.error
        self.frames.append(frame)


class Line:
    """A pipeline between the fakes above; every test ends with its threads gone."""

    def __init__(self, rate: float = 0.0, color: bool = True) -> None:
        self.source, self.network, self.sink = Fed(rate), Network(), Kept(color)
        self.ends = 0
        self.pipeline = Pipeline(self.source, Colorizer(network=self.network), [self.sink], on_end=self._end)

    def _end(self) -> None:
        self.ends += 1

    def feed(self, *sequences: int) -> None:
        for sequence in sequences:
            self.source.queue.put(frame(sequence))

    def sent(self) -> list[int]:
        return [f.sequence for f in self.sink.frames]


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.network.gate.set()
    with contextlib.suppress(EdgeColorError):
        line.pipeline.stop()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("edgecolor-")])


def test_luma_goes_out_as_the_very_same_array_with_chroma_beside_it(line: Line) -> None:
    given = frame(0, (33, 47), "limited")
    line.source.queue.put(given)
    line.pipeline.start()
    until(lambda: line.sink.frames != [])
    sent = line.sink.frames[0]
    assert sent.y is given.y
    assert sent.cb is not None and sent.cb.shape == (17, 24)
    assert sent.cr is not None and int(sent.cr[5, 5]) > 140, "a* = b* = 30 is a warm colour"
    assert (sent.sequence, sent.pts, sent.captured, sent.color_range) == (0, 0.0, given.captured, "limited")
    assert sent.matrix == "bt601", "the guess was made for BT.601, whatever the source said"


def test_slow_chroma_does_not_hold_luma_back(line: Line) -> None:
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.sent() == [0])
    line.network.gate.clear()
    for sequence in range(1, 12):
        line.feed(sequence)
        until(lambda want=sequence: line.sent()[-1] == want)  # type: ignore[misc]
    assert line.sent() == list(range(12))
    assert line.network.seen == [0], "all were sent with the one guess there is"
    assert all(f.cb is not None for f in line.sink.frames)


def test_the_chroma_worker_takes_the_newest_frame_and_skips_the_rest(line: Line) -> None:
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.sent() == [0])
    line.network.gate.clear()
    line.feed(1)
    until(lambda: line.network.calls == 2)
    line.feed(*range(2, 10))
    until(lambda: line.sent()[-1] == 9)
    line.network.gate.set()
    until(lambda: len(line.network.seen) == 3)
    assert line.network.seen == [0, 1, 9]
    assert line.pipeline.state()["chroma"]["guesses"] >= 2


def test_nothing_goes_out_before_the_first_guess(line: Line) -> None:
    line.network.gate.clear()
    line.pipeline.start()
    line.feed(0, 1, 2)
    until(lambda: line.pipeline.state()["frames"]["in"] == 3)
    assert line.sent() == [] and line.pipeline.state()["state"] == "starting"
    line.network.gate.set()
    until(lambda: line.sent() != [])
    assert line.sink.frames[0].cb is not None


def test_a_slow_sink_gets_the_newest_frame_and_drops_are_counted(line: Line) -> None:
    gate = threading.Event()
    put = line.sink.put

    def slow(frame: Frame) -> None:
        assert gate.wait(SECONDS)
        put(frame)

    line.sink.put = slow  # type: ignore[method-assign]
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.network.seen == [0])
    until(lambda: line.pipeline._to_output._item is None)
    line.feed(*range(1, 9))
    until(lambda: line.pipeline.state()["frames"]["in"] == 9)
    gate.set()
    until(lambda: line.sent() == [0, 8])
    assert line.pipeline.state()["frames"]["dropped"] == 7


def test_with_quick_chroma_every_frame_leaves_with_its_own_guess() -> None:
    line = Line(rate=0.1)  # a quarter of ten seconds of patience: the machine may be as busy as it likes
    line.network.work_s = 0.02  # long enough for the output to be first, did it not wait
    line.pipeline.start()
    try:
        for sequence in range(20):
            line.feed(sequence)
            until(lambda want=sequence: line.sent()[-1:] == [want])  # type: ignore[misc]
            assert line.network.seen[-1] == sequence
    finally:
        line.pipeline.stop()


def test_chroma_is_not_lifted_for_nobody() -> None:
    line = Line(color=False)
    line.pipeline.start()
    try:
        line.feed(0)
        until(lambda: line.sent() == [0])
        assert line.sink.frames[0].cb is None
        line.sink.color = True
        line.feed(1)
        until(lambda: line.sent() == [0, 1])
        assert line.sink.frames[1].cb is not None
    finally:
        line.pipeline.stop()


@pytest.mark.parametrize("place", ["source", "chroma", "output"])
def test_a_typed_error_in_any_thread_ends_all_and_is_raised_by_stop(line: Line, place: str) -> None:
    error = SourceError("the cable is out") if place == "source" else FrameError("odd planes")
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.sent() == [0])
    assert line.pipeline.state()["state"] == "live"
    if place == "source":
        line.source.queue.put(error)
    else:
        (line.network if place == "chroma" else line.sink).error = error
        line.feed(1)
    until(lambda: line.ends == 1)
    state = line.pipeline.state()
    assert (state["state"], state["reason"]) == ("failed", str(error))
    with pytest.raises(type(error), match=str(error)):
        line.pipeline.stop()
    assert line.ends == 1


def test_an_unforeseen_error_is_wrapped_and_its_traceback_logged(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.network.error = ZeroDivisionError("oops")
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.ends == 1)
    with caplog.at_level(logging.ERROR), pytest.raises(EdgeColorError, match="chroma thread failed: ZeroDivisionError: oops") as caught:
        line.pipeline.stop()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert any(record.exc_info for record in caplog.records)


def test_the_end_of_a_source_is_a_state_and_no_error(line: Line) -> None:
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.sent() == [0])
    line.source.queue.put(None)
    until(lambda: line.ends == 1)
    assert line.pipeline.state()["state"] == "ended"
    line.pipeline.stop()


def test_a_source_that_falls_silent_is_seen(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "_STALL_S", 0.2)
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.pipeline.state()["state"] == "stalled")
    assert "old" in line.pipeline.state()["reason"]
    line.feed(1)
    until(lambda: line.pipeline.state()["state"] == "live")


def test_stop_is_quick_while_every_thread_waits(line: Line) -> None:
    line.pipeline.start()
    begin = time.monotonic()
    line.pipeline.stop()
    assert time.monotonic() - begin < 1.0
    assert line.ends == 1


def test_stop_does_not_wait_for_ever_for_a_thread_that_hangs(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.network.gate.clear()
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.network.calls == 1)
    begin = time.monotonic()
    line.pipeline.stop()
    assert time.monotonic() - begin < 2.0
    assert "edgecolor-chroma did not stop" in caplog.text


def test_state_is_plain_and_counts(line: Line) -> None:
    line.pipeline.start()
    for sequence in range(3):
        line.feed(sequence)
        until(lambda want=sequence: line.pipeline.state()["frames"]["out"] == want + 1)  # type: ignore[misc]
    state = line.pipeline.state()
    assert state["source"] | {"age_s": 0} == {"name": "fed", "promised_rate": 0.0, "width": 48, "height": 32, "sequence": 2, "age_s": 0}
    assert state["frames"]["in"] == state["frames"]["out"] == 3
    assert state["latency_ms"] > 0


def test_latest_keeps_one_item_and_counts_what_was_replaced() -> None:
    slot: Latest[int] = Latest()
    for number in range(5):
        slot.put(number)
    assert (slot.take(), slot.dropped) == (4, 4)
    slot.close()
    assert slot.take() is None


def test_a_meter_forgets_what_is_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pipeline_module, "monotonic", lambda: now)
    meter = Meter()
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
