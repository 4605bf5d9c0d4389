"""What stands where on a machine that runs EdgeColor as a service, and how it gets there and away again.

/opt/edgecolor/VERSION is a virtual environment, /opt/edgecolor/current a link to the one in use. Settings and secrets in
/etc/edgecolor belong to the user: they are written when absent, and never changed or removed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgecolor.assets import PACKAGE
from edgecolor.errors import ConfigError, InstallationError

FOLDERS = (PACKAGE / "systemd", PACKAGE.parent / "systemd")
DEVICES = ("v4l2", "pi-camera", "coral-usb", "coral-pci")
UNIT, SOCKET = "edgecolor@.service", "edgecolor@.socket"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
# The sandbox hides these from the service (ProtectHome=, PrivateTmp=).
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - refused, not used


class Installation:
    """Changes files below ``root`` and asks systemd; ``say`` gets a line for each step, also for those that had nothing to do.

    root: other than / for an image that does not run; then units are enabled or disabled there, and nothing is started.
    dry_run: say what would be done, and do nothing. prefix: the virtual environment that is to serve.
    """

    def __init__(
        self, root: Path = Path("/"), dry_run: bool = False, say: Callable[[str], None] = print, prefix: Path = Path(sys.prefix)
    ) -> None:
        self._root, self._dry_run, self._say = root, dry_run, say
        self._prefix = prefix.resolve()  # it may be run by the link that is to lead to it
        self._units = root / "etc/systemd/system"
        self._settings = root / "etc/edgecolor"
        self._current = root / "opt/edgecolor/current"
        self._running = root == Path("/")

    def install(self, name: str = "", devices: Sequence[str] = ()) -> None:
        """Make this environment the one in use and, with a name, set up an instance. Running instances are restarted.

        Raises ConfigError for a wrong name, InstallationError for an environment that the service could not see.
        """
        check_name(name)
        self._check_environment()
        fresh = bool(name) and not (self._settings / f"{name}.toml").exists()
        inside = self._prefix.is_relative_to(self._root)
        self._link(self._current, Path("/") / self._prefix.relative_to(self._root) if inside else self._prefix)
        for unit in (UNIT, SOCKET):
            self._write(self._units / unit, source_file(unit))
        if name:
            self._folder(self._settings, 0o755)
            self._folder(self._settings / f"{name}.secrets", 0o700)
            if fresh:
                self._write(self._settings / f"{name}.toml", _example(), 0o644)
            else:
                self._say(f"kept {self._settings / f'{name}.toml'}")
            for device in devices:
                self._write(self._units / f"edgecolor@{name}.service.d" / f"{device}.conf", source_file(f"devices/{device}.conf"))
        if self._running:
            self._systemctl("daemon-reload")
        if name:
            self._systemctl("enable", f"edgecolor@{name}.service")
        if self._running:
            self._systemctl("try-restart", "edgecolor@*.service")
            if name and not fresh:
                self._systemctl("start", f"edgecolor@{name}.service")
        if fresh:
            self._say(f"now write {self._settings / f'{name}.toml'}, then: systemctl start edgecolor@{name}")

    def uninstall(self, name: str = "") -> None:
        """Stop and disable an instance, or all of them and the service itself. Settings, secrets and environments stay."""
        check_name(name)
        if not (self._units / UNIT).exists():
            self._say(f"{self._units / UNIT} is not there: no service is installed")
            return
        for one in [name] if name else self.instances():
            unit, socket = f"edgecolor@{one}.service", f"edgecolor@{one}.socket"
            if self._running:
                self._systemctl("stop", socket, unit)
                self._remove_state(one)
                self._systemctl("reset-failed", unit, may_fail=True)  # it fails when there is nothing to forget
            self._systemctl("disable", socket, unit)
            folder = self._units / f"{unit}.d"
            for device in DEVICES:
                self._remove(folder / f"{device}.conf")
            self._remove_empty(folder)
        if not name:
            self._remove(self._units / UNIT)
            self._remove(self._units / SOCKET)
            self._remove(self._current)
            for state in ("var/lib/private/edgecolor", "var/lib/edgecolor"):
                self._remove_empty(self._root / state)
        if self._running:
            self._systemctl("daemon-reload")
        self._say(f"kept {self._settings}" + ("" if name else f" and the environments in {self._current.parent}"))

    def instances(self) -> list[str]:
        """Names of the instances that start with the machine, or have settings."""
        enabled = (path.name for path in (self._units / "multi-user.target.wants").glob("edgecolor@?*.service"))
        known = {name.removeprefix("edgecolor@").removesuffix(".service") for name in enabled}
        return sorted(known | {path.stem for path in self._settings.glob("*.toml") if _NAME.fullmatch(path.stem)})

    def version(self) -> str | None:
        """The environment in use; None when there is none."""
        return str(self._current.readlink()) if self._current.is_symlink() else None

    def _check_environment(self) -> None:
        example = f"python3 -m venv /opt/edgecolor/VERSION, and edgecolor installed into it (instead of {self._prefix})"
        if not (self._prefix / "pyvenv.cfg").exists():
            raise InstallationError(f"the service needs a virtual environment of its own: {example}")
        python = self._prefix / "bin" / "python"
        for path in (self._prefix, PACKAGE, python):  # of python what it links to, which pyenv and uv keep in somebody's home
            if self._running and any(path.resolve().is_relative_to(hidden) for hidden in _HIDDEN):
                links = "" if path.resolve() == path else f", which is {path.resolve()},"
                raise InstallationError(f"{path}{links} is out of the service's sight; it needs {example}")
            if self._running and not _is_open_to_all(path.resolve()):
                raise InstallationError(f"{path} can not be read by others than its owner, as whom the service does not run: chmod it, "
                                        "and what is in it, to a+rX")

    def _write(self, path: Path, text: str, mode: int = 0o644) -> None:
        if path.is_file() and path.read_text() == text:
            self._say(f"unchanged {path}")
            return
        self._say(f"write {path}")
        if not self._dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            made = path.with_name(f".{path.name}.new")
            made.write_text(text)
            made.chmod(mode)
            made.replace(path)

    def _link(self, path: Path, target: Path) -> None:
        if path.is_symlink() and path.readlink() == target:
            self._say(f"unchanged {path} -> {target}")
            return
        self._say(f"link {path} -> {target}" + (f" (was {path.readlink()})" if path.is_symlink() else ""))
        if not self._dry_run:
            path.parent.mkdir(parents=True, exist_ok=True)
            made = path.with_name(f".{path.name}.new")
            made.unlink(missing_ok=True)
            made.symlink_to(target)
            made.replace(path)

    def _folder(self, path: Path, mode: int) -> None:
        if path.is_dir():
            return
        self._say(f"make {path}")
        if not self._dry_run:
            path.mkdir(parents=True)
            path.chmod(mode)

    def _remove(self, path: Path) -> None:
        if path.is_symlink() or path.exists():
            self._say(f"remove {path}")
            if not self._dry_run:
                path.unlink()

    def _remove_state(self, name: str) -> None:
        """What StateDirectory= made for a dynamic user: a folder and a link to it (systemctl clean would want D-Bus)."""
        self._remove(self._root / "var/lib/edgecolor" / name)
        folder = self._root / "var/lib/private/edgecolor" / name
        if folder.is_dir():
            self._say(f"remove {folder}")
            if not self._dry_run:
                shutil.rmtree(folder)

    def _remove_empty(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            self._say(f"remove {path}")
            if not self._dry_run:
                path.rmdir()

    def _systemctl(self, *arguments: str, may_fail: bool = False) -> None:
        command = ["systemctl", *([] if self._running else [f"--root={self._root}"]), *arguments]
        self._say(f"run {' '.join(command)}")
        if self._dry_run:
            return
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise InstallationError(f"systemctl can not be run: {error.strerror}; this is for machines with systemd") from error
        if done.returncode and not may_fail:
            raise InstallationError(f"{' '.join(command)} failed: {done.stderr.strip() or done.returncode}")


def _is_open_to_all(path: Path) -> bool:
    """Whether a user who has no part in it can enter all folders on the way to a folder or program, and read or run it."""
    return path.stat().st_mode & 0o005 == 0o005 and all(folder.stat().st_mode & 0o001 for folder in path.parents)


def check_name(name: str) -> None:
    """Raise ConfigError unless it may be an instance's name, or is empty."""
    if name and not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} can not name an instance: letters, digits, - and _ only, 64 at most")


def source_file(name: str) -> str:
    """A unit file as it ships. Raises InstallationError when the package is incomplete."""
    for folder in FOLDERS:
        if (folder / name).is_file():
            return (folder / name).read_text()
    raise InstallationError(f"{name} is missing in {FOLDERS[0]}; install edgecolor again")


def _example() -> str:
    from edgecolor import serveconfig

    return serveconfig.example()
