from __future__ import annotations

import base64
import errno
import hashlib
import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecolor.comparison import View, find_pairs, page, sheet, views
from edgecolor.errors import ConfigError, PictureError, VideoError
from tests import samples

av = pytest.importorskip("av")
videos = pytest.importorskip("tests.videos")


def view(name: str = "x", value: int = 200, shape: tuple[int, int] = (30, 40)) -> View:
    return View(name, np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), value, np.uint8))


@pytest.fixture
def sides(tmp_path) -> tuple[Path, Path]:
    for name in ("a/1950/x.jpg", "a/only.png", "a/note.txt", "b/1950/x.png", "b/more.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(samples.good()["gray.jpg" if name.endswith("jpg") else "gray.png"])
    return tmp_path / "a", tmp_path / "b"


def test_files_of_the_same_path_belong_together_whatever_their_suffixes(sides):
    a, b = sides
    pairs, alone = find_pairs(a, b)
    assert pairs == [("1950/x", a / "1950/x.jpg", b / "1950/x.png")]
    assert alone == [a / "only.png", b / "more.png"]
    assert find_pairs(a / "only.png", b / "more.png") == ([("only.png", a / "only.png", b / "more.png")], [])


def test_equal_names_come_first_and_nothing_is_dropped(tmp_path):
    names = {
        "a": ("IMG_1.jpg", "IMG_1.mp4", "IMG_2.tif", "IMG_2.mov", "IMG_3.png", "IMG_3.tif", "IMG_4.png", "IMG_4.tif", "IMG_5.png"),
        "b": ("IMG_1.jpg", "IMG_1.mp4", "IMG_2.png", "IMG_2.mkv", "IMG_3.png", "IMG_3.jpg", "IMG_4.jpg", "IMG_5.mp4"),
    }
    for side, files in names.items():
        (tmp_path / side).mkdir()
        for name in files:
            (tmp_path / side / name).touch()
    a, b = tmp_path / "a", tmp_path / "b"
    pairs, alone = find_pairs(a, b)
    assert [(name, one.name, other.name) for name, one, other in pairs] == [
        ("IMG_1.jpg", "IMG_1.jpg", "IMG_1.jpg"), ("IMG_1.mp4", "IMG_1.mp4", "IMG_1.mp4"), ("IMG_2", "IMG_2.mov", "IMG_2.mkv"),
        ("IMG_2", "IMG_2.tif", "IMG_2.png"), ("IMG_3", "IMG_3.tif", "IMG_3.jpg"), ("IMG_3.png", "IMG_3.png", "IMG_3.png"),
    ]  # fmt: skip
    assert alone == [a / "IMG_4.png", a / "IMG_4.tif", a / "IMG_5.png", b / "IMG_4.jpg", b / "IMG_5.mp4"]


def test_what_the_system_refuses_is_a_typed_error(tmp_path, monkeypatch):
    long = tmp_path / ("n" * 300)
    with pytest.raises(ConfigError, match="nnn: can not be read: File name too long"):
        find_pairs(tmp_path, long)

    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ConfigError, match=r"x\.png: can not be read: Permission denied"):
        find_pairs(tmp_path / "x.png", tmp_path)


def test_what_can_not_be_compared_is_named(sides, tmp_path):
    a, b = sides
    (tmp_path / "empty").mkdir()
    wrong = [(b / "more.png", "not one with the other"), (tmp_path / "gone", "no such"), (tmp_path / "empty", "same name")]
    for other, pattern in wrong:
        with pytest.raises(ConfigError, match=pattern):
            find_pairs(a, other)


def test_pictures_have_the_size_of_a_and_at_most_the_width(tmp_path):
    (tmp_path / "a.png").write_bytes(samples.pillow(samples.gray(np.uint16, (100, 200)), "PNG"))
    (tmp_path / "b.png").write_bytes(samples.pillow(samples.color(shape=(50, 70)), "PNG"))
    (found,) = views("x", tmp_path / "a.png", tmp_path / "b.png", 150, 4)
    assert found.a.shape == found.b.shape == (75, 150, 3)
    assert np.ptp(found.a.astype(int), axis=2).max() == 0 and np.ptp(found.b.astype(int), axis=2).max() > 50
    (same,) = views("x", tmp_path / "a.png", tmp_path / "a.png", 1000, 4)
    assert same.a.shape == (100, 200, 3) and np.array_equal(same.a, same.b)


