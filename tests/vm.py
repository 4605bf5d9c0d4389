"""A Debian that boots: its tree with our wheel in a virtual environment, a disk made of it, and QEMU, which emulates a processor.

Trees are kept in .vm/ of the checkout, under the hash of what they were made from; remove the folder to make them anew.
Making one needs root: packages are configured in it, and pip runs in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, need
from tests.debian import TRIXIE, Release, key, run

CACHE = ROOT / ".vm"
_INCLUDED = "systemd-sysv,udev,linux-image-cloud-amd64,python3,python3-venv"
_LEFT_OUT = ("doc", "man", "locale", "info")
# NVMe and ext4 are built into Debian's cloud kernel: it boots without an initial RAM disk, which spares half a minute.
# Nehalem has no AVX: what runs there runs on every x86-64 board.
_MACHINE = ("-accel", "tcg", "-cpu", "Nehalem", "-smp", "1", "-nographic", "-no-reboot", "-nic", "none")
_DISK_MB = 1400


@dataclass(frozen=True)
class Wheel:
    """A wheel of ours: its file, version and requirements."""

    path: Path
    version: str
    needs: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Wheel:
        with zipfile.ZipFile(path) as archive:
            metadata = archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))).decode()
        lines = metadata.splitlines()
        version = next(line.removeprefix("Version: ") for line in lines if line.startswith("Version: "))
        return cls(path, version, tuple(line for line in lines if line.startswith("Requires-Dist:")))

    @property
    def prefix(self) -> str:
        """Its virtual environment in the tree, without the leading slash."""
        return f"opt/edgecolor/{self.version}"


def tree(
    wheel: Wheel, release: Release = TRIXIE, *, name: str = "", included: str = _INCLUDED, more: Mapping[str, Sequence[str]] | None = None
) -> Path:
    """The root of a Debian with the wheel installed in /opt/edgecolor/VERSION, as a user would do it (some 650 MB).

    name: of the tree in the cache, else the release's. included: its packages. more: options of pip -> further wheels that it puts
    there with them; then the environment sees the system's packages.
    """
    name, more = name or release.suite, more or {}
    mmdebstrap = need("mmdebstrap", "mmdebstrap")
    if os.geteuid() != 0:
        message = "a Debian that boots is made by root only"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    options = ["--mode=root", "--variant=minbase", f"--include={included}",
               *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in _LEFT_OUT)]  # fmt: skip
    parts = (*options, wheel.version, *wheel.needs, *(str((option, *wheels)) for option, wheels in more.items()))
    root = CACHE / f"{name}-{key(*parts)}"
    if not root.exists():
        for former in CACHE.glob(f"{name}-*"):
            shutil.rmtree(former)
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / "root"
            run("nice", "-n", "5", mmdebstrap, *options, release.suite, made)
            run("chroot", made, "/usr/bin/python3", "-m", "venv", *(["--system-site-packages"] if more else []), f"/{wheel.prefix}")
            _download(release, made / "wheels", str(wheel.path))
            _pip(made, wheel, "--find-links=/wheels", f"/wheels/{wheel.path.name}")
            for option, wheels in more.items():
                _download(release, made / "wheels", option, *wheels)
                _pip(made, wheel, "--find-links=/wheels", option, *wheels)
            shutil.rmtree(made / "wheels")
            made.rename(root)
    shutil.copy(wheel.path, root)
    _pip(root, wheel, "--no-deps", "--force-reinstall", f"/{wheel.path.name}")
    (root / wheel.path.name).unlink()
    return root


def _download(release: Release, folder: Path, *wanted: str) -> None:
    """Wheels and all that they need, as pip would take them on that release: from outside, where the network is."""
    run(sys.executable, "-m", "pip", "download", "--quiet", *release.pip_options("x86_64"), "--dest", folder, *wanted)


def _pip(root: Path, wheel: Wheel, *arguments: str) -> None:
    run("chroot", root, f"/{wheel.prefix}/bin/pip", "install", "--quiet", "--no-index", "--no-cache-dir", *arguments)


def disk(root: Path, files: Mapping[str, Path | str], image: Path) -> None:
    """An ext4 disk of a tree with further ``files``: paths in it -> files here, or their text; a text may be "-> TARGET", a link."""
    mke2fs = need("mke2fs", "e2fsprogs") if shutil.which("mke2fs") else need("/usr/sbin/mke2fs", "e2fsprogs")
    for place, content in files.items():
        path = root / place
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, path)
        elif content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)
    run("nice", "-n", "5", mke2fs, "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", root, image, f"{_DISK_MB}M")


def boot(root: Path, image: Path, findings: Path, console: Path, memory_mb: int, seconds: float) -> None:
    """Boot the disk, whose changes are thrown away, and wait until the machine powers itself off.

    What it writes to /dev/vport0p1 goes to ``findings``. Raises TimeoutError after ``seconds``.
    """
    kernel = next((root / "boot").glob("vmlinuz-*"))
    command = [
        "nice", "-n", "5", need("qemu-system-x86_64", "qemu-system-x86"), *_MACHINE, "-m", str(memory_mb), "-kernel", str(kernel),
        "-append", "root=/dev/nvme0n1 rw console=ttyS0 quiet systemd.show_status=0 systemd.log_level=warning",
        "-drive", f"file={image},if=none,id=disk,format=raw,snapshot=on", "-device", "nvme,serial=1,drive=disk",
        "-device", "virtio-serial-pci", "-chardev", f"file,id=findings,path={findings}", "-device", "virtserialport,chardev=findings",
    ]  # fmt: skip
    with console.open("wb") as output:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=seconds, check=True)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the machine did not end within {seconds:.0f} s") from None
