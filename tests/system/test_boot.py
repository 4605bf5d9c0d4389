"""The service in a Debian 13 and a Debian 12 that really boot, on an emulated processor with the memory of a small board.

tests/system/boot/inside.py plays the user and bad luck in there; what it found is judged here. Some five minutes, of which one
is for making the tree, the first time. Needs mmdebstrap, e2fsprogs and qemu-system-x86, and root.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

from edgecolor.sources.demo import open_demo
from tests.arm64 import build_wheel
from tests.debian import BOOKWORM, TRIXIE, Release
from tests.vm import Wheel, boot, disk, tree

pytestmark = pytest.mark.system

INSIDE = Path(__file__).parent / "boot"
MEMORY_MB = 512
MOST_MB = 250  # of the service's resident memory: a Zero 2 W has 512 for all
LONGEST_S = float(os.environ.get("LONGEST_S", "900"))  # of one machine, on a busy host
# Shorter times than the shipped unit's, so that the test ends in its own, and a longer one to start in for an emulated
# processor: the rest of the unit is as shipped.
QUICKER = "[Service]\nWatchdogSec=15\nRestartSec=1\nTimeoutStartSec=300\n"
CHECK = """[Unit]
After=basic.target
[Service]
Type=exec
StandardOutput=journal+console
StandardError=journal+console
ExecStart=/usr/bin/python3 /check/inside.py /{prefix} /check /dev/vport0p1 {extent}
"""
# What costs boot time and is not looked at here.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "getty@tty1.service",
          "serial-getty@ttyS0.service", "systemd-binfmt.service", "modprobe@drm.service",
          "systemd-pcrlock-make-policy.service")  # fmt: skip


Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return Wheel.read(build_wheel(tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def trixie(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Found:
    return _boot(TRIXIE, wheel, tmp_path_factory.mktemp("trixie"), "whole")


@pytest.fixture(scope="module")
def bookworm(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Only that which systemd, the kernel and Python of another release may make different."""
    return _boot(BOOKWORM, wheel, tmp_path_factory.mktemp("bookworm"), "short")


@pytest.fixture(params=["trixie", "bookworm"])
def found(request: pytest.FixtureRequest) -> Found:
    either: Found = request.getfixturevalue(request.param)
    return either


def _boot(release: Release, wheel: Wheel, folder: Path, extent: str) -> Found:
    root = tree(wheel, release)
    files: dict[str, Path | str] = {
        **{f"check/{path.name}": path for path in INSIDE.glob("*.py")},
        "etc/systemd/system/check.service": CHECK.format(prefix=wheel.prefix, extent=extent),
        "etc/systemd/system/multi-user.target.wants/check.service": "-> /etc/systemd/system/check.service",
        "etc/systemd/system/edgecolor@.service.d/quicker.conf": QUICKER,
        **{f"etc/systemd/system/{unit}": "-> /dev/null" for unit in MASKED},
        **{f"check/stills/{path.name}": path for path in gray_stills(folder)},
    }
    image, findings, console = folder / "disk", folder / "findings", folder / "console"
    disk(root, files, image)
    try:
        boot(root, image, findings, console, MEMORY_MB, LONGEST_S)
    except TimeoutError as error:
        pytest.fail(f"{error}; {findings.read_text()[-2000:]}; {console.read_text(errors='replace')[-2000:]}")
    finally:
        image.unlink()
    steps = [json.loads(line) for line in findings.read_text().splitlines()]
    for step in steps:
        print({key: value for key, value in step.items() if key != "jpeg"})
    assert steps, console.read_text(errors="replace")[-3000:]
    assert steps[-1]["step"] == "done", "\n".join(str(value) for value in steps[-1].values())
    return {step["step"]: step for step in steps}


def gray_stills(folder: Path) -> list[Path]:
    paths = []
    frames = open_demo().frames(Event())
    for number in range(8):
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), cv2.resize(next(frames).y, (320, 180), interpolation=cv2.INTER_AREA))
        paths.append(path)
    frames.close()
    return paths


def test_it_is_the_release_that_was_meant(trixie: Found, bookworm: Found) -> None:
    assert trixie["booted"]["systemd"].startswith("systemd 257 ") and trixie["booted"]["python"].startswith("3.13.")
    assert bookworm["booted"]["systemd"].startswith("systemd 252 ") and bookworm["booted"]["python"].startswith("3.11.")


def test_its_systemd_understands_the_units(found: Found) -> None:
    assert found["verify"]["unit"] == found["verify"]["socket"] == [0, ""]


