"""What a view shows of a frame, what is marked and labelled, and which frames a view takes at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import simplejpeg

from edgecolor.frame import Frame
from edgecolor.provenance import mark
from edgecolor.sinks.http.views import Encoder, View, is_due

XMP = mark(None, "test")
MARK = b"algorithmicallyEnhanced"


def frame(origin: str = "guess", color: bool = True) -> Frame:
    y = np.full((96, 160), 120, np.uint8)
    chroma = (np.full((48, 80), 90, np.uint8), np.full((48, 80), 180, np.uint8)) if color else (None, None)
    return Frame(y, *chroma, origin=origin)


def picture(jpeg: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(jpeg).astype(int)


@pytest.mark.parametrize(("origin", "view", "marked"), [
    ("guess", "color", True), ("guess", "split", True), ("guess", "gray", False),
    ("camera", "color", False), ("camera", "split", False), ("placeholder", "color", False), ("placeholder", "gray", False),
])  # fmt: skip
def test_guessed_colour_is_marked_and_labelled_and_nothing_else_is(origin: str, view: str, marked: bool) -> None:
    still = Encoder(XMP, "bottom-right", 90).encode(frame(origin), view)
    assert still.jpeg.count(MARK) == marked
    shown = picture(still.jpeg)
    assert (np.ptp(shown[-10:, -60:], axis=(0, 1)).max() > 100) == marked, "a label is where it should not be, or is missing"
    spread = np.ptp(shown[:60].mean(axis=0), axis=1)  # (W,): how far red, green and blue are apart
    assert (spread[:70].min() > 100) == (view == "color") and (spread[90:].min() > 100) == (view != "gray")


@pytest.mark.parametrize(("label", "rows", "columns"), [
    ("top-left", slice(0, 10), slice(0, 60)), ("top-right", slice(0, 10), slice(-60, None)),
    ("bottom-left", slice(-10, None), slice(0, 60)), ("bottom-right", slice(-10, None), slice(-60, None)),
])  # fmt: skip
def test_the_label_is_in_the_corner_that_was_chosen(label: str, rows: slice, columns: slice) -> None:
    plain = picture(Encoder(XMP, "off", 90).encode(frame(), "color").jpeg)
    changed = np.abs(picture(Encoder(XMP, label, 90).encode(frame(), "color").jpeg) - plain) > 40
    inside = changed[rows, columns].copy()
    changed[rows, columns] = False
    assert inside.any() and not np.delete(changed, [*range(20), *range(76, 96)], axis=0).any()
    assert inside.sum() > changed.sum() / 2, "it is elsewhere"
    assert np.ptp(plain, axis=(0, 1)).max() < 8, "without a label nothing is written"


def test_quality_is_what_was_asked_for() -> None:
    noise = replace(frame(), y=np.random.default_rng(1).integers(0, 256, (96, 160), np.uint8))
    small, large = (len(Encoder(XMP, "off", quality).encode(noise, "color").jpeg) for quality in (30, 95))
    assert small * 2 < large


def test_a_part_tells_length_and_origin_and_ends_with_the_next_ones_begin() -> None:
    still = Encoder(XMP, "off", 80).encode(replace(frame("camera"), sequence=7, pts=1.5), "color")
    head, _, rest = still.part.partition(b"\r\n\r\n")
    length = f"Content-Length: {len(still.jpeg)}"
    assert head.decode().split("\r\n") == [length, "X-Sequence: 7", "X-Pts: 1.500000", "X-EdgeColor-Origin: camera"]
    assert rest == still.jpeg + b"\r\n--edgecolor-frame\r\nContent-Type: image/jpeg\r\n"
    assert still.part_chromium == rest + b"\r\n"


def test_a_flash_of_gray_from_before_the_first_viewer_is_not_shown_but_a_gray_feed_is() -> None:
    view = View("color")
    early = frame("camera", color=False)
    assert not is_due(view, early), "nobody watches"
    with view.watched():
        assert not is_due(view, early) and is_due(view, frame("camera"))
        assert is_due(view, frame("camera", color=False)), "made while colour was wanted: there is none"
        assert is_due(view, replace(early, cb=frame().cb, cr=frame().cr))
    gray = View("gray")
    with gray.watched():
        assert is_due(gray, early)


def test_nothing_old_is_kept_when_the_last_watcher_leaves() -> None:
    view = View("color")
    with view.watched():
        with view.watched():
            view.publish(Encoder(XMP, "off", 80).encode(frame(), "color"))
        assert view.newest is not None
    assert view.newest is None and view.encoded == 1
