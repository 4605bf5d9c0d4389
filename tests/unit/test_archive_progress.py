from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from edgecolor.archive.display import Display, printable
from edgecolor.archive.job import VIDEO, Job, Outcome, Settings
from edgecolor.archive.progress import Progress, spoken
from edgecolor.archive.space import check_space, expected_bytes, readable
from edgecolor.errors import DiskFullError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def job(name: str, size: int = 1000) -> Job:
    return Job(Path(name), Path("out", name), VIDEO if name.endswith("mp4") else "jpeg", name, name, size)


def ended(task: Job, seconds: float, result: str = "colorized") -> Outcome:
    return Outcome(task, result, seconds, error="" if result != "failed" else f"{task.source}: no")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_rest_is_reckoned_from_bytes_a_second(clock):
    progress = Progress(4, 0, 4000, clock=clock)
    assert progress.remaining() is None
    progress.begin(job("a.jpg"))
    progress.end(ended(job("a.jpg"), 2.0))
    assert progress.remaining() == pytest.approx(6.0)
    progress.skip(False, 1000)
    assert progress.remaining() == pytest.approx(4.0) and progress.done == 2
    progress.begin(job("c.jpg"))
    progress.end(ended(job("c.jpg"), 0.0, "finished"))
    assert progress.remaining() == pytest.approx(2.0)  # what is finished tells nothing about the rate


def test_several_workers_share_the_rest(clock):
    progress = Progress(3, 0, 3000, jobs=2, clock=clock)
    progress.begin(job("a.jpg"))
    progress.end(ended(job("a.jpg"), 4.0))
    assert progress.remaining() == pytest.approx(4.0)


def test_videos_and_pictures_have_rates_of_their_own(clock):
    progress = Progress(3, 10_000, 2000, clock=clock)
    progress.begin(job("a.jpg"))
    progress.end(ended(job("a.jpg"), 2.0))  # 500 bytes a second, taken for videos too as long as there is no other figure
    assert progress.remaining() == pytest.approx(2 + 20)
    film = job("b.mp4", 10_000)
    progress.begin(film)
    clock.now += 5
    progress.advance(film, 0.5)  # 1000 bytes a second
    assert progress.remaining() == pytest.approx(2 + 5)
    assert progress.running == [(film, 0.5, pytest.approx(5.0))]
    progress.end(ended(film, 10.0))
    assert progress.remaining() == pytest.approx(2.0) and progress.running == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3569, "59 min"), (3599, "1 h 0 min"), (11_100, "3 h 5 min"), (360_000, "4 d 4 h")],
)
def test_spans_as_people_say_them(seconds, text):
    assert spoken(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_600, "1.0 MB"), (2e10, "20 GB"), (9e15, "9000 TB")]
)
def test_sizes_as_people_say_them(size, text):
    assert readable(size) == text


def test_json_progress_names_what_is_in_hand(clock, capsys):
    progress = Progress(2, 10_000, 1000, clock=clock)
    display = Display(progress, json_lines=True)
    film = job("b.mp4", 10_000)
    progress.begin(film)
    display.begin(film)
    clock.now += 2
    progress.advance(film, 0.1)
    display.tick()
    assert capsys.readouterr().out == ""  # not at every step
    clock.now += 8
    progress.advance(film, 0.5)
    display.tick()
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "event": "progress", "done": 0, "files": 2, "remaining_s": 12.0,
        "running": [{"source": "b.mp4", "share": 0.5, "remaining_s": 10.0}],
    }  # fmt: skip


def test_without_a_terminal_a_line_a_minute(clock, capsys):
    progress = Progress(3, 10_000, 2000, clock=clock)
    display = Display(progress)
    progress.begin(job("a.jpg"))
    progress.end(ended(job("a.jpg"), 2.0))
    display.end(ended(job("a.jpg"), 2.0))
    film = job("b\x1b.mp4", 10_000)
    progress.begin(film)
    clock.now += 59
    progress.advance(film, 0.25)
    display.tick()
    assert capsys.readouterr() == ("", "")
    clock.now += 1
    display.tick()
    assert capsys.readouterr().err == "edgecolor colorize: 1/3; 3 min left; b\\x1b.mp4 25%, 3 min left\n"
    display.tick()
    assert capsys.readouterr().err == ""
    quiet = Display(progress, quiet=True)
    clock.now += 200
    quiet.tick()
    assert capsys.readouterr() == ("", "")


def test_the_summary_leaves_out_what_did_not_happen(clock, capsys):
    display = Display(Progress(0, 0, 0, clock=clock))
    display.summary(Counter(), 0, None)
    display.summary(Counter(colorized=1, copied=2, finished=3, failed=4, left=5), 2, "the disk is full")
    display.summary(Counter(planned=2), 0, None)
    assert capsys.readouterr().out.splitlines() == [
        "0 colorized",
        "1 colorized, 2 already in colour (copied), 3 done before, 4 failed, 5 not done, 2 other files skipped",
        "2 to do",
    ]


def test_failures_are_said_even_when_quiet(clock, capsys):
    Display(Progress(1, 0, 1, clock=clock), quiet=True).end(ended(job("a.jpg"), 1, "failed"))
    assert capsys.readouterr() == ("", "edgecolor colorize: a.jpg: no\n")


def test_names_are_made_harmless():
    assert printable("a\x1b[31m\n\udcff") == "a\\x1b[31m\\n\\udcff"


def test_expected_sizes_go_by_what_becomes_of_them():
    picture, film = [(Path("a.jpg"), 1000)], [(Path("a.mp4"), 1000)]
    assert expected_bytes(picture, Settings()) == 1200 == expected_bytes(film, Settings())
    assert expected_bytes(picture, Settings(format="tiff")) == 8000 == expected_bytes(film, Settings(codec="ffv1"))
    assert expected_bytes([(Path("a.png"), 1000)], Settings()) == 3000
    assert expected_bytes([(Path("a.png"), 1000)], Settings(format="jpeg")) == 1200
    assert expected_bytes([], Settings()) == 0


def test_room_is_asked_for_where_the_folder_will_be(tmp_path):
    check_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(DiskFullError, match=r"not/yet: the outputs will need about .* --no-space-check"):
        check_space(tmp_path / "not" / "yet", 1 << 60)


def test_warnings_are_said_and_are_in_the_json(clock, capsys):
    outcome = Outcome(job("a.mp4"), "colorized", 1.0, warnings=("no chapters",))
    Display(Progress(1, 1000, 0, clock=clock)).end(outcome)
    assert capsys.readouterr().err == "edgecolor colorize: a.mp4: warning: no chapters\n"
    Display(Progress(1, 1000, 0, clock=clock), json_lines=True).end(outcome)
    assert json.loads(capsys.readouterr().out)["warnings"] == ["no chapters"]
    Display(Progress(1, 1000, 0, clock=clock), quiet=True).end(outcome)
    assert capsys.readouterr() == ("", "")
