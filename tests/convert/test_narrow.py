"""Narrowing an encoder: what is left says what the whole one said, without training."""

import keras
import numpy as np
import pytest

from convert.augment import network_input
from convert.config import BinsConfig, StageConfig
from convert.dataset import list_pictures, luma_of, resize
from convert.losses import ColorModel, Teacher, make_bins
from convert.narrow import narrow
from convert.network import DecoderWidths, EncoderForm, build_edgecolor, build_encoder, encoder_block, stage_blocks
from edgecolor.errors import ConfigError
from tests.conftest import DATA

THIN = DecoderWidths((16, 16, 8), (1, 1, 1))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    files = list_pictures(DATA / "pictures")
    return np.asarray(network_input(np.stack([luma_of(resize(file.read(), (64, 64))) for file in files])))


def taps(network: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    return keras.Model(network.input, [network.get_layer(f"lateral{4 << i}").input for i in range(4)]).predict_on_batch(x)


def explained(narrowed: np.ndarray, whole: np.ndarray) -> float:
    return float(1 - ((narrowed - whole) ** 2).sum() / ((whole - whole.mean((0, 1, 2))) ** 2).sum())


def narrowed(form: EncoderForm, x: np.ndarray) -> keras.Model:
    network = build_edgecolor(None, 8, form, THIN)
    narrow(build_encoder(), network, form, x)
    return network


def test_with_all_channels_it_is_the_same_network(pictures: np.ndarray) -> None:
    for mine, whole in zip(taps(narrowed(EncoderForm(), pictures), pictures), build_encoder().predict_on_batch(pictures), strict=True):
        assert explained(np.asarray(mine), np.asarray(whole)) > 0.999


def test_with_half_of_the_channels_it_says_most_of_it(pictures: np.ndarray) -> None:
    form = EncoderForm(0, (1, 0.5, 0.5, 0.5, 0.5, 0.5, 1), (1, 2, 2, 3, 2, 3, 0))
    network = narrowed(form, pictures)
    published = build_encoder()
    mine, whole = taps(network, pictures), published.predict_on_batch(pictures)
    shares = [explained(np.asarray(a), np.asarray(b)) for a, b in zip(mine[:3], whole[:3], strict=True)]
    assert min(shares) > 0.6, shares
    chosen_by_number = build_edgecolor(None, 8, form, THIN)  # the first channels, weights as they were
    for layer in chosen_by_number.layers:
        if layer.weights and encoder_block(layer.name) is not None:
            theirs = published.get_layer(layer.name).get_weights()
            layer.set_weights([w[tuple(slice(0, n) for n in v.shape)] for w, v in zip(theirs, layer.weights, strict=True)])
    plain = [explained(np.asarray(a), np.asarray(b)) for a, b in zip(taps(chosen_by_number, pictures)[:3], whole[:3], strict=True)]
    assert all(a > b + 0.2 for a, b in zip(shares, plain, strict=True)), (shares, plain)
    assert {encoder_block(layer.name) for layer in network.layers} - {None, -1} == {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13}


@pytest.mark.parametrize(
    ("kept", "repeats"),
    [((0.5, *(1.0,) * 6), (99,) * 7), ((1.0,) * 6, (99,) * 7), ((*(1.0,) * 6, 0.0), (99,) * 7), ((1.0,) * 7, (1, 0, 2, 3, 3, 4, 1)),
     ((1.0,) * 7, (1, 2, 2, 3, 3, 4, -1))],
)  # fmt: skip
def test_forms_that_can_not_be_are_refused(kept: tuple[float, ...], repeats: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError):
        EncoderForm(0, kept, repeats)


def test_blocks_are_numbered_as_published() -> None:
    assert [len(blocks) for blocks in stage_blocks(0)] == [1, 2, 2, 3, 3, 4, 1]
    assert [block for blocks in stage_blocks(2) for block in blocks] == list(range(21))


def learnt(taught: float, labelled: float) -> np.ndarray:
    """The colour that a student ends at: the truth is red, the teacher says blue."""
    keras.utils.set_random_seed(1)
    said = np.float32([0, -60])
    x = keras.Input((16, 16, 1))
    small = keras.layers.AveragePooling2D(4)(x)

    def head(count: int, bias: np.ndarray | None) -> object:
        layer = keras.layers.Conv2D(count, 1, kernel_initializer="zeros")
        y = layer(small)
        if bias is not None:
            layer.set_weights([layer.get_weights()[0], bias])
        return y

    bins = make_bins(np.random.default_rng(0).uniform(-80, 80, (2000, 2)), np.float32([[60, 0], [0, -60], [0, 0]]), BinsConfig(3, 2))
    teacher = Teacher(keras.Model(x, {"ab": head(2, said), "bins": head(3, np.float32([0, 9, 0]))}), bins.centers)
    student = keras.Model(x, {"ab": head(2, None), "bins": head(3, None)})
    model = ColorModel(student.inputs, student.output)
    model.set_loss(StageConfig("taught", "whole", 1, annealed_share=0.0, teacher="one", taught=taught), bins, 0.38, None, teacher)
    model.compile(keras.optimizers.Adam(1.0))
    targets = {
        "ab": np.tile(np.float32([60, 0]), (2, 4, 4, 1)), "pixels": np.tile(np.arange(16, dtype=np.int32), (2, 1)),
        "labelled": np.full(2, labelled, np.float32),
    }  # fmt: skip
    for _ in range(300):
        model.train_on_batch(np.zeros((2, 16, 16, 1), np.float32), targets)
    assert len(model.trainable_variables) == 4
    return np.asarray(student.predict_on_batch(np.zeros((1, 16, 16, 1), np.float32))["ab"])[0, 0, 0]


def test_a_teacher_draws_as_much_as_it_should_and_alone_where_there_is_no_truth() -> None:
    np.testing.assert_allclose(learnt(0.0, 1.0), [60, 0], atol=3)
    np.testing.assert_allclose(learnt(1.0, 1.0), [0, -60], atol=3)
    np.testing.assert_allclose(learnt(0.0, 0.0), [0, -60], atol=3)
    np.testing.assert_allclose(learnt(0.5, 1.0), [30, -30], atol=4)


def test_a_teacher_says_less_of_what_it_doubts() -> None:
    x = keras.Input((4, 4, 1))
    ab, bins = (keras.layers.Conv2D(count, 1, kernel_initializer="zeros", bias_initializer="ones") for count in (2, 2))
    network = keras.Model(x, {"ab": ab(x), "bins": bins(x)})
    centers = np.float32([[40, 0], [0, 40]])  # as likely: the mean is (20, 20), and the variance as large as its square
    for fade, left in ((0.0, 1.0), (0.5, 1 / 1.5), (1.0, 0.5)):
        said = np.asarray(Teacher(network, centers, fade)(np.zeros((1, 4, 4, 1), np.float32))[0])
        np.testing.assert_allclose(said, left, rtol=1e-5)
