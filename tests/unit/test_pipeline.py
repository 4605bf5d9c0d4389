"""The loop between source and sinks, with sources, networks and sinks that do exactly what a test says."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

from edgecolor import pipeline as pipeline_module
from edgecolor.board import Board
from edgecolor.colorizer import Colorizer
from edgecolor.errors import ConfigError, EdgeColorError, FrameError, SourceError, SourceLostError
from edgecolor.frame import Frame
from edgecolor.pipeline import LiveOptions, Pipeline, _rounded

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
    """A source that yields what the test feeds it; None is its end, an exception its failure, an event is waited for in vain."""

    name = "fed"

    def __init__(self, rate: float = 0.0, live: bool = False, timeout: float = 60.0) -> None:
        self.rate, self.live, self.timeout = rate, live, timeout
        self.tries = 0
        self.queue: Queue[Frame | Exception | threading.Event | None] = Queue()

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        self.tries += 1
        while not stop.is_set():
            if self.queue.empty():
                stop.wait(0.001)
                continue
            item = self.queue.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            if isinstance(item, threading.Event):
                item.wait(SECONDS)
                continue
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

    def __init__(self, rate: float = 0.0, color: bool = True, live: bool = False, timeout: float = 60.0, **options: Any) -> None:
        self.source, self.network, self.sink = Fed(rate, live, timeout), Network(), Kept(color)
        self.ends = 0
        self.pipeline = Pipeline(
            self.source, Colorizer(network=self.network), [self.sink], on_end=self._end, options=LiveOptions(**options),
            board=Board(Path("/nowhere"), Path("/nowhere"), lambda: None),
        )

    def _end(self) -> None:
        self.ends += 1

    def __enter__(self) -> Line:
        self.pipeline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.network.gate.set()
        with contextlib.suppress(EdgeColorError):
            self.pipeline.stop()
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("edgecolor-")])

    def feed(self, *sequences: int) -> None:
        for sequence in sequences:
            self.source.queue.put(frame(sequence))

    def sent(self) -> list[int]:
        return [f.sequence for f in self.sink.frames if f.origin != "placeholder"]

    def placeholders(self) -> int:
        return sum(f.origin == "placeholder" for f in self.sink.frames)

    def state(self) -> str:
        return str(self.pipeline.state()["state"])

    def feed_one(self, given: Frame) -> Frame:
        """Feed a frame and wait until it was sent; returns it as it was sent."""
        self.source.queue.put(given)
        until(lambda: self.sent()[-1:] == [given.sequence])
        return self.sink.frames[-1]


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.__exit__()


def colored(sequence: int, shape: tuple[int, int] = (32, 48)) -> Frame:
    """A frame with colours of its own: two halves of different hue over the same luma."""
    y = np.tile(np.linspace(40, 200, shape[1] // 2, dtype=np.uint8), (shape[0], 2))
    cb = np.full(((shape[0] + 1) // 2, (shape[1] + 1) // 2), 100, np.uint8)
    cb[:, cb.shape[1] // 2 :] = 160
    return Frame(y, cb, cb.copy(), "limited", "bt709", captured=sequence / 4, sequence=sequence)


def neutral(sequence: int) -> Frame:
    given = colored(sequence)
    gray = np.full_like(given.cb, 128)
    return replace(given, cb=gray, cr=gray)


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
    assert sent.origin == "guess"


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
    began, gate = threading.Event(), threading.Event()
    put = line.sink.put

    def slow(frame: Frame) -> None:
        began.set()
        assert gate.wait(SECONDS)
        put(frame)

    line.sink.put = slow  # type: ignore[method-assign]
    line.pipeline.start()
    line.feed(0)
    assert began.wait(SECONDS)
    line.feed(*range(1, 9))
    until(lambda: line.pipeline.state()["frames"]["in"] == 9)
    gate.set()
    until(lambda: line.sent() == [0, 8])
    assert line.pipeline.state()["frames"]["dropped"] == 7


@pytest.mark.parametrize("promised", [True, False])
def test_with_quick_chroma_every_frame_leaves_with_its_own_guess(promised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # A quarter of ten seconds of patience: the machine may be as busy as it likes.
    line = Line(rate=0.1 if promised else 0.0, smoothing=0)
    if not promised:  # as cameras with MJPEG over HTTP do not
        monkeypatch.setattr(line.pipeline._frames_in, "rate", lambda: 0.1)
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
    with Line(color=False, on_demand=False) as line:
        sent = line.feed_one(neutral(0))
        assert sent.cb is None and sent.origin == "camera", "sinks tell by the absent chroma that nothing was colorized"
        until(lambda: line.network.seen != [])
        line.sink.color = True
        assert line.feed_one(neutral(1)).origin == "guess"


@pytest.mark.parametrize("place", ["source", "chroma", "output"])
def test_a_typed_error_in_any_thread_ends_all_and_is_raised_by_stop(line: Line, place: str) -> None:
    error = SourceError("the cable is out") if place == "source" else FrameError("odd planes")
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.pipeline.state()["state"] == "live")
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


def test_stop_is_quick_while_every_thread_waits(line: Line) -> None:
    line.pipeline.start()
    begin = time.monotonic()
    line.pipeline.stop()
    assert time.monotonic() - begin < 1.4, "less than a thread that hangs is waited for"
    assert line.ends == 1


def test_stop_does_not_wait_for_ever_for_a_thread_that_hangs(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.network.gate.clear()
    line.pipeline.start()
    line.feed(0)
    until(lambda: line.network.calls == 1)
    begin = time.monotonic()
    line.pipeline.stop()
    assert time.monotonic() - begin < 10.0
    assert "edgecolor-chroma did not stop" in caplog.text


def test_state_is_plain_and_counts(line: Line) -> None:
    line.pipeline.start()
    for sequence in range(3):
        line.feed(sequence)
        until(lambda want=sequence: line.pipeline.state()["frames"]["out"] == want + 1)  # type: ignore[misc]
    state = json.loads(json.dumps(line.pipeline.state(), allow_nan=False))
    assert set(state) == {"state", "reason", "since", "source", "frames", "chroma", "latency", "temperature_c"}
    assert state["state"] == "live" and state["reason"] is None and state["since"].endswith("+00:00")
    source = state["source"]
    assert source.pop("last_good").endswith("+00:00") and source.pop("age_s") >= 0
    assert source == {
        "name": "fed", "promised_rate": 0.0, "width": 48, "height": 32, "sequence": 2, "losses": {}, "reconnects": 0, "tries": 1,
        "retry_in_s": None,
    }
    frames = state["frames"]
    assert frames["in"] == frames["out"] == 3 and frames["dropped"] == frames["placeholders"] == 0
    assert frames["rate"] > 0 and frames["rate_in"] > 0
    chroma = state["chroma"]
    assert chroma.pop("guesses") >= 1 and chroma.pop("guess_ms") >= 0 and chroma.pop("rate") >= 0 and chroma.pop("dropped") >= 0
    assert chroma == {"mode": "auto", "feed": "gray", "active": True, "limit": None, "throttled": False}
    latency = state["latency"]
    assert latency["count"] == 3 and latency["buckets"][-1][1] == 3 and latency["sum"] > 0 and latency["median_ms"] > 0


def test_a_rate_of_one_picture_in_minutes_is_not_told_as_none() -> None:
    assert [_rounded(rate) for rate in (0.0, 1 / 300, 25.0, 30000 / 1001, 1234.56)] == [0.0, 0.003333, 25.0, 29.97, 1235.0]


# --- Demand


def test_no_inference_while_nobody_wants_colour_and_the_first_colour_after_a_pause_is_fresh() -> None:
    with Line() as line:
        line.feed_one(frame(0))
        line.sink.color = False
        for sequence in range(1, 6):
            assert line.feed_one(frame(sequence)).cb is None
        until(lambda: line.pipeline._chroma._newest is None)
        calls = line.network.calls
        line.feed_one(frame(6))
        assert line.network.calls == calls and not line.pipeline.state()["chroma"]["active"]
        line.network.gate.clear()
        line.sink.color = True
        line.feed(7)
        until(lambda: line.network.calls == calls + 1)
        assert line.sent()[-1] == 6, "the guess of frame 0 must not be used"
        line.network.gate.set()
        until(lambda: line.sent()[-1] == 7)
        assert line.network.seen[-1] == 7 and line.sink.frames[-1].origin == "guess"


def test_a_guess_that_was_being_made_when_the_pause_began_is_not_used() -> None:
    with Line() as line:
        seen_at_put: list[list[int]] = []
        put = line.sink.put
        line.sink.put = lambda frame: (seen_at_put.append(line.network.seen.copy()), put(frame))[1]  # type: ignore[method-assign, func-returns-value]
        line.network.gate.clear()
        line.feed(0)
        until(lambda: line.network.calls == 1)
        line.sink.color = False
        line.feed(1)
        until(lambda: line.sent()[-1:] == [1])
        line.sink.color = True
        line.feed(2)
        until(lambda: line.pipeline._chroma._frame is not None)
        line.network.work_s = 0.1
        line.network.gate.set()
        until(lambda: line.sent()[-1:] == [2])
        assert seen_at_put[-1] == [0, 2]


def test_who_comes_while_a_frame_is_on_its_way_gets_it_in_colour() -> None:
    with Line(color=False) as line:
        asked = []

        def wants() -> bool:
            asked.append(0)
            return len(asked) > 1  # not when the frame comes in, but when it goes out

        line.sink.wants_color = wants  # type: ignore[method-assign]
        assert line.feed_one(frame(0)).origin == "guess"


def test_who_leaves_while_a_guess_is_waited_for_holds_nothing_up() -> None:
    with Line() as line:
        line.network.gate.clear()
        line.feed(0)
        until(lambda: line.network.calls == 1)
        line.sink.color = False
        line.feed(1)
        until(lambda: line.sent()[-1:] == [1])


def test_the_rate_of_guesses_can_be_limited() -> None:
    with Line(chroma_rate=0.02) as line:
        for sequence in range(20):
            line.feed_one(frame(sequence))
        assert line.network.calls == 1
        assert line.pipeline.state()["chroma"]["limit"] == 0.02


def test_who_asks_now_and_then_gets_the_same_guess_until_another_is_due_and_holds_nothing_up() -> None:
    with Line(chroma_rate=0.02) as line:  # one in 50 s, far longer than a test waits
        for sequence in (0, 2, 4):
            line.sink.color = True
            assert line.feed_one(frame(sequence)).origin == "guess"
            line.sink.color = False
            assert line.feed_one(frame(sequence + 1)).cb is None
            assert line.network.calls == 1
            assert line.pipeline._chroma._frame is None, "nobody wants it any more"
        line.pipeline._chroma._clock = lambda: time.monotonic() + 50
        line.feed_one(frame(6))
        until(lambda: line.pipeline._chroma._newest is None)
        line.sink.color = True
        assert line.feed_one(frame(7)).origin == "guess"
        assert line.network.seen == [0, 7]


# --- Feeds with colours of their own


def test_a_feed_with_colours_passes_untouched_and_is_not_guessed() -> None:
    with Line() as line:
        given = colored(0)
        assert line.feed_one(given) is given
        chroma = line.pipeline.state()["chroma"]
        assert (chroma["feed"], chroma["active"], chroma["guesses"], line.network.calls) == ("color", False, 0, 0)


def test_a_feed_turns_gray_and_back_by_its_own_time() -> None:
    with Line() as line:
        origins = [line.feed_one((neutral if 10 <= n < 20 else colored)(n)).origin for n in range(30)]  # 4 frames a second
        turns = [n for n in range(1, 30) if origins[n] != origins[n - 1]]
        assert origins[0] == "camera" and len(turns) == 2
        assert 10 < turns[0] <= 14 and 20 < turns[1] <= 24, "within a second, but not by one frame"


@pytest.mark.parametrize("mode", ["always", "never"])
def test_what_is_guessed_can_be_told(mode: str) -> None:
    with Line(colorize=mode) as line:
        for given in (colored(0), neutral(1), frame(2)):
            sent = line.feed_one(given)
            if mode == "always":
                assert sent.origin == "guess" and sent.y is given.y and sent.cb is not given.cb
            else:
                assert sent is given and sent.origin == "camera"
        assert line.pipeline.state()["chroma"]["mode"] == mode
        assert (line.network.calls > 0) == (mode == "always")


def test_a_picture_that_changes_its_size_goes_on_with_a_fresh_guess() -> None:
    with Line() as line:
        line.feed_one(frame(0))
        line.network.gate.clear()
        line.source.queue.put(frame(1, (33, 21)))
        until(lambda: line.network.calls == 2)
        time.sleep(0.05)  # for a frame with the guess for the old size, which must not come
        assert line.sent() == [0]
        line.network.gate.set()
        until(lambda: line.sent() == [0, 1])
        sent = line.sink.frames[-1]
        assert sent.cb is not None and sent.cb.shape == (17, 11)
        source = line.pipeline.state()["source"]
        assert (source["width"], source["height"]) == (21, 33)


def test_one_picture_of_another_size_that_never_gets_a_guess_holds_nothing_up() -> None:
    with Line() as line:
        line.feed_one(frame(0))
        line.network.gate.clear()
        line.feed_one(frame(1))
        until(lambda: line.network.calls == 2)
        line.source.queue.put(frame(2, (24, 48)))
        until(lambda: line.pipeline.state()["frames"]["in"] == 3 and line.pipeline._to_output._item is None)
        line.feed(3)  # takes the odd one's place before the worker, which is busy with 1, has seen it
        until(lambda: line.sent() == [0, 1, 3])
        assert line.state() == "live"
        line.network.gate.set()
        line.feed_one(frame(4))
        until(lambda: line.network.seen[-1] in (3, 4))
        assert 2 not in line.network.seen


# --- Losses


def test_a_lost_source_is_tried_for_ever_and_placeholders_take_its_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline_module, "_PLACEHOLDER_S", 0.0)
    with Line(live=True, retry_first=0.001, retry_most=0.01) as line, caplog.at_level(logging.INFO):
        line.feed_one(frame(0, (32, 48), "limited"))
        line.source.queue.put(SourceLostError("the cable is out", "unplugged"))
        for _ in range(5):
            line.source.queue.put(SourceLostError("no route", "unreachable"))
        until(lambda: line.source.tries == 7 and line.pipeline.state()["frames"]["placeholders"] >= 2)
        state = line.pipeline.state()
        assert (state["state"], state["reason"]) == ("lost", "no route")
        assert state["source"]["losses"] == {"unplugged": 1, "unreachable": 1}, "one outage, each kind once"
        assert state["frames"]["placeholders"] >= 2 and state["frames"]["out"] == 1
        shown = line.sink.frames[-1]
        assert (shown.origin, shown.y.shape, shown.color_range) == ("placeholder", (32, 48), "limited")
        line.network.gate.clear()
        calls = line.network.calls
        line.feed(1)
        until(lambda: line.network.calls == calls + 1)
        time.sleep(0.05)  # for a frame with the guess from before the outage, which must not come
        assert line.sent() == [0]
        line.network.gate.set()
        until(lambda: line.sent() == [0, 1] and line.state() == "live")
        state = line.pipeline.state()
        assert (state["state"], state["reason"], state["source"]["reconnects"]) == ("live", None, 1)
        assert state["frames"]["rate_in"] == 0.0, "one frame has no rate, and the outage is none: it would slow a hot board's guesses"
        line.feed_one(frame(2))
        assert line.sink.frames[-1].origin == line.sink.frames[-2].origin == "guess", "no placeholder once it is back"
        messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert len(messages) == 2 and "unplugged" in messages[0] and "cable is out" in messages[0]
        assert any("is back" in r.getMessage() for r in caplog.records)
    assert line.ends == 1


def test_a_source_that_is_absent_at_the_start_comes_later() -> None:
    with Line(live=True, retry_first=0.01) as line:
        line.source.queue.put(SourceLostError("refused", "unreachable"))
        until(lambda: line.placeholders() > 0)
        assert line.sink.frames[0].y.shape == (480, 640)
        assert line.pipeline.state()["source"]["last_good"] is None
        assert line.feed_one(frame(0)).origin == "guess"
        until(lambda: line.state() == "live")


def test_a_live_stream_that_just_ends_is_lost_too() -> None:
    with Line(live=True, retry_first=30.0, retry_most=30.0) as line:
        line.feed_one(frame(0))
        line.source.queue.put(None)
        until(lambda: line.state() == "lost")
        source = line.pipeline.state()["source"]
        assert source["losses"] == {"ended": 1} and 20 < source["retry_in_s"] <= 30
    assert line.ends == 1, "and a pipeline that waits for a retry stops at once"


@pytest.mark.parametrize("first", [True, False])
def test_a_source_that_hangs_is_lost_though_its_thread_says_nothing(first: bool) -> None:
    gate = threading.Event()
    with Line(live=True, timeout=0.05) as line:
        if not first:
            line.feed_one(frame(0))
        line.source.queue.put(gate)
        begin = time.monotonic()
        until(lambda: line.placeholders() > 0)
        assert time.monotonic() - begin > 0.05 and line.state() == "lost"
        assert line.pipeline.state()["source"]["losses"] == {"silent": 1}
        gate.set()
        line.feed_one(frame(1))
        until(lambda: line.state() == "live" and line.pipeline.state()["source"]["reconnects"] == 1)


def test_a_loss_is_shown_while_the_first_guess_is_still_being_made() -> None:
    with Line(live=True, retry_first=20.0) as line:
        line.network.gate.clear()
        line.feed(0)
        until(lambda: line.network.calls == 1)
        line.source.queue.put(SourceLostError("gone", "ended"))
        until(lambda: line.placeholders() > 0)
        assert line.sent() == []


def test_a_file_that_pauses_is_not_lost_and_its_error_ends_the_pipeline() -> None:
    with Line(timeout=0.0) as line:
        line.feed_one(frame(0))
        monotonic = line.pipeline._health._clock
        line.pipeline._health._clock = lambda: monotonic() + 100
        assert line.state() == "live"
        line.source.queue.put(SourceLostError("no more", "ended"))
        until(lambda: line.ends == 1)
        assert line.state() == "failed"


# --- Options


@pytest.mark.parametrize(
    "wrong",
    [{"colorize": "maybe"}, {"chroma_rate": -1}, {"smoothing": float("nan")}, {"retry_first": 0}, {"retry_first": 5, "retry_most": 4}],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LiveOptions(**wrong)


def test_a_hot_board_guesses_less(tmp_path: Path) -> None:
    (tmp_path / "thermal_zone0").mkdir()
    (tmp_path / "thermal_zone0" / "temp").write_text("85000\n")
    line = Line(chroma_rate=8.0)
    line.pipeline._board = Board(tmp_path, tmp_path / "absent", lambda: None)
    line.network.work_s = 0.01
    line.pipeline._chroma.seconds = 0.01
    with line:
        until(lambda: line.pipeline.state()["temperature_c"] == 85.0)
        until(lambda: line.pipeline.state()["chroma"]["limit"] == 4.0)
        assert line.pipeline.state()["chroma"]["throttled"]
