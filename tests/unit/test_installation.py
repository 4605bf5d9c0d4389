"""Installing below another root: what is written, that it may be repeated, and that nothing of the user's is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgecolor.cli import main
from edgecolor.errors import ConfigError, InstallationError
from edgecolor.installation import DEVICES, SOCKET, UNIT, Installation, source_file
from tests.conftest import need


class Machine:
    """A root folder with a virtual environment for each version."""

    def __init__(self, root: Path) -> None:
        need("systemctl", "systemd")
        self.root, self.said = root, [""]
        (root / "etc").mkdir(parents=True)

    def version(self, name: str, dry_run: bool = False) -> Installation:
        prefix = self.root / "opt/edgecolor" / name
        prefix.mkdir(parents=True, exist_ok=True)
        (prefix / "pyvenv.cfg").touch()
        self.said = []
        return Installation(self.root, dry_run, self.said.append, prefix)

    def files(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_symlink():
                found[str(path.relative_to(self.root))] = f"-> {path.readlink()}"
            elif path.is_file():
                found[str(path.relative_to(self.root))] = path.read_text()
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


def test_an_instance_gets_unit_settings_secrets_and_devices_and_starts_with_the_machine(machine: Machine) -> None:
    machine.version("1.0").install("front", ["v4l2"])
    units = machine.root / "etc/systemd/system"
    for unit in (UNIT, SOCKET):
        assert (units / unit).read_text() == source_file(unit)
    assert (units / "edgecolor@front.service.d/v4l2.conf").read_text() == source_file("devices/v4l2.conf")
    assert (units / "multi-user.target.wants/edgecolor@front.service").is_symlink()
    assert (machine.root / "opt/edgecolor/current").readlink() == Path("/opt/edgecolor/1.0")
    settings = machine.root / "etc/edgecolor/front.toml"
    assert tomllib.loads(settings.read_text())["source"]["address"] == "demo" and settings.stat().st_mode & 0o777 == 0o644
    assert (machine.root / "etc/edgecolor/front.secrets").stat().st_mode & 0o777 == 0o700
    assert machine.said[-1] == f"now write {settings}, then: systemctl start edgecolor@front"


def test_to_repeat_it_changes_nothing_and_settings_are_the_users(machine: Machine) -> None:
    machine.version("1.0").install("front", ["v4l2"])
    (machine.root / "etc/edgecolor/front.toml").write_text("mine = true\n")
    before = machine.files()
    machine.version("1.0").install("front", ["v4l2"])
    assert machine.files() == before
    assert not [line for line in machine.said if line.startswith(("write", "make", "link", "remove"))]


def test_upgrade_and_roll_back_are_the_link_and_the_unit(machine: Machine) -> None:
    machine.version("1.0").install("front")
    (machine.root / "etc/systemd/system" / UNIT).write_text("of another version\n")
    machine.version("1.1").install()
    current = machine.root / "opt/edgecolor/current"
    assert current.readlink() == Path("/opt/edgecolor/1.1")
    assert (machine.root / "etc/systemd/system" / UNIT).read_text() == source_file(UNIT)
    again = machine.version("1.0")
    again.install()
    assert current.readlink() == Path("/opt/edgecolor/1.0") and again.version() == "/opt/edgecolor/1.0"
    assert f"link {current} -> /opt/edgecolor/1.0 (was /opt/edgecolor/1.1)" in machine.said


def test_the_link_never_leads_to_itself(machine: Machine) -> None:
    machine.version("1.0")
    used = machine.root / "opt/edgecolor/used"  # as the link does when it is called by it
    used.symlink_to("1.0")
    Installation(machine.root, say=machine.said.append, prefix=used).install()
    assert (machine.root / "opt/edgecolor/current").readlink() == Path("/opt/edgecolor/1.0")


def test_uninstall_takes_all_of_ours_and_leaves_the_users(machine: Machine) -> None:
    machine.version("1.0").install("front", ["v4l2", "coral-usb"])
    machine.version("1.0").install("yard")
    (machine.root / "etc/edgecolor/yard.toml").write_text("mine = true\n")
    (machine.root / "etc/systemd/system/edgecolor@front.service.d/mine.conf").write_text("[Service]\n")
    machine.version("1.0").uninstall("front")
    assert machine.version("1.0").instances() == ["front", "yard"]  # the former has its settings still
    assert "etc/systemd/system/edgecolor@front.service.d/mine.conf" in machine.files()
    assert "etc/systemd/system/multi-user.target.wants/edgecolor@yard.service" in machine.files()
    machine.version("1.0").uninstall()
    assert set(machine.files()) == {
        "etc/edgecolor/front.toml", "etc/edgecolor/yard.toml", "opt/edgecolor/1.0/pyvenv.cfg",
        "etc/systemd/system/edgecolor@front.service.d/mine.conf",
    }  # fmt: skip
    before = machine.files()
    machine.version("1.0").uninstall()
    assert machine.files() == before and "no service is installed" in machine.said[-1]


def test_a_dry_run_says_the_same_and_does_nothing(machine: Machine) -> None:
    machine.version("1.0", dry_run=True).install("front", ["v4l2"])
    dry = machine.said
    assert set(machine.files()) == {"opt/edgecolor/1.0/pyvenv.cfg"}
    machine.version("1.0").install("front", ["v4l2"])
    assert machine.said == dry
    before = machine.files()
    machine.version("1.0", dry_run=True).uninstall()
    assert machine.files() == before and any(line.startswith("remove") for line in machine.said)


@pytest.mark.parametrize("name", ["../x", "a b", "-front", "a/b", "x" * 65, "fr@nt", "."])
def test_a_name_that_is_none_is_refused(machine: Machine, name: str) -> None:
    for action in (machine.version("1.0").install, machine.version("1.0").uninstall):
        with pytest.raises(ConfigError, match="can not name an instance"):
            action(name)


def test_an_environment_that_the_service_could_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecolor.installation._HIDDEN", (str(tmp_path.resolve()),))
    with pytest.raises(InstallationError, match="virtual environment of its own"):
        Installation(dry_run=True, prefix=tmp_path).install()
    (tmp_path / "pyvenv.cfg").touch()
    with pytest.raises(InstallationError, match="out of the service's sight"):
        Installation(dry_run=True, prefix=tmp_path).install()


def test_an_interpreter_in_somebodys_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pyenv and uv keep them: the environment's own python is a link there."""
    home, prefix = tmp_path.resolve() / "home", tmp_path.resolve() / "opt"
    for folder in (home, prefix / "bin"):
        folder.mkdir(parents=True)
    (prefix / "pyvenv.cfg").touch()
    (home / "python3.11").touch()
    (prefix / "bin" / "python").symlink_to(home / "python3.11")
    monkeypatch.setattr("edgecolor.installation._HIDDEN", (str(home),))
    monkeypatch.setattr("edgecolor.installation._is_open_to_all", lambda _: True)
    with pytest.raises(InstallationError, match=r"bin/python, which is .*home/python3\.11, is out of the service's sight"):
        Installation(dry_run=True, prefix=prefix).install()


