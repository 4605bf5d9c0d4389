"""The page in a real browser. The source is one still picture and the network's colours are strong and known: so what the
browser shows can be held against the snapshots pixel by pixel, and does not depend on how well a model was trained."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import need
from tests.e2e.serving import DEMO, Server, script, started

# The first frame of the clip, ten times a second.
STILL = """
import dataclasses, itertools, sys, threading, time
from edgecolor.errors import SourceLostError
from edgecolor.sources import open_source
from tests.e2e.live import *

first = next(iter(open_source("demo").frames(threading.Event())))

class Still:
    name, rate, live, timeout = "still", 10.0, True, 1.0
    def frames(self, stop):
        for number in itertools.count():
            yield dataclasses.replace(first, sequence=number, captured=time.monotonic())
            if stop.wait(0.1):
                return

serve_live(Still())
"""
# One frame a line of stdin, as bright as the line says, and no other frame until the next line; "color" is one with colours of
# its own. At "lose" the camera is lost, and comes again with the next line.
ON_DEMAND = """
import sys
from edgecolor.errors import SourceLostError
from edgecolor.frame import Frame
from tests.e2e.live import *

class OnDemand:
    name, rate, live, timeout, count = "on demand", 10.0, True, 60.0, 0
    def frames(self, stop):
        for line in sys.stdin:
            if line == "lose\\n":
                raise SourceLostError("the cable is out", "unplugged")
            self.count += 1
            y, chroma = np.full((48, 64), 128, np.uint8), (None, None)
            if line == "color\\n":
                chroma = np.random.default_rng(1).integers(0, 256, (2, 24, 32), np.uint8)
            else:
                y[:] = int(line)
            yield Frame(y, *chroma, sequence=self.count)

serve_live(OnDemand())
"""
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-device-scale-factor=1 --force-color-profile=srgb"
)


@pytest.fixture(scope="module")
def still() -> Iterator[Server]:
    with started(script(STILL)) as server:
        server.wait_for(lambda state: state["state"] == "live")
        yield server


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser, driver = need("chromium", "chromium"), need("chromedriver", "chromium-driver")
    options = Options()
    options.binary_location = browser
    for switch in [*SWITCHES.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1280,1000"]:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_page_load_timeout(30)
    yield chrome
    chrome.quit()


@pytest.fixture
def page(chromium: webdriver.Chrome, still: Server) -> webdriver.Chrome:
    chromium.get_log("browser")
    chromium.get(still.url)
    wait_live(chromium)
    return chromium


def wait_for(chromium: webdriver.Chrome, condition: Callable[[], Any], what: str, seconds: float = 20) -> None:
    WebDriverWait(chromium, seconds, 0.1).until(lambda _: condition(), what)


def wait_live(chromium: webdriver.Chrome) -> None:
    ready = "return document.getElementById('live').naturalWidth > 0 && document.getElementById('state').textContent === 'live'"
    wait_for(chromium, lambda: chromium.execute_script(ready), "no live picture")


def shot(chromium: webdriver.Chrome) -> np.ndarray:
    """The picture as the browser shows it, (H, W, 3) RGB int."""
    png = chromium.find_element(By.ID, "picture").screenshot_as_png
    bgr = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(int)


def spread(rgb: np.ndarray) -> np.ndarray:
    return rgb.max(axis=2) - rgb.min(axis=2)


def snapshot(server: Server, view: str, like: np.ndarray) -> np.ndarray:
    """A snapshot, scaled to the size of a screenshot."""
    status, _, body = server.get(f"/snapshot.jpg?view={view}")
    assert status == 200
    rgb = cv2.cvtColor(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return cv2.resize(rgb, (like.shape[1], like.shape[0]), interpolation=cv2.INTER_LINEAR).astype(int)


def sides(picture: np.ndarray, split: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Left and right of the divider, without the labels at top and bottom, the knob in the middle and the rounded corners."""
    height, width = picture.shape[:2]
    rows = slice(int(height * 0.62), int(height * 0.93))
    at = int(22 + split * (width - 44))
    return picture[rows, 12 : at - 30], picture[rows, at + 30 : width - 12]


def split_of(chromium: webdriver.Chrome) -> float:
    return float(chromium.execute_script("return document.getElementById('slider').value")) / 100


