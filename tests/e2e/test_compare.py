"""``edgecolor compare`` as a real process, and its page in a real browser."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests import samples
from tests.conftest import DATA, ROOT, need
from tests.e2e.test_page import SWITCHES


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgecolor", "compare", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    for side, value in (("a", 30), ("b", 220)):
        (tmp_path / side / "sub").mkdir(parents=True)
        for name in ("x", "sub/y"):
            (tmp_path / side / f"{name}.png").write_bytes(samples.pillow(np.full((300, 400), value, np.uint8), "PNG"))
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    browser, driver = need("chromium", "chromium"), need("chromedriver", "chromium-driver")
    options = Options()
    options.binary_location = browser
    for switch in [*SWITCHES.split(), f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,900"]:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


def test_pictures_films_and_what_fails(sides, tmp_path):
    a, b = sides
    for side in sides:
        shutil.copy(DATA / "demo.mp4", side / "film.mp4")
        (side / "broken.png").write_bytes(b"x")
    (a / "alone.png").write_bytes(samples.good()["gray.png"])
    out, sheet = tmp_path / "page.html", tmp_path / "sheet.png"
    done = compare(a, b, "-o", out, "--sheet", sheet, "--frames", "3", "--width", "320")
    assert (done.returncode, done.stdout) == (1, f"{out}\n{sheet}\n")
    assert f"{a / 'alone.png'}: only one side has it" in done.stderr and "broken.png: not a picture" in done.stderr
    assert out.read_text("utf-8").count("<figure>") == 2 + 3
    assert cv2.imread(str(sheet)).shape[1] == 2 * 644
    done = compare(a, b, "-o", out)
    assert done.returncode == 1 and "exists already; --overwrite" in done.stderr
    assert compare(a, b, "-o", out, "--overwrite", "--most", "1").returncode == 1


def test_a_sheet_higher_than_jpeg_can_be_says_what_to_do(tmp_path):
    """420 pairs of 1x1 pixel, 320 pixels high on the sheet each."""
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        for number in range(420):
            (tmp_path / side / f"{number}.png").write_bytes(samples.pillow(np.full((1, 1), 99, np.uint8), "PNG"))
    sides, sheet = (tmp_path / "a", tmp_path / "b"), tmp_path / "sheet.jpg"
    done = compare(*sides, "--sheet", sheet, "--most", "1000")
    assert done.returncode == 1 and "pixels are too high for JPEG; use a .png, or a smaller --most" in done.stderr and not sheet.exists()
    assert compare(*sides, "--sheet", sheet, "--most", "100").returncode == 0 and sheet.exists()


def test_names_that_no_file_can_have_are_errors(sides):
    assert compare(*sides, "-o", "n" * 300).returncode == 1
    assert compare(sides[0], "n" * 300, "-o", "x.html").returncode == 2


@pytest.mark.parametrize("arguments", [[], ["--sheet", "x.gif"], ["-o", "x.html", "--frames", "0"]])
def test_wrong_usage_is_2(sides, arguments):
    assert compare(*sides, *arguments).returncode == 2
    assert compare(sides[0], sides[1] / "x.png", "-o", "x.html").returncode == 2


def test_the_slider_in_a_browser(sides, tmp_path, chromium):
    out = tmp_path / "page.html"
    assert compare(*sides, "-o", out).returncode == 0
    chromium.get(f"file://{out}")

    def shades() -> tuple[int, int]:
        """A quarter from the left and from the right of the first pair."""
        png = chromium.find_element(By.CSS_SELECTOR, ".pair").screenshot_as_png
        shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        row = shown[shown.shape[0] // 4]
        return int(row[len(row) // 4]), int(row[-len(row) // 4])

    assert shades() == (pytest.approx(30, abs=3), pytest.approx(220, abs=3))
    slider = chromium.find_element(By.CSS_SELECTOR, ".pair input")
    slider.send_keys(Keys.END)
    assert shades() == (pytest.approx(30, abs=3), pytest.approx(30, abs=3))
    slider.send_keys(Keys.HOME)
    assert shades() == (pytest.approx(220, abs=3), pytest.approx(220, abs=3))
    chromium.find_element(By.ID, "beside").click()
    assert shades() == (pytest.approx(30, abs=3), pytest.approx(220, abs=3))
    assert chromium.get_log("browser") == []  # the policy refused nothing
