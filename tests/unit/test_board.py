from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from edgecolor.board import BackOff, Board, Reading, read_output


def zones(folder: Path, *temperatures: str) -> Path:
    for number, text in enumerate(temperatures):
        (folder / f"thermal_zone{number}").mkdir(parents=True)
        (folder / f"thermal_zone{number}" / "temp").write_text(text)
    return folder


def test_a_board_that_tells_nothing() -> None:
    assert Board(Path("/nowhere"), Path("/nowhere"), lambda: None).read() == Reading(None, None)


@pytest.mark.parametrize(
    ("temperatures", "hottest"),
    [(["48250\n"], 48.25), (["41000\n", "56100\n"], 56.1), (["-273000\n", "", "no\n", "0\n", "37000"], 37.0), (["255000\n"], None)],
)
def test_the_hottest_plausible_zone_counts(tmp_path: Path, temperatures: list[str], hottest: float | None) -> None:
    assert Board(zones(tmp_path, *temperatures), tmp_path / "none", lambda: None).read().temperature_c == hottest


def test_nothing_is_raised_when_no_file_can_be_opened(tmp_path: Path) -> None:
    board, usual = Board(zones(tmp_path, "48250\n"), tmp_path / "absent", lambda: None), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
    try:
        reading = board.read()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    assert reading == Reading(None, None) and board.read().temperature_c == 48.25


@pytest.mark.parametrize(
    ("text", "throttled"),
    [("0\n", False), ("50005\n", True), ("50000\n", False), *((bit, True) for bit in "1248"), ("gibberish", None), ("", None)],
)
def test_throttling_now_is_told_from_throttling_once(tmp_path: Path, text: str, throttled: bool | None) -> None:
    (tmp_path / "get_throttled").write_text(text)
    assert Board(tmp_path, tmp_path / "get_throttled", lambda: pytest.fail("the file is there")).read().throttled is throttled
    printed = f"throttled=0x{text}"
    assert Board(tmp_path, tmp_path / "absent", lambda: printed).read().throttled is throttled


def test_a_program_that_is_absent_is_not_asked_again(tmp_path: Path) -> None:
    asked = []
    board = Board(tmp_path, tmp_path / "absent", lambda: asked.append(0))
    assert [board.read().throttled for _ in range(3)] == [None] * 3
    assert len(asked) == 1


def test_what_a_program_prints() -> None:
    assert read_output((sys.executable, "-c", "print('throttled=0x0')")) == "throttled=0x0\n"
    assert read_output((sys.executable, "-c", "raise SystemExit(3)")) is None
    assert read_output(("/nowhere/vcgencmd",)) is None


COOL, WARM, HOT = Reading(60.0, False), Reading(77.0, False), Reading(81.0, False)


def test_work_is_halved_step_by_step_and_comes_back_slowly() -> None:
    back_off = BackOff(hottest=80)
    assert back_off.update(COOL, 0) == 1
    assert back_off.update(HOT, 5) == 0.5
    assert back_off.update(HOT, 10) == 0.5, "heat follows load slowly"
    assert back_off.update(HOT, 20) == 0.25
    assert [back_off.update(WARM, t) for t in (30, 100, 200)] == [0.25] * 3, "just below the limit nothing changes"
    assert [back_off.update(COOL, t) for t in (205, 235, 264)] == [0.25] * 3
    assert back_off.update(COOL, 265) == 0.5
    assert back_off.update(COOL, 300) == 0.5
    assert back_off.update(COOL, 325) == 1
    assert back_off.update(COOL, 1000) == 1


def test_throttling_counts_without_a_temperature_and_there_is_a_least_share() -> None:
    back_off = BackOff()
    for time in range(0, 1000, 20):
        back_off.update(Reading(None, True), time)
    assert back_off.share == 1 / 16
    assert BackOff().update(Reading(None, None), 0) == 1