def test_left_is_the_cameras_gray_and_right_the_guessed_colour(page: webdriver.Chrome, still: Server) -> None:
    picture = shot(page)
    assert picture.std() > 20, "the page is blank"
    left, right = sides(picture)
    assert np.percentile(spread(left), 99) <= 2, "the left side is not gray"
    assert np.median(spread(right)) > 20, "the right side is not coloured"
    gray, color = snapshot(still, "gray", picture), snapshot(still, "color", picture)
    assert np.abs(left - sides(gray)[0]).mean() < 2.5, "the left side is not the camera's luma"
    assert np.abs(right - sides(color)[1]).mean() < 3
    # The check can fail: BT.709 weights, as of CSS grayscale(), would be seen.
    wrong = sides(color)[0] @ [0.2126, 0.7152, 0.0722]
    assert np.abs(wrong - sides(gray)[0][..., 0]).mean() > 3.5


def test_the_slider_moves_by_keyboard(page: webdriver.Chrome) -> None:
    slider = page.find_element(By.ID, "slider")
    assert slider.accessible_name.startswith("Comparison") and slider.aria_role == "slider"
    slider.send_keys(Keys.END)
    assert split_of(page) == 1 and np.percentile(spread(sides(shot(page), 1)[0]), 99) <= 2
    slider.send_keys(Keys.HOME)
    assert split_of(page) == 0 and np.median(spread(sides(shot(page), 0)[1])) > 20
    slider.send_keys(Keys.ARROW_RIGHT)
    assert split_of(page) == pytest.approx(0.01)


