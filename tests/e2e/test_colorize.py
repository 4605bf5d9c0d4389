"""``edgecolor colorize`` as a real process over real files."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from edgecolor.archive.manifest import MANIFEST_NAME
from edgecolor.containers import inspect
from edgecolor.sources.images import decode_picture, open_picture
from tests import samples

ROOT = Path(__file__).parents[2]
MEGABYTE = 1 << 20
# The peak of the process itself: getrusage also counts what the parent was before exec.
MEASURED = (
    "import sys; from edgecolor.cli import main; code = main(sys.argv[1:]); "
    "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]); sys.exit(code)"
)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edgecolor", "colorize", *map(str, arguments), "--threads", "1"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def colorize(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment(), timeout=300, check=False, **options)
    assert "Traceback" not in done.stderr
    return done


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("edgecolor colorize: ")]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir() and p.name != MANIFEST_NAME)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with gray pictures, one in colour, a folder in it, and a note."""
    folder = tmp_path / "album"
    (folder / "1950" / "summer").mkdir(parents=True)
    sound = samples.good()
    (folder / "a.jpg").write_bytes(sound["gray.jpg"])
    (folder / "1950" / "b.png").write_bytes(sound["deep.png"])
    (folder / "1950" / "summer" / "c.webp").write_bytes(sound["lossy.webp"])
    (folder / "colour.png").write_bytes(samples.pillow(samples.color(shape=(90, 120)), "PNG"))
    (folder / "note.txt").write_text("who is who")
    return folder


def test_one_file_to_one_file_prints_where_it_is(tmp_path, data):
    out = tmp_path / "new" / "out.jpg"
    done = colorize(data / "gray.jpg", "-o", out)
    assert (done.returncode, done.stdout, complaints(done)) == (0, f"{out}\n", [])
    before, after = open_picture(data / "gray.jpg"), open_picture(out)
    assert before.sample is None and after.sample is not None
    # The luma plane is the input's: what JPEG makes of it alone, it makes of it here.
    alone = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg_yuv_planes(before.luma, None, None, 95), colorspace="GRAY")[..., 0]
    assert np.array_equal(after.luma, alone)
    assert after.header.metadata.xmp is not None and b"algorithmicallyEnhanced" in after.header.metadata.xmp
    assert files(tmp_path) == ["new/out.jpg"]


def test_a_folder_keeps_its_structure(album, tmp_path):
    out = tmp_path / "out"
    done = colorize(album, "-o", out)
    assert (done.returncode, done.stdout) == (0, "3 colorized, 1 already in colour (copied), 1 other file skipped\n")
    assert files(out) == ["1950/b.png", "1950/summer/c.webp", "a.jpg", "colour.png"]
    assert (out / "colour.png").read_bytes() == (album / "colour.png").read_bytes()
    assert open_picture(out / "1950" / "b.png").luma.dtype == np.uint16
    assert np.array_equal(open_picture(out / "1950" / "b.png").luma, samples.gray(np.uint16))


def test_format_and_force(album, tmp_path):
    done = colorize(album, "-o", tmp_path / "out", "--format", "tiff")
    assert (done.returncode, done.stdout) == (0, "3 colorized, 1 already in colour (copied), 1 other file skipped\n")
    assert files(tmp_path / "out") == ["1950/b.tif", "1950/summer/c.tif", "a.tif", "colour.tif"]
    with Image.open(tmp_path / "out" / "colour.tif") as kept:
        assert np.array_equal(np.asarray(kept), samples.color(shape=(90, 120)))
    done = colorize(album / "colour.png", "-o", tmp_path / "forced.png", "--force")
    assert done.returncode == 0
    luma = np.asarray(Image.open(tmp_path / "forced.png")).astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(luma - samples.color(shape=(90, 120)).astype(float) @ [0.299, 0.587, 0.114]).max() <= 1.001  # rounded twice


def test_a_colour_picture_alone_is_copied_and_said_so(album, tmp_path):
    done = colorize(album / "colour.png", "-o", tmp_path / "x.png")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'x.png'}\n")
    assert "already in colour, left as it is; --force" in done.stderr
    assert (tmp_path / "x.png").read_bytes() == (album / "colour.png").read_bytes()


