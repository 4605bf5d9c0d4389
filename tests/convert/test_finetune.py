"""Fine-tuning on one camera's footage, as a user runs it, at toy size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import keras
import numpy as np
import pytest

from convert.__main__ import main
from convert.finetune import _config, representative
from convert.footage import Footage, gather
from convert.network import build_edgecolor
from convert.train import Run
from convert.weights import mix_networks, recipe_of
from edgecolor.assets import load_model
from edgecolor.errors import VideoError
from tests.conftest import DATA, ROOT
from tests.convert.conftest import Toy

PICTURES = DATA / "pictures"


def write_video(path: Path, frames: int, colored: bool = True) -> Path:
    """A yard that does not move: green below, blue above, with a gray box that does."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(frames):
            rgb = np.zeros((64, 96, 3), np.uint8)
            rgb[:32], rgb[32:] = ((90, 130, 230), (60, 160, 50)) if colored else ((140,) * 3, (110,) * 3)
            rgb[20:40, number : number + 16] = 128
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode(None))
    return path


def test_footage_is_split_by_time_and_gray_frames_are_left_out(tmp_path: Path) -> None:
    lengths = {"day.mp4": (40, True), "night.mp4": (10, False), "on.mp4": (40, True)}
    videos = [write_video(tmp_path / name, *form) for name, form in lengths.items()]
    footage = gather(videos, tmp_path / "frames", 64, 45)
    places = [sorted(int(p.stem.split("-")[1]) for p in folder.iterdir()) for folder in (footage.train, footage.held)]
    assert max(places[0]) < 60 <= min(places[1]), "the last third of the time is held out"
    assert footage.gray > 0 and footage.gray + sum(footage.frames) == 45 and not any(40 <= place < 50 for place in places[0])
    assert keras.utils.load_img(next(footage.train.iterdir())).size == (64, 64)
    assert keras.utils.load_img(next(footage.held.iterdir())).size == (96, 64)


def test_a_night_teaches_nothing(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="record by day"):
        gather([write_video(tmp_path / "night.mp4", 30, colored=False)], tmp_path / "frames", 64, 30)
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"no\.mp4"):
        gather([tmp_path / "no.mp4"], tmp_path / "frames", 64, 30)


def test_untagged_hd_footage_is_read_as_the_runtime_reads_it(tmp_path: Path) -> None:
    rgb = np.full((720, 960, 3), (200, 40, 40), np.uint8)
    rgb[360:] = 30, 110, 130  # as light as the red: a tint would change with lightness
    with av.open(str(tmp_path / "hd.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "2", "flags": "+qscale"})
        stream.width, stream.height, stream.pix_fmt = 960, 720, "yuv420p"
        for _ in range(24):
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.colorspace = 2  # not said
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    footage = gather([tmp_path / "hd.mp4"], tmp_path / "frames", 64, 24)
    seen = keras.utils.img_to_array(keras.utils.load_img(next(footage.train.iterdir())))
    np.testing.assert_allclose(seen[[16, 48], 32], rgb[[0, -1], 0], atol=4)


def test_footage_that_is_damaged_from_the_start_is_named(tmp_path: Path) -> None:
    video = write_video(tmp_path / "day.mp4", 30)
    with av.open(str(video)) as container:
        first = next(packet for packet in container.demux(video=0) if packet.size)
        place, size = first.pos, first.size
    content = bytearray(video.read_bytes())
    assert place is not None
    content[place : place + size] = bytes(size)
    video.write_bytes(content)
    with pytest.raises(VideoError, match=r"day\.mp4: damaged after 0 frames.*; cut it there"):
        gather([video], tmp_path / "frames", 64, 30)


def test_networks_are_mixed_by_their_weights() -> None:
    one, other = build_edgecolor(64, 4), build_edgecolor(64, 4)
    for a, b, mixed in zip(one.get_weights(), other.get_weights(), mix_networks(one, other, 0.25).get_weights(), strict=True):
        np.testing.assert_allclose(mixed, 0.75 * a + 0.25 * b, rtol=1e-5, atol=1e-7)


def test_general_pictures_and_the_site_say_in_equal_numbers_which_colours_there_are(tmp_path: Path) -> None:
    for folder, count in (("train", 30), ("general", 12)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{folder}-{number:02d}.png").touch()
    footage = Footage(tmp_path / "train", tmp_path / "held", (30, 10), 0)
    for count, each in ((300, 12), (10, 5)):
        sources = [picture.source for picture in representative(footage, tmp_path / "general", count)]
        assert sources == ["train"] * each + ["general"] * each


@pytest.fixture(scope="module")
def base(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy network under its own name, beside its configuration."""
    folder = tmp_path_factory.mktemp("base")
    for name in ("toy.keras", "toy.config.json", "toy.bins.npy"):
        shutil.copy(toy.folder / name, folder / name)
    return folder / "toy.keras"


@pytest.mark.system  # two minutes and more: it trains, scores and exports
def test_a_camera_gets_a_model_of_its_own(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "day.mp4", 40)
    command = ["finetune", "--from", str(base), "--video", str(video), "--minutes", "0.05", "--size", "64", "--data", str(PICTURES),
               "--validation", str(PICTURES), "-o", str(tmp_path / "footage.tflite")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "held-out footage, after" in told and "of the way kept" in told
    model = load_model(tmp_path / "footage.tflite")
    site = model.card["site"]
    assert site["videos"] == ["day.mp4"] and site["frames"][0] > site["frames"][1] > 8
    before, after = (figures["ab_distance"] for figures in site["held_out"])
    assert after < before, "a yard that never changes is learned at once"
    general = [figures["ab_distance"] for figures in site["general"]]
    assert general[1] <= 1.05 * general[0]
    assert model.card["data"]["representative"] % 2 == 0 and not list((tmp_path / "footage.run" / "made").iterdir())
    shutil.copy(base, tmp_path / "other.keras")
    with (tmp_path / "other.keras").open("ab") as stream:
        stream.write(b"\0")
    shutil.copy(base.with_suffix(".config.json"), tmp_path / "other.config.json")
    assert main([*command[:2], str(tmp_path / "other.keras"), *command[3:]]) == 2 and "other from" in capsys.readouterr().err
    write_video(video, 30)
    assert main(command) == 2 and "other videos" in capsys.readouterr().err, "a run of another video must not pass for this one's"
    assert json.loads((tmp_path / "footage.run" / "site.config.json").read_text())["network"]["channels"] == [16, 16, 8]


def test_weights_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "--from", "absent", "--video", str(tmp_path / "day.mp4"), "-o", str(tmp_path / "footage.tflite")]) == 2
    assert "absent" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["200", "192x160"])
def test_sizes_that_no_network_can_have_are_refused_at_once(tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "--video", str(tmp_path / "day.mp4"), "--size", size, "-o", str(tmp_path / "footage.tflite")]) == 2
    assert "a square, a multiple of 32" in capsys.readouterr().err


def test_a_site_model_begins_from_the_small_network_as_it_is(tmp_path: Path) -> None:
    weights = ROOT / "models" / "edgecolor-tiny.keras"
    run = Run(_config(recipe_of(weights), weights, tmp_path, Footage(PICTURES, PICTURES, (4, 4), 0), 64, 0, 1))
    assert run._start() == weights, "it is narrow already, and its decoder is trained"
