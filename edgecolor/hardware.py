"""Cameras at the board's connector and the Coral: what is plugged in, whether this user may use it, and the fix where not.

Whatever can end a process or take a device is asked in a child process. root: the file system that is looked at.
Sources: usb.org numbers as in Coral's udev rules (libedgetpu's debian/), Documentation/ABI of Linux for /sys/bus/usb.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecolor import edgetpu
from edgecolor.sources import PICAMERA_INSTALL

Access = Callable[[Path, int], bool]
_CORAL_USB = {("1a6e", "089a"): "not used yet", ("18d1", "9302"): "in use before"}  # its address changes with its first use
_CORAL_PCI = ("0x1ac1", "0x089a")
_SUPER_SPEED = 5000  # Mbit/s
_CHILD_S = 60.0
_UDEV_RULE = """SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e", ATTRS{idProduct}=="089a", GROUP="plugdev", MODE="0660"
SUBSYSTEM=="usb", ATTRS{idVendor}=="18d1", ATTRS{idProduct}=="9302", GROUP="plugdev", MODE="0660\""""
_PICAMERA = """
import json, sys
import libcamera, picamera2
version = libcamera.CameraManager.singleton().version
json.dump({"libcamera": version, "cameras": picamera2.Picamera2.global_camera_info()}, sys.stdout, default=str)
"""
_LIBRARY = """
import ctypes, json, sys
class Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("path", ctypes.c_char_p)]
library = ctypes.CDLL(sys.argv[1])
library.edgetpu_version.restype = ctypes.c_char_p
library.edgetpu_list_devices.restype = ctypes.POINTER(Device)
count = ctypes.c_size_t()
devices = library.edgetpu_list_devices(ctypes.byref(count))
found = [("pci", "usb")[devices[i].type] + " " + devices[i].path.decode() for i in range(count.value)]
json.dump({"version": library.edgetpu_version().decode(), "devices": found}, sys.stdout)
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. state: ok, missing (needed), absent (optional), or trouble (there, but of no use); fix: what to do."""

    what: str
    state: str
    detail: str
    fix: str = ""


def pi_cameras(root: Path = Path("/"), access: Access = os.access) -> list[Finding]:
    """picamera2 and libcamera with their versions, the cameras that they see, and the memory that they need."""
    if importlib.util.find_spec("picamera2") is None:
        return [Finding("picamera2", "absent", "not installed; needed for a Pi camera only", PICAMERA_INSTALL)]
    found = _child(_PICAMERA)
    if isinstance(found, str):
        return [Finding("picamera2", "trouble", f"can not be loaded: {found}", _picamera_fix(found))]
    try:
        version = importlib.metadata.version("picamera2")
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    findings = [Finding("picamera2", "ok", f"picamera2 {version}, libcamera {str(found['libcamera']).removeprefix('v')}")]
    names = [f"picamera:{number} {camera.get('Model', '?')}" for number, camera in enumerate(found["cameras"])]
    fix = "seat the ribbon cable with the power off; camera_auto_detect=1 in /boot/firmware/config.txt; then rpicam-hello --list-cameras"
    findings.append(Finding("Pi cameras", "ok", ", ".join(names)) if names else Finding("Pi cameras", "absent", "none is found", fix))
    heaps = [heap for heap in sorted((root / "dev/dma_heap").glob("*")) if heap.name in ("vidbuf_cached", "linux,cma")]
    if names and not any(access(heap, os.R_OK | os.W_OK) for heap in heaps):
        shut = "no /dev/dma_heap that is known" if not heaps else f"no permission for {', '.join(heap.name for heap in heaps)}"
        findings.append(Finding("camera memory", "trouble", shut, "sudo usermod -aG video USER, then log in again"))
    return findings


def _picamera_fix(said: str) -> str:
    if "numpy" in said:
        return ("the system's modules were built for another numpy; on Debian 12, in this environment: "
                "pip install 'numpy<2' 'opencv-python-headless<4.12'")  # fmt: skip
    if "libcamera" in said:
        return "apt install python3-libcamera; the environment's Python must be the system's own"
    return PICAMERA_INSTALL


