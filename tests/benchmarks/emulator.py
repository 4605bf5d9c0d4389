"""A QEMU that loads plugins, and our plugin: both built here, because Debian builds its QEMU without plugins.

Needs gcc, meson, ninja-build, pkg-config, xz-utils and libglib2.0-dev; some 2 minutes of one core. Kept in .arm64/.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from tests.arm64 import CACHE
from tests.conftest import need

# Debian 12's own source of QEMU 7.2, the release whose static build runs the tests.
_SOURCE = "https://deb.debian.org/debian/pool/main/q/qemu/qemu_7.2+dfsg.orig.tar.xz"
_SHA256 = "91aca71520040edc40b8d437aa3004dae614f58e286cf653ee8996c07af2962f"
_CONFIGURE = ("--target-list=aarch64-linux-user", "--enable-plugins", "--without-default-features", "--disable-system", "--disable-tools",
              "--disable-docs", "--disable-werror", "--disable-install-blobs")  # Debian's source has no firmware to install
_BUILT = CACHE / f"qemu-{_SHA256[:12]}"
_TOOLS = {"gcc": "gcc", "meson": "meson", "ninja": "ninja-build", "pkg-config": "pkg-config", "xz": "xz-utils"}


def emulator() -> Path:
    """Path of a qemu-aarch64 that loads plugins. Raises RuntimeError when its source is another than expected."""
    program = _BUILT / "qemu-aarch64"
    if not program.exists():
        for tool, package in _TOOLS.items():
            need(tool, package)
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            _build(Path(folder))
            (Path(folder) / "built").rename(_BUILT)
    return program


def _build(folder: Path) -> None:
    archive = folder / "qemu.tar.xz"
    with urllib.request.urlopen(_SOURCE, timeout=60) as answer, archive.open("wb") as out:
        shutil.copyfileobj(answer, out)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != _SHA256:
        raise RuntimeError(f"{_SOURCE} has the SHA-256 {found}, not {_SHA256}")
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    source = next(folder.glob("qemu-*/configure")).parent
    build, built = source / "build", folder / "built"
    build.mkdir()
    built.mkdir()
    subprocess.run(["../configure", *_CONFIGURE, f"--meson={need('meson', 'meson')}"], cwd=build, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", f"-j{len(os.sched_getaffinity(0))}", "qemu-aarch64"], cwd=build, check=True, stdout=subprocess.DEVNULL)
    for path in (build / "qemu-aarch64", source / "include" / "qemu" / "qemu-plugin.h"):
        shutil.copy2(path, built)


def plugin() -> Path:
    """Path of the counting plugin, built from count.c. Raises CalledProcessError when it does not compile."""
    header, source = emulator().with_name("qemu-plugin.h"), Path(__file__).with_name("count.c")
    library = CACHE / f"count-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}.so"
    if not library.exists():
        options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        glib = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], check=True, capture_output=True, text=True).stdout.split()
        subprocess.run([need("gcc", "gcc"), *options, "-I", header.parent, *glib, "-o", library, source], check=True)
    return library
