"""The wheel on a Raspberry Pi's processor: its packages come ready-made, and the very same bytes give the same colours there.

Programs of an arm64 Debian run under QEMU with a board's processor (tests/arm64.py). Needs mmdebstrap and qemu-user-static.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecolor.colorizer import Colorizer, shrink
from tests.arm64 import CPU_PARTS, Board, build_wheel, foreign_libraries, packages
from tests.conftest import DATA, ROOT
from tests.debian import BOOKWORM, TRIXIE, Release

pytestmark = pytest.mark.system

TEST_TOOLS = ("pytest", "pillow", "tifffile", "scikit-image")
# argv: runtime, a .npy file of (N, S, T) luma codes, the .npy file to write: (N, S/4, T/4, 2) int8 codes of the network's output.
ANSWER = """
import sys
import numpy as np
from edgecolor import Colorizer
network = Colorizer(runtime=sys.argv[1], threads=1).network
assert network.interpreter.delegated == (sys.argv[1] == "litert"), "litert is to run on XNNPACK"
output = network.interpreter.output
ab = np.stack([network(guide, "full") for guide in np.load(sys.argv[2])])
np.save(sys.argv[3], (np.rint(ab / output.scale) + output.zero_point).astype(np.int8))
"""
# Deselected. QEMU does not know V4L2's calls.
LEFT_OUT = [
    "tests/unit/test_v4l2_source.py::test_a_device_that_captures_nothing_is_unsupported",
    "tests/unit/test_installation.py::test_the_command_wants_root_or_a_dry_run",  # from a virtual environment, which the tree has none of
    # Their library is compiled for this machine, not for the board.
    "tests/unit/test_edgetpu.py",
    *(f"tests/unit/test_v4l2_source.py::test_frames_outlive_a_device_which_is_found_again[{end}]" for end in ("unplug", "stall")),
    "tests/unit/test_v4l2_source.py::test_the_driver_says_what_uncompressed_luma_means",
    "tests/unit/test_v4l2_source.py::test_a_size_that_is_not_given_is_an_error_and_a_rate_a_warning_once",
    "tests/unit/test_v4l2_source.py::test_buffers_that_the_driver_marks_as_damaged_cost_their_own_pictures",
    "tests/unit/test_hardware.py::test_the_librarys_version_and_devices_are_told_and_the_runtime_is_tried",
]
# Slow under emulation, more than a minute together: long feeds, whose short ones run, and a benchmark, which says nothing there.
_FEED = "tests/unit/test_monochrome.py::test_a_feed_turns_within_a_second_at_any_rate_but_not_at_once"
LEFT_OUT += [f"{_FEED}[{case}-{rate}]" for case in ("0.0-0.3-color", "0.3-0.0-gray") for rate in (25, 100)]
LEFT_OUT += [
    "tests/unit/test_monochrome.py::test_a_feed_near_the_threshold_does_not_flap",
    "tests/unit/test_benchmark_report.py::test_the_command_prints_the_block_and_nothing_private",
]
# Steps of the output's quantization: at most, and in the mean of a picture.
MOST_STEPS, MOST_MEAN = 1, 0.01
BOARDS = [
    *((BOOKWORM, cpu, "", "litert") for cpu in CPU_PARTS),
    *((BOOKWORM, cpu, "tflite", "tflite") for cpu in ("cortex-a72", "cortex-a76")),
    (TRIXIE, "cortex-a76", "", "litert"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def guides() -> NDArray[np.uint8]:
    """Small luma of real pictures, a dark one, and noise."""
    size = Colorizer(threads=1).network.size[::-1]
    files = [DATA / "gray.jpg", *sorted((DATA / "pictures").glob("*.jpg"))[:4]]
    photos = [shrink(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8), size) for path in files]
    noise = np.random.default_rng(0).integers(0, 256, photos[0].shape, np.uint8)
    return np.stack([*photos, photos[0] // 8, noise])


def succeed(command: Sequence[str | Path], cwd: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(("release", "extra"), [(BOOKWORM, ""), (BOOKWORM, "tflite"), (TRIXIE, "")])
def test_a_pi_needs_no_compiler(wheel: Path, release: Release, extra: str) -> None:
    # pip was allowed wheels only; what it took must be for this processor.
    folder = packages(release, wheel, extra, TEST_TOOLS if release is BOOKWORM and extra else ())
    assert foreign_libraries(folder) == []
    assert (folder / "edgecolor" / "models" / "edgecolor.tflite").exists()


@pytest.mark.parametrize(("release", "cpu", "extra", "runtime"), BOARDS)
def test_a_board_gives_the_same_colours(
    wheel: Path, guides: NDArray[np.uint8], tmp_path: Path, release: Release, cpu: str, extra: str, runtime: str
) -> None:
    board = Board(release, cpu, packages(release, wheel, extra, TEST_TOOLS if extra else ()))
    np.save(tmp_path / "guides.npy", guides)
    photo, codes, pictures = DATA / "gray.jpg", [], []
    for name, python, environment in (("here", [sys.executable], None), ("board", board.python(), board.environment())):
        succeed([*python, "-c", ANSWER, runtime, "guides.npy", f"{name}.npy"], tmp_path, environment)
        codes.append(np.load(tmp_path / f"{name}.npy").astype(int))
        succeed([*python, "-m", "edgecolor", "colorize", photo, "-o", f"{name}.png", "--runtime", runtime], tmp_path, environment)
        pictures.append(np.asarray(cv2.imread(str(tmp_path / f"{name}.png")), int))

    steps = np.abs(codes[0] - codes[1])
    means = steps.mean(axis=(1, 2, 3))
    print(f"{release.suite}, {cpu}, {runtime}: steps off at most {steps.max()}, in a picture's mean {means.max():.4f}")
    assert codes[0].std() > 5 and steps.max() <= MOST_STEPS and means.max() <= MOST_MEAN
    off = np.abs(pictures[0] - pictures[1])
    print(f"the colorized photo: RGB codes off at most {off.max()}, in the mean {off.mean():.5f}")
    # A step of the output is about half a unit of CIELAB, which changes R, G or B by up to 2 codes.
    assert off.max() <= 2 * MOST_STEPS and off.mean() <= MOST_MEAN


def test_unit_tests_pass_on_a_board(wheel: Path) -> None:
    board = Board(BOOKWORM, "cortex-a72", packages(BOOKWORM, wheel, "tflite", TEST_TOOLS))
    options = ["-q", "-p", "no:cacheprovider", "-m", "not hardware and not system", *(f"--deselect={name}" for name in LEFT_OUT)]
    done = board.run("-m", "pytest", *options, "tests/unit", cwd=ROOT)
    print(done.stdout[-300:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(done.stdout.rsplit(" passed", 1)[0].rsplit(maxsplit=1)[-1]) > 800