def test_an_environment_that_its_owner_alone_can_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecolor.installation._HIDDEN", ())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").touch()
    tmp_path.chmod(0o700)
    with pytest.raises(InstallationError, match=r"can not be read by others than its owner.*chmod"):
        Installation(dry_run=True, prefix=tmp_path).install()


def test_the_command_wants_root_or_a_dry_run(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    root = ["--root", str(machine.root)]
    assert main(["service", "install", "front", *root]) == 1
    assert "run it as root" in capsys.readouterr().err and not (machine.root / "opt").exists()
    assert main(["service", "install", "front", "--dry-run", *root]) == 0
    assert capsys.readouterr().out.startswith("dry run; nothing is changed:\nlink ")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert main(["service", "install", "--device", "v4l2", *root]) == 1
    assert "give its NAME" in capsys.readouterr().err
    assert main(["service", "install", "fr@nt", *root]) == 2
    assert main(["service", "install", "front", *root]) == 0
    assert (machine.root / "opt/edgecolor/current").readlink() == Path(sys.prefix).resolve()
    assert main(["service", "uninstall", "front", *root]) == 0


# The unit files themselves


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = need("systemd-analyze", "systemd")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The unit as an instance of a program that is here: verify wants it to exist."""
    unit = source_file(UNIT)
    program = "/opt/edgecolor/current/bin/edgecolor"
    assert unit.count(program) == 1
    (tmp_path / "edgecolor@front.service").write_text(unit.replace(program, sys.executable))
    return tmp_path / "edgecolor@front.service"


@pytest.mark.parametrize("devices", [(), *((device,) for device in DEVICES), DEVICES])
def test_the_unit_is_understood_and_hardened(units: Path, devices: tuple[str, ...]) -> None:
    folder = units.with_name(f"{units.name}.d")
    folder.mkdir()
    for device in devices:
        (folder / f"{device}.conf").write_text(source_file(f"devices/{device}.conf"))
    done = analyze("verify", units)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    # The offline judgement reads one file only: all that is said in several is put into it.
    units.write_text("\n".join([units.read_text(), *(path.read_text() for path in folder.iterdir())]))
    done = analyze("security", "--offline=yes", "--threshold=15", "--no-pager", units)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_socket_is_understood(units: Path) -> None:
    path = units.with_name("edgecolor@front.socket")
    path.write_text(source_file(SOCKET))
    done = analyze("verify", path, units)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_a_viewer_who_waits_does_not_start_wrong_settings_without_end() -> None:
    unit, opened = source_file(UNIT).splitlines(), source_file(SOCKET).splitlines()
    # The service is not tried again for wrong settings, but nothing limits how often a socket starts it, and one that still has a
    # connection waiting does so at once (seen with systemd 252: 21 tries in 20 s; with this setting one for each connection).
    assert "RestartPreventExitStatus=2" in unit and "StartLimitIntervalSec=0" in unit
    assert "FlushPending=yes" in opened


def test_verify_does_notice_an_unknown_key(units: Path) -> None:
    units.write_text(units.read_text().replace("WatchdogSec=", "WatchdogSeconds="))
    assert "WatchdogSeconds" in analyze("verify", units).stderr