def test_both_videos_are_seen_at_the_same_moments(tmp_path):
    """Frames of 0.1 s are 20, 21, ... bright, and B's are those of A behind a start that is not zero."""
    frames = videos.numbered(40)
    videos.write(tmp_path / "a.mkv", frames, rate=10)
    videos.write(tmp_path / "b.mkv", videos.numbered(40), rate=10, pts=[5000 + 100 * n for n in range(40)])
    found = list(views("film", tmp_path / "a.mkv", tmp_path / "b.mkv", 100, 4))
    assert [v.name for v in found] == [f"film, {s:.2f} s" for s in (0.5, 1.5, 2.5, 3.5)]
    for side in "ab":
        # Limited range: code 16 is black, 235 is white.
        shades = [round(float(getattr(v, side).mean()) * 219 / 255 + 16) for v in found]
        assert shades == pytest.approx([25, 35, 45, 55], abs=1), side


@pytest.mark.parametrize(("name", "codec"), [("a.mjpeg", "mjpeg"), ("jfif.mjpeg", ""), ("a.m2v", "mpeg2video"), ("a.ts", "libx264")])
def test_moments_are_found_in_raw_streams_and_without_key_frames(tmp_path, monkeypatch, name, codec):
    """Frames of 0.04 s are 20, 21, ... bright. The transport stream has one key frame, at its beginning; in large JFIF files one after
    the other FFmpeg can go to no place at all."""
    monkeypatch.chdir(tmp_path)
    path, full = Path(f"10:30:{name}"), "mjpeg" in name
    if codec:
        flat = [np.full((48, 64), 20 + number, np.uint8) for number in range(100)]
        frames = [videos.plain_frame("yuvj420p" if full else "yuv420p", luma) for luma in flat]
        options = {"bf": "0", "crf": "0"} if codec == "libx264" else {}
        marks = {"color_range": 2 if full else 1, "time_base": Fraction(1, 25)}
        videos.write(tmp_path / name, frames, codec=codec, options=options, **marks).rename(path)
    else:
        grain = np.random.default_rng(1).integers(-15, 16, (96, 128))
        files = [cv2.imencode(".jpg", (20 + number + grain).astype(np.uint8))[1].tobytes() for number in range(100)]
        path.write_bytes(b"".join(files))
    (first, last) = views("film", path, path, 100, 2)
    assert (first.name, last.name) == ("film, 1.00 s", "film, 3.00 s")
    shades = [float(view.a.mean()) if full else float(view.a.mean()) * 219 / 255 + 16 for view in (first, last)]
    assert shades == pytest.approx([45, 95], abs=2)


def test_a_turned_video_is_shown_upright(tmp_path):
    videos.write(tmp_path / "a.mp4", videos.numbered(3, (32, 64)), codec="mpeg4", rotation=90)
    (found,) = views("x", tmp_path / "a.mp4", tmp_path / "a.mp4", 100, 1)
    assert found.a.shape == (64, 32, 3)


def test_what_can_not_be_read_is_named(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    (tmp_path / "a.png").write_bytes(samples.good()["gray.png"])
    with pytest.raises(VideoError, match=r"a\.mp4: can not be read as a video"):
        list(views("x", tmp_path / "a.mp4", tmp_path / "a.mp4", 100, 2))
    with pytest.raises(PictureError, match="one is a picture"):
        list(views("x", tmp_path / "a.png", tmp_path / "a.mp4", 100, 2))


def test_the_page_needs_nothing_from_anywhere_and_its_policy_fits_it():
    text = page("<before>", "after", [view("<i>x</i>\x1b"), view("y")])
    policy = re.search(r'content="(default-src[^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    for tag in ("style", "script"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        assert f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'" in policy
    assert not re.search(r'(?:src|href)="(?!data:)', text) and "http:" not in text and "https:" not in text and " style=" not in text
    assert "&lt;before&gt;" in text and "<i>x" not in text and "\x1b" not in text and "{{" not in text
    pictures = [base64.b64decode(p) for p in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)]
    assert [cv2.imdecode(np.frombuffer(p, np.uint8), cv2.IMREAD_COLOR).mean() for p in pictures] == pytest.approx([0, 200, 0, 200], abs=1)


def test_the_sheet_has_a_left_and_b_right_of_each_pair():
    made = sheet([view(value=200), view(value=100), view(value=50, shape=(60, 40))], 204)
    assert made.shape == (75 + 22 + 150 + 22, 2 * (204 + 4), 3)
    assert [int(made[30, x].mean()) for x in (50, 150, 258, 358)] == [0, 200, 0, 100]
    assert [int(made[97 + 75, x].mean()) for x in (50, 150, 258, 358)] == [0, 50, 0, 0]
    assert made[76:97, :100].max() > 200  # its name
    assert sheet([view()], 204).shape == (97, 208, 3)
