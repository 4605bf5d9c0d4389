from __future__ import annotations

import numpy as np
import pytest

from edgecolor.frame import Frame
from edgecolor.monochrome import THRESHOLD, FeedWatch, feed_share, is_monochrome, outlier_share
from edgecolor.sources.images import decode_picture, open_picture
from tests import samples

SHAPE = (120, 160)


def neutral():
    return np.full(SHAPE, 128, np.uint8)


def test_gray_has_no_outliers():
    assert outlier_share(samples.gray(shape=SHAPE), neutral(), neutral()) == 0
    assert is_monochrome(None)
    assert is_monochrome(Frame(samples.gray()))


def test_sensor_noise_in_chroma_stays_gray():
    noise = np.random.default_rng(0).normal(128, 1.5, (2, *SHAPE)).round().astype(np.uint8)
    assert is_monochrome((samples.gray(shape=SHAPE), *noise))


@pytest.mark.parametrize("tint", [(40, -30), (-25, 18), (0, 60)])
def test_a_tint_that_follows_luma_is_gray(tint):
    luma = samples.gray(shape=SHAPE)
    strength = 1 - np.abs(luma / 127.5 - 1)  # as in a toned print: none in black and white, most in the middle
    cb, cr = (np.clip(128 + t * strength, 0, 255).astype(np.uint8) for t in tint)
    assert np.ptp(cr) + np.ptp(cb) > 30
    assert is_monochrome((luma, cb, cr))


def test_sepia_is_gray_where_its_channels_clip_too(data):
    matrix = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])  # CSS filter effects: sepia
    for path in sorted((data / "pictures").glob("*.jpg")):
        picture = open_picture(path)
        assert not is_monochrome(picture.sample), path.name
        sepia = np.clip(np.dstack([picture.luma] * 3) @ matrix.T, 0, 255).round().astype(np.uint8)
        toned = decode_picture(samples.pillow(sepia, "JPEG", quality=90))
        assert np.ptp(toned.sample[2]) > 15, "not toned"
        assert is_monochrome(toned.sample), path.name
    assert is_monochrome(open_picture(data / "gray.jpg").sample)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 9)])
def test_the_smallest_pictures(shape):
    luma = np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    assert is_monochrome((luma, np.full(shape, 90, np.uint8), np.full(shape, 150, np.uint8)))
    if luma.size > 50:
        cb = np.where(luma % 2, 90, 160).astype(np.uint8)
        assert not is_monochrome((luma, cb, cb))


@pytest.mark.parametrize(("share", "gray"), [(0.014, True), (0.05, False)])
def test_the_threshold_lies_between_on_screen_text_and_weak_colour(share, gray):
    luma, cb = samples.gray(shape=SHAPE), neutral()
    cb.ravel()[np.random.default_rng(0).permutation(cb.size)[: round(cb.size * share)]] = 60
    assert outlier_share(luma, cb, neutral()) == pytest.approx(share, abs=0.004)
    assert is_monochrome((luma, cb, neutral())) is gray


def test_weakly_saturated_halves_are_colour():
    cb, cr = neutral(), neutral()
    cb[:, 80:], cr[:, 80:] = 118, 138
    luma = np.tile(samples.gray(shape=(120, 80)), 2)
    assert outlier_share(luma, cb, cr) > 10 * THRESHOLD


def test_frames_are_judged_on_their_chroma_grid_and_16_bits_by_the_upper_8():
    luma = samples.gray(np.uint16)
    half = ((samples.HEIGHT + 1) // 2, (samples.WIDTH + 1) // 2)
    plain = np.full(half, 32768, np.uint16)
    assert is_monochrome(Frame(luma, plain, plain + 300))
    varied = plain.copy()
    varied[: half[0] // 2] = 45000
    assert not is_monochrome(Frame(luma, plain, varied))


# --- A live feed


def colored(share: float, time: float, shape=(360, 640)) -> Frame:
    """A frame of which this share has colour; the rest is noise around gray."""
    luma = samples.gray(shape=shape)
    half = (shape[0] // 2, shape[1] // 2)
    dice = np.random.default_rng(round(time * 1000))
    cb, cr = dice.normal(128, 1.0, (2, *half)).round().astype(np.uint8)
    cb[dice.random(half) < share] = 90
    return Frame(luma, cb, cr, captured=time)


@pytest.mark.parametrize("rate", [5, 25, 100])
@pytest.mark.parametrize(("before", "after", "verdict"), [(0.3, 0.0, "gray"), (0.0, 0.3, "color")])
def test_a_feed_turns_within_a_second_at_any_rate_but_not_at_once(rate, before, after, verdict):
    watch = FeedWatch()
    for n in range(rate):
        first = watch.see(colored(before, n / rate))
    assert first != verdict
    seen = [watch.see(colored(after, 1 + n / rate)) for n in range(2 * rate)]
    turn = seen.index(verdict)
    assert 0.4 * rate <= turn <= rate
    assert set(seen[:turn]) == {first} and set(seen[turn:]) == {verdict}


def test_a_feed_near_the_threshold_does_not_flap():
    for start in (0.0, 0.3):
        watch = FeedWatch()
        first = watch.see(colored(start, 0.0))
        for n in range(100):
            assert watch.see(colored(0.035 if n % 2 else 0.025, 1 + n / 10)) == first


def test_a_flash_of_colour_turns_nothing():
    watch = FeedWatch()
    for n in range(60):
        assert watch.see(colored(0.5 if n % 10 in (3, 4, 5) else 0.0, n / 10)) == "gray"


def test_a_frame_without_chroma_is_gray_at_once():
    watch = FeedWatch()
    assert watch.feed is None
    assert watch.see(colored(0.5, 0.0)) == "color"
    assert watch.see(Frame(samples.gray(), captured=0.01)) == "gray"
    assert watch.see(colored(0.5, 0.02)) == "gray"


@pytest.mark.parametrize("shape", [(2, 2), (33, 47), (720, 1280)])
def test_the_share_of_a_feed_is_that_of_the_picture(shape):
    rng = np.random.default_rng(2)
    half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    luma, cb = samples.gray(shape=shape), np.where(rng.random(half) < 0.2, 80, 128).astype(np.uint8)
    frame = Frame(luma, cb, np.full(half, 128, np.uint8))
    assert feed_share(frame) == pytest.approx(outlier_share(luma[::2, ::2], cb, frame.cr), abs=0.02)


def test_sepia_feeds_are_gray(data):
    for path in sorted((data / "pictures").glob("*.jpg")):
        luma = open_picture(path).luma[:240, :320]
        luma = luma[: luma.shape[0] // 2 * 2, : luma.shape[1] // 2 * 2]
        tone = (luma[::2, ::2].astype(int) - 128) // 6
        frame = Frame(luma, (120 - tone).astype(np.uint8), (138 + tone).astype(np.uint8), captured=0.0)
        assert FeedWatch().see(frame) == "gray", path.name
