"""What doctor says of cameras at the connector and of Corals, over a file system and libraries made for it."""

from __future__ import annotations

import importlib.machinery
from pathlib import Path

import pytest

from edgecolor import edgetpu, hardware
from edgecolor.commands import doctor
from edgecolor.hardware import Finding, coral, pi_cameras
from tests.edgetpu import build_library, write_compiled


def usb(root: Path, product: str = "1a6e:089a", speed: str = "5000", node: bool = True) -> None:
    place = root / "sys/bus/usb/devices/2-1"
    place.mkdir(parents=True)
    vendor, _, number = product.partition(":")
    for name, text in {"idVendor": vendor, "idProduct": number, "speed": speed, "busnum": "2", "devnum": "3"}.items():
        (place / name).write_text(text + "\n")
    (root / "sys/bus/usb/devices/usb1").mkdir()  # a hub, without some of these files
    if node:
        (root / "dev/bus/usb/002").mkdir(parents=True)
        (root / "dev/bus/usb/002/003").touch()


def pci(root: Path, node: bool = True) -> None:
    place = root / "sys/bus/pci/devices/0000:01:00.0"
    place.mkdir(parents=True)
    (place / "vendor").write_text("0x1ac1\n")
    (place / "device").write_text("0x089a\n")
    if node:
        (root / "dev").mkdir()
        (root / "dev/apex_0").touch()


def there(path: Path, _: int) -> bool:
    return path.exists()


def never(_: Path, __: int) -> bool:
    return False


def one(findings: list[Finding], what: str) -> Finding:
    (found,) = [finding for finding in findings if finding.what == what]
    return found


@pytest.mark.parametrize("product", ["1a6e:089a", "18d1:9302"])
def test_a_coral_at_usb_3_is_fine_under_both_of_its_addresses(product: str, tmp_path: Path) -> None:
    usb(tmp_path, product)
    found = one(coral(tmp_path, there), "Coral")
    assert found.state == "ok" and "USB 3 (5000 Mbit/s)" in found.detail and not found.fix


def test_a_coral_at_usb_2_is_told_of_a_better_place(tmp_path: Path) -> None:
    usb(tmp_path, speed="480")
    found = one(coral(tmp_path, there), "Coral")
    assert found.state == "ok" and "USB 2 (480 Mbit/s)" in found.detail and "blue port" in found.fix


@pytest.mark.parametrize(("make", "fix"), [(usb, 'ATTRS{idVendor}=="1a6e"'), (pci, 'SUBSYSTEM=="apex"')])
def test_a_coral_that_this_user_may_not_use_is_trouble_with_the_rule_to_write(make: object, fix: str, tmp_path: Path) -> None:
    make(tmp_path)  # type: ignore[operator]
    found = one(coral(tmp_path, never), "Coral")
    assert found.state == "trouble" and "no permission for /dev/" in found.detail and fix in found.fix and "rules.d" in found.fix


def test_a_coral_on_pci_needs_its_driver(tmp_path: Path) -> None:
    pci(tmp_path, node=False)
    found = one(coral(tmp_path, there), "Coral")
    assert found.state == "trouble" and "no /dev/apex_0" in found.detail and "gasket" in found.fix
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/apex_0").touch()
    assert one(coral(tmp_path, there), "Coral").state == "ok"


def test_no_coral_is_absent_and_its_library_too(tmp_path: Path) -> None:
    findings = coral(tmp_path)
    assert {finding.what: finding.state for finding in findings} == {"Coral": "absent", "libedgetpu": "absent"}
    assert all(finding.fix for finding in findings)
    usb(tmp_path)
    assert one(coral(tmp_path, there), "libedgetpu").state == "trouble", "a Coral without its library"


def test_the_librarys_version_and_devices_are_told_and_the_runtime_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgetpu, "LIBRARY", str(build_library(tmp_path)))
    found = one(coral(tmp_path), "libedgetpu")
    assert found.state == "ok" and "RuntimeVersion(14)" in found.detail and "it sees usb /sys/bus/usb/devices/2-1" in found.detail
    assert one(coral(tmp_path, runtime="litert"), "Coral delegate").state == "ok"
    monkeypatch.setenv("EDGETPU_STUB", "dies loading")
    found = one(coral(tmp_path, runtime="litert"), "Coral delegate")
    assert found.state == "trouble" and "signal 6" in found.detail and "fits the runtime" in found.fix


def test_a_compiled_model_among_the_others_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_compiled(tmp_path)
    monkeypatch.setattr(doctor, "MODEL_FOLDERS", (tmp_path,))
    findings = {finding.what: finding for finding in doctor._runtimes()}
    assert findings["model edgecolor_edgetpu"].state == findings["model edgecolor"].state == "ok"
    assert "compiled for the Edge TPU" in findings["model edgecolor_edgetpu"].detail


# Cameras at the connector


def picamera2_says(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(hardware.importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    monkeypatch.setattr(hardware, "_PICAMERA", code)


def test_without_picamera2_there_is_nothing_to_see(tmp_path: Path) -> None:
    found = one(pi_cameras(tmp_path), "picamera2")
    assert found.state == "absent" and "apt install python3-picamera2" in found.fix


def test_cameras_are_listed_as_sources_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picamera2_says(monkeypatch, 'print(\'{"libcamera": "v0.5.2", "cameras": [{"Model": "imx708_noir"}, {"Model": "ov5647"}]}\')')
    (tmp_path / "dev/dma_heap").mkdir(parents=True)
    (tmp_path / "dev/dma_heap/linux,cma").touch()
    findings = pi_cameras(tmp_path, there)
    assert "libcamera 0.5.2" in one(findings, "picamera2").detail
    assert one(findings, "Pi cameras").detail == "picamera:0 imx708_noir, picamera:1 ov5647" and len(findings) == 2
    found = one(pi_cameras(tmp_path, never), "camera memory")
    assert found.state == "trouble" and "linux,cma" in found.detail and "usermod -aG video" in found.fix


def test_no_camera_names_cable_and_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picamera2_says(monkeypatch, 'print(\'{"libcamera": "v0.5.2", "cameras": []}\')')
    found = one(pi_cameras(tmp_path), "Pi cameras")
    assert found.state == "absent" and "ribbon cable" in found.fix and "camera_auto_detect=1" in found.fix


@pytest.mark.parametrize(("code", "said", "fix"), [
    ("raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')", "numpy.dtype size changed", "numpy<2"),
    ("import libcamera", "No module named 'libcamera'", "apt install python3-libcamera"),
    ("import os; os.abort()", "signal 6", "apt install python3-picamera2"),
])
def test_a_picamera2_that_can_not_be_loaded_is_told_with_its_fix(
    code: str, said: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picamera2_says(monkeypatch, code)
    (found,) = pi_cameras(tmp_path)
    assert found.state == "trouble" and said in found.detail and fix in found.fix


@pytest.mark.parametrize("code", ["pass", "print('library: ready'); print('{')", "print('  ')"])
def test_a_child_that_says_nothing_of_use_is_a_finding_and_no_traceback(code: str) -> None:
    assert hardware._child(code) == "the process that tried it said nothing that can be understood"
    assert hardware._child("print('noise'); print('[1]')") == [1]
