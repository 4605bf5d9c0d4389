from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convert.__main__ import main
from convert.documents import Document
from convert.pale import palest_window


def test_the_palest_window_is_found_where_it_is() -> None:
    rgb = np.full((160, 320, 3), (200, 60, 60), np.uint8)
    rgb[16:160, 144:288] = 128
    window, chroma = palest_window(rgb)  # type: ignore[misc]
    assert window.shape == (128, 128, 3) and np.all(window == 128) and chroma == pytest.approx(0, abs=0.01)
    assert palest_window(rgb[:100]) is None


def test_documents_are_gray_and_differ() -> None:
    pages = [Document(number).read() for number in range(2)]
    assert all(page.shape == (256, 256, 3) and np.ptp(page.astype(int), axis=2).max() == 0 for page in pages)
    assert all(page.std() > 20 for page in pages) and not np.array_equal(*pages)
    np.testing.assert_array_equal(Document(1).read(), pages[1])
    assert not np.array_equal(Document(1, seed=2).read(), pages[1])


def test_the_command_writes_windows_and_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rgb = np.full((140, 140, 3), 180, np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(rgb).save(tmp_path / "in" / "fog.png")
    assert main(["pale", "--data", str(tmp_path / "in"), "--documents", "2", "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["document-000000.png", "document-000001.png", "fog.png"]
    assert "3 pictures" in capsys.readouterr().out
    assert main(["pale", "--data", str(tmp_path / "in"), "--documents", "1", "-o", str(tmp_path / "out")]) == 2
    assert "has pictures already" in capsys.readouterr().err and len(list((tmp_path / "out").iterdir())) == 3


def test_pictures_of_one_name_are_all_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, name, tone in (("a", "fog.png", 180), ("a", "fog.bmp", 120), ("b", "fog.png", 60), ("b", "document-000000.png", 90)):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.full((140, 140, 3), tone, np.uint8)).save(tmp_path / folder / name)
    folders = ["--data", str(tmp_path / "a"), "--data", str(tmp_path / "b")]
    assert main(["pale", *folders, "--documents", "1", "-o", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["document-000000.png", "document-000000_2.png", "fog.png", "fog_2.png", "fog_3.png"]
    assert "5 pictures" in capsys.readouterr().out


def test_a_folder_without_pale_places_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.full((140, 140, 3), (220, 40, 40), np.uint8)).save(tmp_path / "red.png")
    assert main(["pale", "--data", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "without colour" in capsys.readouterr().err
