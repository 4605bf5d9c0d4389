"""``edgecolor service``: install, uninstall and show the systemd service."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import Any

from edgecolor.errors import InstallationError
from edgecolor.installation import DEVICES, Installation

_SHOWN = ("ActiveState", "SubState", "UnitFileState", "StatusText", "NRestarts", "MemoryCurrent", "Result")


def add_parser(subparsers: Any) -> None:
    """Add this command's options."""
    parser = subparsers.add_parser("service", help="install, uninstall and show the systemd service")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    install = actions.add_parser(
        "install", help="run from this environment; with NAME set up an instance with settings in /etc/edgecolor/NAME.toml",
        description="Without NAME: make this environment the one in use and restart what runs; that is an upgrade, or a roll-back.",
    )
    install.add_argument("--device", action="append", default=[], choices=DEVICES, help="that the instance may use; may be repeated")
    uninstall = actions.add_parser("uninstall", help="stop and remove an instance, or all and the service; settings stay")
    for action in (install, uninstall):
        action.add_argument("name", nargs="?", default="", metavar="NAME")
        action.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        action.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="of an image that does not run")
    actions.add_parser("status", help="every instance: state, restarts, memory")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; 0, or 1 from ``status`` when an instance does not run. Raises EdgeColorError."""
    if arguments.action == "status":
        return _show(Installation())
    if not arguments.dry_run and os.geteuid() != 0:
        raise InstallationError(f"service {arguments.action} changes the system: run it as root (sudo), or look first with --dry-run")
    installation = Installation(arguments.root.resolve(), arguments.dry_run)
    if arguments.dry_run:
        print("dry run; nothing is changed:")
    try:
        if arguments.action == "install":
            if arguments.device and not arguments.name:
                raise InstallationError("--device belongs to an instance: give its NAME")
            installation.install(arguments.name, arguments.device)
        else:
            installation.uninstall(arguments.name)
    except OSError as error:
        if isinstance(error, InstallationError):
            raise
        raise InstallationError(f"{error.filename}: {error.strerror}") from error
    return 0


def _show(installation: Installation) -> int:
    print(f"in use: {installation.version() or 'nothing is installed'}")
    code = 0
    for name in installation.instances():
        unit = f"edgecolor@{name}.service"
        command = ["systemctl", "show", f"--property={','.join(_SHOWN)}", unit]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise InstallationError(f"systemd does not answer: {error}") from error
        told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        memory = told.get("MemoryCurrent", "")
        print(
            f"{name}: {told.get('ActiveState')} ({told.get('SubState')}), {told.get('UnitFileState') or 'not enabled'}, "
            f"{told.get('NRestarts')} restarts" + (f", {int(memory) / 2**20:.0f} MB" if memory.isdigit() else "")
        )
        if told.get("StatusText"):
            print(f"  {told['StatusText']}")
        if told.get("ActiveState") != "active":
            code = 1
            print(f"  result: {told.get('Result')}; journalctl -u {unit} tells more")
    return code
