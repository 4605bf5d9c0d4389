"""The real picamera2 over the real libcamera of Debian 13, whose virtual pipeline is a camera made of software.

In a tree of that Debian, entered by chroot, so that it needs root; some 20 seconds, and a minute more to make the tree at first.
Not real in it: the sensor, the DMA heaps where this kernel has none, and two modules that picamera2 imports without our using
them (pykms for screens, pidng for raw files), which are in no package here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.arm64 import build_wheel
from tests.conftest import DATA, ROOT, need
from tests.e2e.serving import Part, Server, Viewer, started
from tests.fake_picamera2 import STILL_SIZE, still
from tests.unit.test_picamera_contract import REAL
from tests.vm import Wheel, tree

pytestmark = pytest.mark.system

BESIDE = Path(__file__).parent / "picamera"
PACKAGES = ("python3,python3-venv,python3-libcamera,python3-numpy,python3-pil,python3-piexif,python3-jsonschema,"
            "python3-libarchive-c,python3-tqdm,python3-prctl")
WHEELS = {"--no-deps": ("picamera2==0.3.38", "videodev2==0.0.4"), "--only-binary=:all:": ("pytest>=8",)}
HEAP = Path("dev/dma_heap/linux,cma")  # the one that both libraries look for
SETTINGS = """
[source]
address = "picamera"
[network]
threads = 1
[http]
address = "127.0.0.1:0"
[live]
"""
PYKMS = """
class PixelFormat:
    RGB888 = BGR888 = XRGB8888 = XBGR8888 = YUV420 = YVU420 = ABGR8888 = NV12 = None
"""


class Debian:
    """The tree, and how a program is run in it."""

    def __init__(self, root: Path, prefix: str, preload: str) -> None:
        self.root, self.prefix, self._preload = root, prefix, preload

    def command(self, *command: str | Path) -> list[str]:
        mount = 'mount -t proc proc "$0/proc" && cd / && exec chroot "$0" "$@"'  # gone with the process
        environment = ["env", "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=/check", f"LD_PRELOAD={self._preload}", f"{REAL}=1",
                       "LIBCAMERA_LOG_LEVELS=*:ERROR"]
        return ["unshare", "--mount", "sh", "-c", mount, str(self.root), *environment, *map(str, command)]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*command), capture_output=True, text=True, check=False, timeout=300)

    @property
    def edgecolor(self) -> str:
        return f"/{self.prefix}/bin/edgecolor"


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Debian:
    wheel = Wheel.read(build_wheel(tmp_path_factory.mktemp("wheel")))
    root = tree(wheel, name="picamera", included=PACKAGES, more=WHEELS)
    copy(root / "usr/share/libcamera/pipeline/virtual", [BESIDE / "virtual.yaml"])
    copy(root / "check", [BESIDE / "sitecustomize.py"])
    copy(root / "check/tests", [ROOT / "tests" / name for name in ("__init__.py", "conftest.py", "fake_picamera2.py")])
    copy(root / "check/tests/unit", [ROOT / "tests/unit" / name for name in ("__init__.py", "test_picamera_contract.py")])
    copy(root / "check/tests/data", [DATA / "gray.jpg"])
    (root / "check/pykms.py").write_text(PYKMS)
    copy(root / "check/pidng", [])
    for name, text in {"__init__": "", "camdefs": "class Picamera2Camera: ...", "core": "class PICAM2DNG: ..."}.items():
        (root / f"check/pidng/{name}.py").write_text(text + "\n")
    copy(root / "stills", [])
    cv2.imwrite(str(root / "stills/0.jpg"), cv2.cvtColor(still(), cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, 98])
    return Debian(root, wheel.prefix, heap(root))


def copy(folder: Path, files: Sequence[Path]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)


def heap(root: Path) -> str:
    """Give the tree a DMA heap: the kernel's own, or a file and the library to be preloaded for it."""
    place = root / HEAP
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if (kernels := Path("/") / HEAP.with_name("system")).exists():
        os.mknod(place, kernels.stat().st_mode, kernels.stat().st_rdev)
        return ""
    place.touch()
    subprocess.run([need("cc", "gcc"), "-shared", "-fPIC", "-O1", "-o", root / "check/dma_buf.so", BESIDE / "dma_buf.c"], check=True)
    return "/check/dma_buf.so"


def test_the_contract_holds_over_the_real_libraries(debian: Debian) -> None:
    done = debian.run(f"/{debian.prefix}/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "/check/tests/unit")
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "8 passed" in done.stdout and "skipped" not in done.stdout


def guess(server: Server, viewer: Viewer) -> Part:
    """The next part with guessed colour."""
    while (part := viewer.part()).origin != "guess":
        assert part.origin != "placeholder", server.state()["reason"]
    return part


def test_it_is_colorized_and_served(debian: Debian) -> None:
    settings = debian.root / "check/camera.toml"
    settings.write_text(SETTINGS)
    with started(debian.command(debian.edgecolor, "serve", "--config", "/check/camera.toml")) as server:
        with Viewer(server) as viewer:
            parts = [guess(server, viewer), *(viewer.part() for _ in range(5))]
            state = server.state()
            settings.write_text(SETTINGS + "smoothing = 0.5\n")  # a reload closes the camera and opens it again
            server.process.send_signal(signal.SIGHUP)
            while "reloaded: picamera:0" not in server.stderr:
                viewer.part()
            server.wait_for(lambda state: state["state"] == "live" and state["source"]["sequence"] > 5)
            guess(server, viewer)
        code, _ = server.stop()
    assert code == 0, server.stderr
    assert "Traceback" not in server.stderr
    assert state["state"] == "live" and state["source"]["name"] == "picamera:0" and state["chroma"]["feed"] == "gray"
    assert (state["source"]["width"], state["source"]["height"]) == STILL_SIZE and not any(state["source"]["losses"].values())
    assert [part.pts for part in parts] == sorted({part.pts for part in parts})
    if folder := os.environ.get("KEEP_PICTURES"):
        (Path(folder) / "picamera.jpg").write_bytes(parts[-1].jpeg)
    picture = cv2.imdecode(np.frombuffer(parts[-1].jpeg, np.uint8), cv2.IMREAD_COLOR)
    y, cr, cb = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(np.int16))
    assert np.corrcoef(y[:400].ravel(), still()[:400].ravel())[0, 1] > 0.99, "the label is below"
    assert np.abs(np.dstack([cb, cr]) - 128).mean() > 2, "the picture is gray"


def test_doctor_lists_the_cameras(debian: Debian) -> None:
    done = debian.run(debian.edgecolor, "doctor", "--json")
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0 and found["picamera2"]["state"] == "ok" and "0.3.38" in found["picamera2"]["detail"]
    assert "libcamera 0.4" in found["picamera2"]["detail"]
    assert "picamera:0 still" in found["Pi cameras"]["detail"] and "picamera:1 bars" in found["Pi cameras"]["detail"]