def test_existing_outputs_are_kept_without_overwrite(album, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").write_bytes(b"mine")
    done = colorize(album, "-o", tmp_path / "out")
    assert (done.returncode, done.stdout.split(",")[-2]) == (1, " 1 failed")
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"mine"
    assert len(complaints(done)) == 1 and f"{album / 'a.jpg'}: {tmp_path / 'out' / 'a.jpg'} exists already; --overwrite" in done.stderr
    assert len(files(tmp_path / "out")) == 4
    done = colorize(album, "-o", tmp_path / "out", "--overwrite")
    assert done.returncode == 0
    assert inspect((tmp_path / "out" / "a.jpg").read_bytes()).width == samples.WIDTH


def test_an_input_is_never_overwritten(album, tmp_path):
    before = {name: (album / name).read_bytes() for name in files(album)}
    assert colorize(album / "a.jpg", "-o", album / "a.jpg", "--overwrite").returncode == 1
    assert colorize(album, "-o", album, "--overwrite").returncode == 1
    (tmp_path / "hard.jpg").hardlink_to(album / "a.jpg")
    (tmp_path / "soft.jpg").symlink_to(album / "a.jpg")
    for link in ("hard.jpg", "soft.jpg"):
        done = colorize(album / "a.jpg", "-o", tmp_path / link, "--overwrite")
        assert done.returncode == 1 and "one of the inputs, which are never overwritten" in done.stderr
    assert {name: (album / name).read_bytes() for name in files(album)} == before


def test_two_inputs_of_one_output_are_found_before_work(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(samples.good()["gray.png"])
    done = colorize(tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "1 colorized, 1 failed\n")
    first, second, target = (tmp_path / name / "x.png" for name in ("a", "b", "out"))
    assert f"{second}: its output {target} is already that of {first}" in done.stderr


def test_content_decides_not_the_suffix(tmp_path):
    (tmp_path / "x.jpg").write_bytes(samples.good()["gray.png"])
    done = colorize(tmp_path / "x.jpg", "-o", f"{tmp_path}/out/")
    assert (done.returncode, files(tmp_path / "out")) == (0, ["x.png"])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("film.mp4", b"\0\0\0\x18ftypmp42", "film.mp4"),
        ("note.txt", b"text", "not a picture"),
        ("x.jpg", b"", "empty"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    done = colorize(tmp_path / name, "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "0 colorized, 1 failed\n")
    assert len(complaints(done)) == 1 and reason in complaints(done)[0] and str(tmp_path / name) in complaints(done)[0]
    assert files(tmp_path) == [name]


def test_missing_files_pipes_and_loops(album, tmp_path):
    os.mkfifo(album / "pipe.png")
    (album / "1950" / "up").symlink_to(album)
    (album / "round.jpg").symlink_to(album / "round.jpg")
    (album / "folder.jpg").mkdir()
    done = colorize(album, tmp_path / "gone.jpg", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "3 colorized, 1 already in colour (copied), 3 failed, 1 other file skipped\n")
    assert sorted(line.split(": ")[1] for line in complaints(done)) == sorted(
        [str(album / "pipe.png"), str(album / "round.jpg"), str(tmp_path / "gone.jpg")]
    )
    assert files(tmp_path / "out") == ["1950/b.png", "1950/summer/c.webp", "a.jpg", "colour.png"]


def test_a_second_run_into_a_folder_within_the_input_does_not_take_results_for_inputs(album):
    assert colorize(album, "-o", album / "out").returncode == 0
    done = colorize(album, "-o", album / "out", "--overwrite")
    assert (done.returncode, done.stdout.split(",")[0]) == (0, "3 colorized")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "out", "--quality", "0"],
        ["-o", "out", "--quality", "best"],
        ["-o", "out", "--max-megapixels", "-1"],
        ["-o", "x.png", "--format", "jpeg"],
        ["-o", "x.gif"],
        [],
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(tmp_path, arguments):
    (tmp_path / "a.jpg").write_bytes(samples.good()["gray.jpg"])
    done = colorize("a.jpg", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and done.stderr
    assert files(tmp_path) == ["a.jpg"]


def test_several_inputs_to_one_file_is_wrong_usage(tmp_path):
    (tmp_path / "out.jpg").write_bytes(b"mine")
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(samples.good()["gray.jpg"])
    done = colorize(tmp_path / "a.jpg", tmp_path / "b.jpg", "-o", tmp_path / "out.jpg", "--overwrite")
    assert done.returncode == 2 and "must be a folder" in done.stderr
    assert (tmp_path / "out.jpg").read_bytes() == b"mine"


def test_a_missing_model_stops_before_work(tmp_path, data):
    done = colorize(data / "gray.jpg", "-o", tmp_path / "x.jpg", "--model", "nowhere.tflite")
    assert done.returncode == 1 and "nowhere.tflite: no such model file" in done.stderr
    assert files(tmp_path) == []


def test_quiet_says_nothing_but_failures(album, tmp_path):
    (album / "broken.jpg").write_bytes(b"x")
    done = colorize(album, "-o", tmp_path / "out", "--quiet")
    assert (done.returncode, done.stdout, len(complaints(done))) == (1, "", 1)


def test_names_that_a_terminal_should_not_see_raw(tmp_path):
    name = os.fsdecode(b"bad\x1b[31m\xff\n.jpg")
    (tmp_path / name).write_bytes(samples.good()["gray.jpg"])
    done = colorize(tmp_path / name, "-o", tmp_path / "out")
    assert done.returncode == 0 and (tmp_path / "out" / name).is_file()
    assert "\x1b" not in done.stdout and done.stdout.count("\n") == 1
    (tmp_path / name).write_bytes(b"x")
    done = colorize(tmp_path / name, "-o", tmp_path / "out2")
    assert done.returncode == 1 and len(complaints(done)) == 1 and "\x1b" not in done.stderr


def test_a_full_or_forbidden_folder_is_named(album, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    done = colorize(album / "a.jpg", "-o", tmp_path / "file" / "x.jpg")
    assert done.returncode == 1 and len(complaints(done)) == 1
    assert str(tmp_path / "file" / "x.jpg") in done.stderr and str(album / "a.jpg") in done.stderr


def test_progress_is_drawn_on_a_terminal_only(album, tmp_path):
    main, terminal = pty.openpty()
    with subprocess.Popen(
        command(album, "-o", tmp_path / "out"), stdout=subprocess.PIPE, stderr=terminal, env=environment(), text=True
    ) as process:
        os.close(terminal)
        drawn = b""
        try:
            while piece := os.read(main, 4096):
                drawn += piece
        except OSError:  # how Linux says that the other end has closed
            pass
        finally:
            os.close(main)
        assert process.stdout is not None and process.stdout.read().startswith("3 colorized")
    assert b"0/4" in drawn and b"3/4" in drawn and b"#" in drawn
    assert b"/4" not in colorize(album, "-o", tmp_path / "out2").stderr.encode()


def test_two_hundred_malformed_pictures_in_one_run(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    damaged = dict(samples.malformed())
    count = len(damaged)
    for name, content in damaged.items():
        (folder / name).write_bytes(content)
    (folder / "sound.jpg").write_bytes(samples.good()["gray.jpg"])
    assert count >= 200 and len(files(folder)) == count + 1
    done = colorize(folder, "-o", out)
    assert done.returncode == 1
    warned = [line for line in complaints(done) if line.endswith("a BMP has no place for the mark of guessed colour; --format png has")]
    failed = [line for line in complaints(done) if line not in warned]
    assert len(failed) >= 150
    written = files(out)
    assert len(written) == count + 1 - len(failed) and "sound.jpg" in written
    for name in written:
        with Image.open(out / name) as witness:
            witness.load()
        decode_picture((out / name).read_bytes())
    assert len(warned) == sum(name.endswith(".bmp") for name in written)
    other = [line for line in done.stderr.splitlines() if line not in (*failed, *warned) and not line.startswith("INFO: ")]
    assert other == []


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_memory_of_a_12_megapixel_picture(tmp_path, suffix):
    large = samples.gray(shape=(3000, 4000))
    (tmp_path / f"x.{suffix}").write_bytes(samples.pillow(large, "JPEG" if suffix == "jpg" else "PNG"))
    arguments = ["colorize", tmp_path / f"x.{suffix}", "-o", tmp_path / f"y.{suffix}", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)], capture_output=True, text=True, env=environment(), timeout=300, check=True
    )
    peak = int(done.stdout.splitlines()[-1]) * 1024
    print(f"peak {peak / MEGABYTE:.0f} MiB")
    assert inspect((tmp_path / f"y.{suffix}").read_bytes()).width == 4000
    assert peak < 600 * MEGABYTE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_no_parts(tmp_path, data, number, code):
    folder = tmp_path / "in"
    folder.mkdir()
    for picture in range(300):
        shutil.copy(data / "gray.jpg", folder / f"{picture}.jpg")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

    def listen() -> None:  # a shell's background jobs, and so perhaps this test, are born deaf to SIGINT
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(command(folder, "-o", tmp_path / "out"), env=environment(), preexec_fn=listen, **pipes) as process:
        end = time.monotonic() + 60
        while not list((tmp_path / "out").glob("[0-9]*.jpg")) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code and b"Traceback" not in errors
    written = files(tmp_path / "out")
    assert 0 < len(written) < 300
    for name in written:
        decode_picture((tmp_path / "out" / name).read_bytes())
