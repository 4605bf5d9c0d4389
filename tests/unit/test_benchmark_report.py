"""The block that users of real boards paste into an issue: complete where the board tells, silent about who they are."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgecolor.benchmark import Timing
from edgecolor.board import Reading
from edgecolor.report import describe_board, describe_heat, describe_run, render
from tests.conftest import ROOT

ABOUT = {"model": "edgecolor", "sha256": "0123456789abcdef", "runtime": "litert", "threads": 4, "delegated": True}
SERIAL = "10000000deadbeef"


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """The files of a Raspberry Pi that are looked at, and some that must not be."""
    files = {
        "proc/device-tree/model": "Raspberry Pi Zero 2 W Rev 1.0\0",
        "proc/device-tree/serial-number": f"{SERIAL}\0",
        "proc/cpuinfo": f"Serial\t\t: {SERIAL}\n",
        "etc/hostname": "garden-shed\n",
        "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1000000\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_board_says_what_it_is_and_not_whose(pi: Path) -> None:
    found = describe_board(pi)
    assert found["board"].startswith("Raspberry Pi Zero 2 W Rev 1.0 (")
    assert found["system"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["governor"] == "ondemand" and found["clock"] == "600 MHz of 1000 MHz"
    assert found["Python"] == ".".join(map(str, sys.version_info[:3])) and "numpy" in found["libraries"]
    text = str(found)
    assert "\0" not in text and SERIAL not in text and "garden-shed" not in text and str(pi) not in text


def test_what_a_board_does_not_tell_is_left_out(tmp_path: Path) -> None:
    found = describe_board(tmp_path)
    assert found["board"].startswith("unknown (")
    assert not found.keys() & {"system", "governor", "clock"}
    assert describe_heat(Reading(), Reading()) == {}


def test_heat_before_and_after() -> None:
    found = describe_heat(Reading(48.25, False), Reading(81.0, True))
    assert found == {"temperature": "48.2 °C before, 81.0 °C after", "throttled": "no before, yes after"}
    assert describe_heat(Reading(None, None), Reading(None, True)) == {"throttled": "unknown before, yes after"}


def test_the_run_names_model_runtime_and_threads() -> None:
    found = describe_run(ABOUT)
    assert found["model"] == "edgecolor (0123456789ab)" and found["threads"].startswith("4 ")
    assert found["runtime"].startswith("litert ") and "in effect" in found["runtime"]
    assert "no delegate" in describe_run({**ABOUT, "delegated": False})["runtime"]


def test_the_table_has_a_row_for_each_stage() -> None:
    timings = [
        Timing((640, 480), {"lookup + invoke": 30.0, "jpeg": 10.0}, 20.0, 15.0),
        Timing((8, 8), {"lookup + invoke": 4.0, "jpeg": 1.0}, 1.0, 8.0),
    ]
    lines = render({"board": "a Pi"}, timings, "mobilenet").splitlines()
    assert lines[0].startswith("### ") and "- board: a Pi" in lines
    assert "| median ms | 640x480 | 8x8 |" in lines and "|---|---|---|" in lines
    assert "| jpeg | 10.00 | 1.00 |" in lines
    assert "| **frames per second** | 25.00 | 200.00 |" in lines
    assert "| mobilenet | 15.00 | 8.00 |" in lines and "| network / reference | 2.00 | 0.50 |" in lines
    without = render({}, [Timing((8, 8), {"lookup + invoke": 1.0}, 1.0, None)], None)
    assert "reference" not in without
    with pytest.raises(ValueError, match="nothing"):
        render({}, [], None)


def test_the_command_prints_the_block_and_nothing_private() -> None:
    command = [sys.executable, "-m", "edgecolor", "benchmark", "--rounds", "3"]
    private = {**os.environ, "HOME": "/home/someone-private", "USER": "someone-private", "LOGNAME": "someone-private"}
    done = subprocess.run([*command, "--report"], capture_output=True, text=True, check=False, cwd=ROOT, env=private)
    assert done.returncode == 0, done.stderr
    for wanted in ("- board: ", "- kernel: ", "- runtime: litert ", "- model: edgecolor (", "- threads: 1 ", "| lookup + invoke | ",
                   "| **frames per second** | ", "| mobilenet_v2_1.0_224_int8 | "):
        assert wanted in done.stdout
    host = socket.gethostname()
    assert "someone-private" not in done.stdout and str(ROOT) not in done.stdout
    assert host not in (done.stdout if len(host) > 8 else done.stdout.split())  # a short name may be part of any word
    both = subprocess.run([*command, "--report", "--json"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert both.returncode == 2 and "not allowed with" in both.stderr