def test_the_slider_moves_by_mouse_from_anywhere_on_the_picture(page: webdriver.Chrome) -> None:
    picture = page.find_element(By.ID, "picture")
    width = picture.size["width"]
    ActionChains(page).move_to_element_with_offset(picture, 0, 60).click_and_hold().move_by_offset(-width // 4, 40).release().perform()
    assert split_of(page) == pytest.approx(0.24, abs=0.03)
    left, right = sides(shot(page), split_of(page))
    assert np.percentile(spread(left), 99) <= 2 and np.median(spread(right)) > 20
    assert np.percentile(spread(right[:, :40]), 25) > 10, "colour begins at the divider"


def test_the_slider_moves_by_touch(page: webdriver.Chrome) -> None:
    box = page.find_element(By.ID, "picture").rect
    x, y = box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.7
    touch = "Input.dispatchTouchEvent"
    page.execute_cdp_cmd(touch, {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 11):
        page.execute_cdp_cmd(touch, {"type": "touchMove", "touchPoints": [{"x": x + box["width"] * 0.03 * step, "y": y}]})
    page.execute_cdp_cmd(touch, {"type": "touchEnd", "touchPoints": []})
    wait_for(page, lambda: abs(split_of(page) - 0.81) < 0.04, "the slider did not follow the finger", 5)


def test_it_tells_rates_latency_model_feed_and_viewers(page: webdriver.Chrome) -> None:
    def text(name: str) -> str:
        return page.find_element(By.ID, name).text

    wait_for(page, lambda: text("rate").endswith("fps") and text("chroma").endswith("fps"), "no rate")
    assert text("latency").endswith("ms")
    assert (text("model"), text("feed"), text("losses"), text("source")) == ("Vivid", "gray", "0", "still, 768×432")
    wait_for(page, lambda: text("viewers") == "1", "this page is the only viewer")
    assert "not evidence" in text("note")


def test_the_snapshot_button_saves_a_jpeg(page: webdriver.Chrome, tmp_path: Path) -> None:
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.find_element(By.ID, "snapshot").click()
    wait_for(page, lambda: list(tmp_path.glob("edgecolor-*.jpg")), "nothing was saved")
    (saved,) = tmp_path.glob("edgecolor-*.jpg")
    picture = cv2.imdecode(np.frombuffer(saved.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (432, 768, 3)
    assert b"algorithmicallyEnhanced" in saved.read_bytes()


def test_nothing_is_blocked_or_wrong_in_the_console(page: webdriver.Chrome) -> None:
    assert [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(page: webdriver.Chrome, scheme: str) -> None:
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True})
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
        assert page.find_element(By.ID, "picture").size["width"] > 320
        for name in ("snapshot", "slider"):
            assert page.find_element(By.ID, name).size["height"] >= 44, f"{name} is too small for a finger"
        note = page.find_element(By.ID, "note").rect
        assert note["y"] + note["height"] < 740, "all is seen without scrolling"
        body = cv2.imdecode(np.frombuffer(page.get_screenshot_as_png(), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert (np.median(body[-60:]) > 200) == (scheme == "light")
        left, right = sides(shot(page))
        assert np.percentile(spread(left), 99) <= 2 and np.median(spread(right)) > 20
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


MEAN = """const c = document.createElement('canvas'); c.width = c.height = 8; const x = c.getContext('2d');
    x.drawImage(document.getElementById('live'), 0, 0, 8, 8); const d = x.getImageData(0, 0, 8, 4).data;
    let s = 0; for (let i = 0; i < d.length; i += 4) s += .299 * d[i] + .587 * d[i + 1] + .114 * d[i + 2]; return s / 32;"""


def test_the_newest_frame_is_shown_though_no_other_follows(chromium: webdriver.Chrome) -> None:
    with started(script(ON_DEMAND), stdin=subprocess.PIPE) as server:
        server.tell("60")
        server.wait_for(lambda state: state["state"] == "live")
        chromium.get(server.url)
        server.wait_for(lambda state: state["views"]["color"]["watchers"] == 1)
        # Frame by frame: each must appear before the next one is sent.
        for luma in (90, 150, 110, 170):
            server.tell(str(luma))
            wait_for(chromium, lambda want=luma: abs(chromium.execute_script(MEAN) - want) < 6, f"frame {luma} is not shown", 5)


def test_a_lost_camera_is_a_placeholder_that_says_so_and_the_picture_comes_back(chromium: webdriver.Chrome) -> None:
    def shown(name: str) -> bool:
        return bool(chromium.find_element(By.ID, name).is_displayed())

    with started(script(ON_DEMAND), stdin=subprocess.PIPE) as server:
        server.tell("200")
        server.wait_for(lambda state: state["state"] == "live")
        chromium.get(server.url)
        server.wait_for(lambda state: state["views"]["color"]["watchers"] == 1)
        server.tell("200")
        wait_for(chromium, lambda: abs(chromium.execute_script(MEAN) - 200) < 6 and not shown("lost"), "no live picture")
        server.tell("lose")
        wait_for(chromium, lambda: shown("lost"), "a lost camera looks live", 6)
        assert chromium.find_element(By.ID, "state").text == "lost"
        assert "cable is out" in chromium.find_element(By.ID, "why").get_attribute("textContent")
        assert not shown("slider") and not shown("tag-color"), "there is nothing to compare"
        wait_for(chromium, lambda: chromium.execute_script(MEAN) < 100, "the old picture stays", 6)
        server.tell("180")
        wait_for(chromium, lambda: abs(chromium.execute_script(MEAN) - 180) < 6, "the picture did not come back")
        wait_for(chromium, lambda: not shown("lost") and shown("slider"), "the page did not see it")
        assert chromium.find_element(By.ID, "losses").text == "1"


def test_a_feed_with_colours_of_its_own_is_not_called_guessed(chromium: webdriver.Chrome) -> None:
    with started(script(ON_DEMAND), stdin=subprocess.PIPE) as server:
        server.tell("color")
        server.wait_for(lambda state: state["frames"]["out"] > 0)
        chromium.get(server.url)
        for _ in range(30):
            server.tell("color")
        wait_for(chromium, lambda: chromium.find_element(By.ID, "feed").text == "colour", "the feed is not seen as colour")
        assert chromium.find_element(By.ID, "tag-color").text == "camera's colour"
        assert "Nothing is guessed" in chromium.find_element(By.ID, "note").text


def test_it_works_below_a_path_of_a_proxy_and_with_a_token(chromium: webdriver.Chrome) -> None:
    token = "0123456789abcdef"
    guarded = STILL.replace("serve_live(Still())", f"""
from edgecolor.credentials import Secret
serve_live(Still(), http=HttpOptions(address="127.0.0.1:0", token=Secret({token!r})))
""")
    with started(script(guarded)) as server, proxied(server, "/cameras/garage") as url:
        chromium.get_log("browser")
        chromium.get(f"{url}?token={token}")
        wait_live(chromium)
        assert chromium.find_element(By.ID, "snapshot").get_attribute("href").startswith(f"{url}snapshot.jpg?view=color&token=")
        server.headers = {"Authorization": f"Bearer {token}"}
        server.wait_for(lambda state: state["viewers"] == 1)
        chromium.get("about:blank")
        assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
        assert token not in server.stderr


@contextmanager
def proxied(server: Server, prefix: str, cut: threading.Event | None = None, hold: threading.Event | None = None) -> Iterator[str]:
    """A small proxy that serves the server's paths below a prefix, and nothing elsewhere.

    While ``cut`` is set it lets no stream through, and while ``hold`` is set it reads nothing of them.
    """

    def is_set(event: threading.Event | None, path: str) -> bool:
        return event is not None and event.is_set() and "/stream.mjpg" in path

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(prefix + "/"):
                self.send_error(404)
                return
            if is_set(cut, self.path):
                self.send_error(502)
                return
            connection = server.connect()
            try:
                connection.request("GET", self.path.removeprefix(prefix), headers={"User-Agent": self.headers["User-Agent"]})
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                while data := answer.read1(65536):
                    self.wfile.write(data)
                    if is_set(cut, self.path):
                        break
                    while is_set(hold, self.path):
                        time.sleep(0.02)
            except (OSError, HTTPException):
                pass  # the browser or the server went
            finally:
                connection.close()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}{prefix}/"
        finally:
            proxy.shutdown()
            thread.join(5)


def test_a_dead_server_is_seen_and_the_picture_comes_back(chromium: webdriver.Chrome) -> None:
    with started(DEMO) as server:
        chromium.get(server.url)
        wait_live(chromium)
        first = shot(chromium)
        assert first.std() > 20
        wait_for(chromium, lambda: np.abs(shot(chromium) - first).mean() > 0.5, "the picture does not move")
        server.process.kill()
        wait_for(chromium, lambda: chromium.find_element(By.ID, "lost").is_displayed(), "a dead picture looks live", 8)
        assert "Last good frame" in chromium.find_element(By.ID, "why").text
        port = server.port
    with started([*DEMO, "--http", f"127.0.0.1:{port}"]) as server:
        server.wait_for(lambda state: state["state"] == "live")
        wait_for(chromium, lambda: not chromium.find_element(By.ID, "lost").is_displayed(), "the picture did not come back")
        server.wait_for(lambda state: state["views"]["color"]["watchers"] == 1)
        wait_live(chromium)
        time_before = server.state()["views"]["color"]["encoded"]
        server.wait_for(lambda state: state["views"]["color"]["encoded"] > time_before)


def test_a_stream_that_is_cut_alone_is_seen_and_the_picture_comes_back(chromium: webdriver.Chrome, still: Server) -> None:
    def shown(name: str) -> bool:
        return bool(chromium.find_element(By.ID, name).is_displayed())

    cut = threading.Event()
    with proxied(still, "/cut", cut) as url:
        chromium.get(url)
        wait_live(chromium)
        assert not shown("lost")
        cut.set()
        wait_for(chromium, lambda: shown("lost"), "a picture that has stopped looks live", 6)
        assert chromium.find_element(By.ID, "state").text != "live" and still.state()["state"] == "live"
        cut.clear()
        wait_for(chromium, lambda: not shown("lost"), "the picture did not come back", 6)
        wait_live(chromium)
        assert still.state()["viewers"] == 1
        chromium.get("about:blank")


def test_a_picture_that_does_not_get_through_does_not_look_live(chromium: webdriver.Chrome) -> None:
    impatient = "from edgecolor.sinks.http import server\nserver._LATE_S = 1.0\n" + STILL
    stuck = threading.Event()
    with started(script(impatient)) as server, proxied(server, "/stuck", hold=stuck) as url:
        chromium.get(url)
        wait_live(chromium)
        stuck.set()
        wait_for(chromium, lambda: chromium.find_element(By.ID, "lost").is_displayed(), "an old picture looks live", 20)
        assert "get through" in chromium.find_element(By.ID, "why").text and server.state()["viewers"] == 1
        stuck.clear()
        wait_for(chromium, lambda: not chromium.find_element(By.ID, "lost").is_displayed(), "the picture did not come back", 6)
        chromium.get("about:blank")