def coral(root: Path = Path("/"), access: Access = os.access, runtime: str | None = None, model: bytes = b"") -> list[Finding]:
    """Corals that are plugged in, their speed and permissions, and libedgetpu's version.

    runtime: the TFLite runtime to load the delegate with, and run ``model`` if there is one; None tries neither, because a USB Coral
    gets its firmware by that.
    """
    findings = [*_usb(root, access), *_pci(root, access)]
    if not findings:
        known = "USB 1a6e:089a or 18d1:9302, PCI 1ac1:089a"
        findings = [Finding("Coral", "absent", f"none is plugged in ({known})", "plug the Coral in, if one is wanted")]
    library = _child(_LIBRARY, edgetpu.LIBRARY)
    plugged = findings[0].state != "absent"
    if isinstance(library, str):
        findings.append(Finding("libedgetpu", "trouble" if plugged else "absent", library, edgetpu.INSTALL))
    else:
        sees = ", ".join(library["devices"]) or "no device"
        findings.append(Finding("libedgetpu", "ok", f"{edgetpu.LIBRARY}: {library['version']}; it sees {sees}"))
    if runtime is not None:
        wrong = edgetpu.probe(runtime, {}, model)
        did = "runs the model" if model else "loads it; give a compiled model to see one run"
        findings.append(Finding("Coral delegate", "trouble", wrong, edgetpu.INSTALL) if wrong
                        else Finding("Coral delegate", "ok", f"runtime {runtime} {did}"))  # fmt: skip
    return findings


def _usb(root: Path, access: Access) -> Iterator[Finding]:
    for place in sorted((root / "sys/bus/usb/devices").glob("*")):
        use = _CORAL_USB.get((_read(place / "idVendor"), _read(place / "idProduct")))
        if use is None:
            continue
        speed = float(_read(place / "speed") or 0)
        name = f"USB Coral at {place.name} ({use}), USB {3 if speed >= _SUPER_SPEED else 2} ({speed:g} Mbit/s)"
        node = root / f"dev/bus/usb/{int(_read(place / 'busnum') or 0):03}/{int(_read(place / 'devnum') or 0):03}"
        if not access(node, os.R_OK | os.W_OK):
            fix = (f"write this to /etc/udev/rules.d/99-edgetpu.rules, then udevadm control --reload, plug it anew, and be in the group "
                   f"plugdev:\n{_UDEV_RULE}")  # fmt: skip
            yield Finding("Coral", "trouble", f"{name}: no permission for /{node.relative_to(root)}", fix)
        elif speed < _SUPER_SPEED:
            yield Finding("Coral", "ok", name, "a blue port and its own cable make it USB 3: each guess then waits less")
        else:
            yield Finding("Coral", "ok", name)


def _pci(root: Path, access: Access) -> Iterator[Finding]:
    found = [place for place in sorted((root / "sys/bus/pci/devices").glob("*"))
             if (_read(place / "vendor"), _read(place / "device")) == _CORAL_PCI]  # fmt: skip
    nodes = sorted((root / "dev").glob("apex_*"))
    for number, place in enumerate(found):
        name = f"PCI Coral at {place.name}"
        if number >= len(nodes):
            yield Finding("Coral", "trouble", f"{name}: no /dev/apex_{number}", "install the gasket driver (gasket-dkms) and start again")
        elif not access(nodes[number], os.R_OK | os.W_OK):
            fix = ('write SUBSYSTEM=="apex", MODE="0660", GROUP="apex" to /etc/udev/rules.d/65-apex.rules, sudo groupadd apex, '
                   "sudo usermod -aG apex USER, and start again")  # fmt: skip
            yield Finding("Coral", "trouble", f"{name}: no permission for /dev/{nodes[number].name}", fix)
        else:
            yield Finding("Coral", "ok", f"{name}, /dev/{nodes[number].name}")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _child(code: str, *arguments: str) -> Any:
    """The JSON that Python code prints in a process of its own; else, as a string, what went wrong."""
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CHILD_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {_CHILD_S:.0f} s"
    if done.returncode < 0:
        return f"the process that tried it ended by signal {-done.returncode}"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return "the process that tried it said nothing that can be understood"
