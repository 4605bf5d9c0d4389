"""``edgecolor config``: check a configuration file, show what is in effect, hash a password, print the commented example."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecolor.errors import ConfigError, CredentialsError, EdgeColorError

if TYPE_CHECKING:
    from edgecolor.serveconfig import Loaded, ServeConfig

UNIT_SECRETS = ("camera", "publish", "password_hash", "token", "tls_key")  # of NAME.secrets, what the unit has LoadCredential= for
_DIRECTORY = "CREDENTIALS_DIRECTORY"


def add_parser(subparsers: Any) -> None:
    """Add this command's options."""
    parser = subparsers.add_parser("config", help="check, show and write the configuration of serve")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="read a configuration file; exit code 2 and file, line and key when something is wrong")
    check.add_argument("file", type=Path, metavar="FILE")
    show = actions.add_parser("show", help="print the configuration in effect as TOML, passwords as ***")
    show.add_argument("file", type=Path, nargs="?", metavar="FILE")
    actions.add_parser("hash-password", help="read a password from the terminal or stdin, and print what http.password_hash takes")
    actions.add_parser("example", help="print a commented configuration with every key and its default")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; 0, or 2 for a configuration that is wrong."""
    from edgecolor import serveconfig

    match arguments.action:
        case "check":
            return _check(arguments.file)
        case "show":
            loaded = _load(arguments.file, os.environ)
            for warning in loaded.warnings:
                print(f"edgecolor config: {warning}", file=sys.stderr)
            print(serveconfig.as_toml(loaded), end="")
        case "hash-password":
            print(_hash())
        case "example":
            print(serveconfig.example(), end="")
    return 0


def _load(path: Path | None, environment: Mapping[str, str], then: Callable[[ServeConfig], None] | None = None) -> Loaded:
    """As the service would: only systemd knows $CREDENTIALS_DIRECTORY, and fills it from NAME.secrets beside NAME.toml.

    then: called while the secrets are where the service would find them.
    """
    from edgecolor import serveconfig

    secrets = path.with_suffix(".secrets") if path is not None and path.name else None
    try:
        with _handed_over(secrets):
            loaded = serveconfig.load(path, environment, {})
            if then is not None:
                then(loaded.config)
            return loaded
    except CredentialsError as error:
        if secrets is None or not secrets.is_dir() or os.access(secrets, os.X_OK):
            raise
        raise CredentialsError(f"{error}; secrets of the service lie in {secrets}, which root alone can read: try with sudo") from None


@contextlib.contextmanager
def _handed_over(secrets: Path | None) -> Iterator[None]:
    """While entered, those of the secrets that the unit names are where systemd would hand them over. Does nothing where it did."""
    if secrets is None or _DIRECTORY in os.environ or not os.access(secrets, os.X_OK):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="edgecolor-") as folder:
        for name in UNIT_SECRETS:
            (Path(folder) / name).symlink_to((secrets / name).absolute())
        os.environ[_DIRECTORY] = folder
        try:
            yield
        finally:
            del os.environ[_DIRECTORY]


def _check(path: Path) -> int:
    """The file alone, without environment and flags."""
    from edgecolor.serving import check_parts

    try:
        loaded = _load(path, {}, check_parts)
    except EdgeColorError as error:
        print(f"edgecolor config: {error}", file=sys.stderr)
        return 2
    print(f"{path}: good")
    if not loaded.config.source.address:
        print("edgecolor config: it names no source: serve must be given one, and a service could not start", file=sys.stderr)
    return 0


def _hash() -> str:
    from edgecolor.credentials import Secret
    from edgecolor.sinks.http import hash_password

    if sys.stdin is None:
        raise ConfigError("no standard input to read the password from")
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise ConfigError("the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise ConfigError("the password on standard input is not UTF-8, in which browsers send one") from None
    return hash_password(Secret(password))
