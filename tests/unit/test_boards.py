"""The arithmetic from counted instructions to predicted frames per second."""

from __future__ import annotations

import pytest

from tests.benchmarks.boards import CORES, TARGETS, Target, predict, stage_counts, table
from tests.benchmarks.workload import ROUNDS, WARM_UP

COUNTS = {
    "reference": 100e6, "network": 100e6,
    "guess 640x480": 110e6, "send 640x480": 10e6,
    "guess 1280x720": 120e6, "send 1280x720": 20e6,
}
BOARD = Target("a board", "cortex-a72", 20.0, "nobody")


def marks(counts: list[list[int]], idle: int = 1000) -> list[int]:
    """The counter at each mark of a run whose rounds take so many instructions a stage."""
    found, counter = [], 0
    for turn in counts:
        counter += idle
        found.append(counter)
        for stage in turn:
            counter += stage
            found.append(counter)
    return found


def test_a_stage_counts_what_lies_between_its_marks_once_it_is_warm() -> None:
    counts = [[9999, 7777]] * WARM_UP + [[10, 20 + turn] for turn in range(ROUNDS - WARM_UP)]
    assert stage_counts(marks(counts), ["a", "b"]) == {"a": 10, "b": 20 + (ROUNDS - WARM_UP - 1) // 2}
    with pytest.raises(ValueError, match="did not come to its end"):
        stage_counts(marks(counts)[:-1], ["a", "b"])


def test_the_network_scales_with_the_reference_and_the_rest_with_one_core() -> None:
    found = predict(BOARD, COUNTS, "640x480")
    assert found.network_ms == pytest.approx(20)
    one_core = 20 / 100e6 * CORES  # ms an instruction
    assert found.between == pytest.approx(1000 / (10e6 * one_core))
    assert found.every_frame == pytest.approx(1000 / (20 + (110e6 - 100e6 + 10e6) * one_core))
    assert predict(BOARD, COUNTS, "1280x720").every_frame < found.every_frame


def test_the_table_names_every_board_with_its_source_and_says_predicted() -> None:
    text = table({target.cpu: COUNTS for target in TARGETS})
    assert "Predicted, not measured" in text
    assert {target.name for target in TARGETS} == {"Zero 2 W", "Pi 4", "Pi 5"}
    for target in TARGETS:
        assert f"| {target.name} | " in text and f"- {target.name}: {target.source}." in text
    with_small = table({target.cpu: {**COUNTS, "small": 40e6} for target in TARGETS}, ["small"])
    assert "| Zero 2 W | 42 | ours | 42 |" in with_small and "| Zero 2 W | 42 | small | 16.8 |" in with_small
    for part in with_small.split("Predicted, not measured"):
        rows = [line for line in part.splitlines() if line.startswith("|")]
        assert len(rows) > 2 and len({line.count("|") for line in rows}) == 1, "every row has as many cells as the head"
