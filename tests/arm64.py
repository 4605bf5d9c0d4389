"""An arm64 Debian without a board: its tree, its Python with the packages of our wheel, and a named processor to run them.

Nothing of it is started as a system: QEMU runs single programs of the tree (no chroot, no binfmt, no root). Trees and
packages are kept in .arm64/ of the checkout, under the hash of what they were made from; remove the folder to make them anew.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, need
from tests.debian import Release, key, run

CACHE = ROOT / ".arm64"
# Linux, arch/arm64/include/asm/cputype.h. XNNPACK chooses its routines by the part number; QEMU does not show one in /proc.
CPU_PARTS = {"cortex-a53": 0xD03, "cortex-a72": 0xD08, "cortex-a76": 0xD0B}
_FEATURES = {"cortex-a76": "fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"}
_AARCH64_ELF = 183  # e_machine, ELF for the Arm 64-bit Architecture


def tree(release: Release) -> Path:
    """Root of the release's tree with Python in it, made by mmdebstrap (some 80 MB, some 10 s) unless it is there."""
    program = need("mmdebstrap", "mmdebstrap")
    # Packages are unpacked and nothing of them is run; chrootless because that needs neither root nor user namespaces.
    options = ["--mode=chrootless", "--variant=extract", "--architectures=arm64", f"--include=python{release.python},libstdc++6"]
    root = CACHE / f"{release.suite}-{key(*options)}"
    if not root.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / "root"
            run(program, *options, release.suite, made)
            (made / "proc").mkdir(exist_ok=True)
            if not (made / "lib").exists():  # a link that the package base-files makes when it is configured
                (made / "lib").symlink_to("usr/lib")
            made.rename(root)
    return root


def packages(release: Release, wheel: Path, extra: str = "", tools: Sequence[str] = ()) -> Path:
    """A folder for PYTHONPATH: the wheel and all that it needs, from arm64 wheels only, as pip would take them on that release.

    extra: of the wheel, "" or "tflite". tools: further requirements, such as pytest. Raises RuntimeError when pip finds no
    wheel for one of them.
    """
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *release.pip_options("aarch64")]
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))).decode()
    needs = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    folder = CACHE / f"packages-{release.suite}-{key(*pip[4:], extra, *tools, *needs)}"
    if folder.exists():  # what it needs is there, itself may have changed
        run(*pip, "--no-deps", "--upgrade", "--target", folder, wheel)
        return folder
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        Path(made).chmod(0o755)
        wanted = f"edgecolor[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
        run(*pip, "--target", Path(made) / "packages", wanted, *tools)
        (Path(made) / "packages").rename(folder)
    return folder


def machines(folder: Path) -> dict[Path, int]:
    """The processor (e_machine) of each compiled library below a folder."""
    found = {}
    for path in folder.rglob("*.so*"):
        header = path.read_bytes()[:20]
        if header[:4] == b"\x7fELF":
            found[path] = int.from_bytes(header[18:20], "little")
    return found


def foreign_libraries(folder: Path) -> list[Path]:
    """Compiled libraries below a folder that are not for aarch64. Raises RuntimeError when there is none at all."""
    found = machines(folder)
    if not found:
        raise RuntimeError(f"{folder} holds no compiled library")
    return [path for path, machine in found.items() if machine != _AARCH64_ELF]


@dataclass(frozen=True)
class Board:
    """A processor over a release's tree, with packages. One at a time over the same tree: it has one /proc/cpuinfo."""

    release: Release
    cpu: str
    packages: Path

    def python(self, *arguments: str | Path, emulator: Sequence[str | Path] = ()) -> list[str]:
        """The command that runs this board's Python. emulator: another QEMU, with options, than Debian's static one.

        The child processes that it starts by sys.executable run on the same board.
        """
        root = tree(self.release)
        write_cpuinfo(root, self.cpu)
        program = list(emulator) or [need("qemu-aarch64-static", "qemu-user-static")]
        # Named always: QEMU's default processor has instructions that give other results than any board's.
        start = [*program, "-L", root, "-cpu", self.cpu, root / "usr" / "bin" / f"python{self.release.python}"]
        return [str(part) for part in (*start, *arguments)]

    def environment(self) -> dict[str, str]:
        """Variables for ``python``: its packages, and nothing of this machine's Python."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP", "VIRTUAL_ENV", "COV"))}
        return kept | {"PYTHONPATH": f"{self._launcher()}:{self.packages}", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}

    def run(self, *arguments: str | Path, cwd: Path = ROOT, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run Python on the board with these arguments."""
        return subprocess.run(
            self.python(*arguments), capture_output=True, text=True, check=False, cwd=cwd, env=self.environment(), timeout=timeout
        )

    def _launcher(self) -> Path:
        """A folder whose sitecustomize.py makes sys.executable a script of this machine: the kernel can not start arm64 programs."""
        folder = CACHE / f"launcher-{self.release.suite}-{self.cpu}"
        folder.mkdir(exist_ok=True)
        script = folder / "python"
        script.write_text(f'#!/bin/sh\nexec {" ".join(self.python())} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        (folder / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {str(script)!r}\n")
        return folder


def write_cpuinfo(root: Path, cpu: str) -> None:
    """What a Raspberry Pi's kernel says of its four cores. Without it litert falls back silently, or crashes."""
    core = (
        "processor\t: {number}\nBogoMIPS\t: 108.00\n"
        f"Features\t: {_FEATURES.get(cpu, 'fp asimd evtstrm crc32 cpuid')}\n"
        f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {CPU_PARTS[cpu]:#x}\nCPU revision\t: 3\n\n"
    )
    (root / "proc" / "cpuinfo").write_text("".join(core.format(number=number) for number in range(4)))


def build_wheel(folder: Path) -> Path:
    """The checkout's wheel, built into ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))
