"""The service in a Debian 13 that really boots, on an emulated processor with the memory of a small board.

tests/system/boot/inside.py plays the user and bad luck in there; what it found is judged here. Some five minutes, of which one
is for making the tree, the first time. Needs mmdebstrap, e2fsprogs and qemu-system-x86, and root.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

from edgecolor.sources.demo import open_demo
from tests.arm64 import build_wheel
from tests.vm import Wheel, boot, disk, tree

pytestmark = pytest.mark.system

INSIDE = Path(__file__).parent / "boot"
MEMORY_MB = 512
MOST_MB = 250  # of the service's resident memory: a Zero 2 W has 512 for all
# Shorter times than the shipped unit's, so that the test ends in its own: the rest of the unit is as shipped.
QUICKER = "[Service]\nWatchdogSec=15\nRestartSec=1\n"
CHECK = """[Unit]
After=basic.target
[Service]
Type=exec
StandardOutput=journal+console
StandardError=journal+console
ExecStart=/usr/bin/python3 /check/inside.py /{prefix} /check /dev/vport0p1
"""
# What costs boot time and is not looked at here.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "getty@tty1.service",
          "serial-getty@ttyS0.service", "systemd-binfmt.service", "modprobe@drm.service",
          "systemd-pcrlock-make-policy.service")  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("boot")
    wheel = Wheel.read(build_wheel(folder / "wheel"))
    root = tree(wheel)
    files: dict[str, Path | str] = {
        "check/inside.py": INSIDE / "inside.py",
        "check/camera.py": INSIDE / "camera.py",
        "etc/systemd/system/check.service": CHECK.format(prefix=wheel.prefix),
        "etc/systemd/system/multi-user.target.wants/check.service": "-> /etc/systemd/system/check.service",
        "etc/systemd/system/edgecolor@.service.d/quicker.conf": QUICKER,
        **{f"etc/systemd/system/{unit}": "-> /dev/null" for unit in MASKED},
        **{f"check/stills/{path.name}": path for path in gray_stills(folder)},
    }
    image, findings, console = folder / "disk", folder / "findings", folder / "console"
    disk(root, files, image)
    try:
        boot(root, image, findings, console, MEMORY_MB, 420)
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


def test_it_is_installed_becomes_ready_and_serves_colour_to_those_who_may_see_it(found: dict[str, dict[str, Any]]) -> None:
    install, start, colour = found["install"], found["start"], found["colour"]
    assert install["code"] == install["again"] == 0, install
    assert "write /etc/edgecolor/front.toml" in install["text"] and "write" not in install["repeated"]
    assert start["code"] == 0 and start["ActiveState"] == "active", start["text"]
    jpeg = np.frombuffer(base64.b64decode(colour["jpeg"]), np.uint8)
    picture = cv2.cvtColor(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2YCrCb).astype(int)
    assert np.abs(picture[..., 1:] - 128).mean() > 2, "the picture is gray"
    assert colour["status"].startswith("live: ") and "1 viewer" in colour["status"] and colour["parts"] > 0
    assert colour["stranger"] == 401  # the token came from the credential


def test_nobody_owns_it(found: dict[str, dict[str, Any]]) -> None:
    assert 61184 <= found["user"]["uid"] <= 65519  # systemd's range for dynamic users
    assert found["user"]["state"] == "0o700"


def test_the_watchdog_ends_a_frozen_process(found: dict[str, dict[str, Any]]) -> None:
    assert found["freeze"]["NRestarts"] == "1"


def test_the_watchdog_ends_a_pipeline_that_hangs_while_the_server_answers(found: dict[str, dict[str, Any]]) -> None:
    assert found["hang begins"]["healthz"] in (200, 503)
    assert found["hang begins"]["StatusText"].startswith("the output has sent nothing for ")
    assert found["hang"]["NRestarts"] == "3" and found["hang journal"]["watchdog"] == 2
    assert found["hang journal"]["traceback"] and found["hang journal"]["threads"] >= 3


def test_it_survives_a_kill(found: dict[str, dict[str, Any]]) -> None:
    assert found["kill"]["NRestarts"] == "2"


def test_bad_settings_are_refused_and_good_ones_keep_the_viewers(found: dict[str, dict[str, Any]]) -> None:
    bad, good = found["bad reload"], found["reload"]
    assert "front.toml:" in bad["status"] and "chroma_rat" in bad["status"] and bad["name"] == "demo" and bad["logged"]
    assert good["code"] == 0 and good["same_process"] and not good["viewer_ended"] and "refused" not in good["StatusText"]


def test_a_lost_camera_is_no_hang(found: dict[str, dict[str, Any]]) -> None:
    loss, regain = found["loss"], found["regain"]
    assert loss["same_process"] and not loss["viewer_ended"] and loss["status"].startswith("lost: ")
    assert regain["same_process"] and not regain["viewer_ended"]
    assert found["memory"]["NRestarts"] == 3  # one for each of freeze, hang and kill


def test_it_stops_at_once_and_leaves_nothing(found: dict[str, dict[str, Any]]) -> None:
    memory, stop, gone = found["memory"], found["stop"], found["uninstall"]
    print(f"{memory['rss_mb']} MB resident, {memory['MemoryPeak'] // 2**20} MB at most with the cache, {memory['NRestarts']} restarts, "
          f"stopped in {stop['seconds']} s")  # fmt: skip
    assert memory["rss_mb"] < MOST_MB
    assert stop["seconds"] < 2 and stop["Result"] == "success" and stop["ExecMainStatus"] == "0"
    assert gone["code"] == gone["again"] == 0, gone
    assert not gone["running"] and not gone["secrets"]
    kept = {"/etc/edgecolor", "/etc/edgecolor/front.toml", "/etc/edgecolor/front.secrets", "/etc/edgecolor/front.secrets/token"}
    assert set(gone["files"]) == kept