def test_it_is_installed_becomes_ready_and_serves_colour_to_those_who_may_see_it(found: Found) -> None:
    install, start, colour = found["install"], found["start"], found["colour"]
    assert install["code"] == install["again"] == 0, install
    assert "write /etc/edgecolor/front.toml" in install["text"] and "write" not in install["repeated"]
    assert start["code"] == 0 and start["ActiveState"] == "active", start["text"]
    jpeg = np.frombuffer(base64.b64decode(colour["jpeg"]), np.uint8)
    picture = cv2.cvtColor(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2YCrCb).astype(int)
    assert np.abs(picture[..., 1:] - 128).mean() > 2, "the picture is gray"
    assert colour["status"].startswith("live: ") and "1 viewer" in colour["status"] and colour["parts"] > 0
    assert colour["stranger"] == 401  # the token came from the credential


def test_nobody_owns_it(found: Found) -> None:
    assert 61184 <= found["user"]["uid"] <= 65519  # systemd's range for dynamic users
    assert found["user"]["state"] == "0o700"


def test_the_watchdog_ends_a_frozen_process(found: Found) -> None:
    assert found["freeze"]["NRestarts"] == "1"


def test_the_watchdog_ends_a_pipeline_that_hangs_while_the_server_answers(trixie: Found) -> None:
    assert trixie["hang begins"]["healthz"] in (200, 503)
    assert trixie["hang begins"]["StatusText"].startswith("the output has sent nothing for ")
    assert trixie["hang"]["NRestarts"] == "3" and trixie["hang journal"]["watchdog"] == 2
    assert trixie["hang journal"]["traceback"] and trixie["hang journal"]["threads"] >= 3


def test_it_survives_a_kill(trixie: Found) -> None:
    assert trixie["kill"]["NRestarts"] == "2"


def test_bad_settings_are_refused_and_good_ones_keep_the_viewers(found: Found) -> None:
    bad, good = found["bad reload"], found["reload"]
    assert "front.toml:" in bad["status"] and "chroma_rat" in bad["status"] and bad["name"] == "demo" and bad["logged"]
    assert good["code"] == 0 and good["same_process"] and not good["viewer_ended"] and "refused" not in good["StatusText"]


def test_a_lost_camera_is_no_hang(trixie: Found) -> None:
    loss, regain = trixie["loss"], trixie["regain"]
    assert loss["same_process"] and not loss["viewer_ended"] and loss["status"].startswith("lost: ")
    assert regain["same_process"] and not regain["viewer_ended"]
    assert trixie["memory"]["NRestarts"] == 3  # one for each of freeze, hang and kill


def test_a_clock_that_jumps_disturbs_nobody(trixie: Found) -> None:
    clock = trixie["clock"]
    assert clock["same_process"] and not clock["viewer_ended"] and [one["year"] for one in clock["jumps"]] == [2040, 1990]
    for one in clock["jumps"]:
        assert one["state"] == "live" and one["health"] == 200 and not one["lost"]
        assert one["parts"] > 20 and one["frames"] > 20  # of 4 a second, in 20 s
        assert one["since"][:4] in (str(one["year"]), str(one["year"] - 1))  # as the clock now has it


def test_nothing_is_written_while_it_streams(trixie: Found) -> None:
    wear = trixie["wear"]
    assert wear["control"] >= 100_000, "the kernel does not count what is written"
    assert wear["frames"] > 20 and wear["bytes"] == 0 and wear["lines"] == 0


def test_a_full_disk_and_one_that_can_not_be_written_stop_neither_the_stream_nor_a_new_start(found: Found) -> None:
    full, locked = found["full"], found["locked"]
    assert full["error"] == "No space left on device" and full["blocks"] == 0 and full["colour"]
    assert locked["code"] == 0 and locked["refused"] == "Read-only file system" and locked["colour"], locked["text"]


def test_it_stops_at_once_and_leaves_nothing(found: Found) -> None:
    memory, stop, gone = found["memory"], found["stop"], found["uninstall"]
    # MemoryPeak= is younger than systemd 252.
    print(f"{memory['rss_mb']} MB resident, {memory.get('MemoryPeak', 0) // 2**20 or '?'} MB at most with the cache, "
          f"{memory['NRestarts']} restarts, stopped in {stop['seconds']} s")  # fmt: skip
    assert memory["rss_mb"] < MOST_MB
    assert stop["seconds"] < 2 and stop["Result"] == "success" and stop["ExecMainStatus"] == "0"
    assert gone["code"] == gone["again"] == 0, gone
    assert not gone["running"] and not gone["secrets"]
    kept = {"/etc/edgecolor", "/etc/edgecolor/front.toml", "/etc/edgecolor/front.secrets", "/etc/edgecolor/front.secrets/token"}
    assert set(gone["files"]) == kept
