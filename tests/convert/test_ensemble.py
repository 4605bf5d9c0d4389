"""Several networks that speak as one."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.ensemble import join_files, join_networks
from convert.losses import Teacher
from convert.network import DecoderWidths, EncoderForm, build_edgecolor, build_seed, with_input_size
from convert.norms import folded
from convert.weights import copy_weights, load_network, save_network, write_centers
from edgecolor.errors import ConfigError, ModelError


def network(seed: int, hidden: int = 0, bins: int = 4) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return build_edgecolor(None, bins, EncoderForm(), DecoderWidths((16, 16, 8), (1, 1, 1), hidden))


def saved(folder: Path, given: keras.Model, centers: np.ndarray | None, gain: float = 1.0) -> Path:
    folder.mkdir()
    recipe = {"data": {}, "network": {}, "bins": {}, "decoding": {"doubt": 2.0, "gain": gain}}
    (folder / "config.json").write_text(json.dumps(recipe))
    if centers is not None:
        write_centers(folder / "bins.npy", centers)
    return save_network(given, folder / "weights.keras")


def test_an_ensemble_gives_the_mean_of_what_its_networks_show(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 32, 1)).astype(np.float32)
    members = [network(1), network(2, hidden=12)]
    one, other = (member.predict_on_batch(x) for member in members)
    centers = np.zeros((4, 2), np.float32)
    paths = [saved(tmp_path / "one", members[0], centers), saved(tmp_path / "other", members[1], centers, gain=3.0)]
    joined, recipe, its_centers = join_files(paths)
    assert (its_centers == centers).all()
    assert recipe["ensemble"] == [str(path) for path in paths]
    assert recipe["decoding"] == {"doubt": 2.0, "gain": 1.0}, "the gain is in the network already"
    again = load_network(save_network(joined, tmp_path / "joined.keras"))
    fixed = with_input_size(again, (64, 32))
    copy_weights(again, fixed)
    ab, bins = (one["ab"] + 3 * other["ab"]) / 2, (one["bins"] + other["bins"]) / 2
    assert np.ptp(ab) > 0 and np.ptp(bins) > 0
    for form in (joined, again, fixed, folded(again)):
        said = form.predict_on_batch(x)
        np.testing.assert_allclose(said["ab"], ab, atol=1e-4 * float(np.ptp(ab)))
        np.testing.assert_allclose(said["bins"], bins, atol=1e-4 * float(np.ptp(bins)))
    np.testing.assert_allclose(Teacher(again, centers)(x)[0], ab, atol=1e-4 * float(np.ptp(ab)))
    unchanged = members[1].predict_on_batch(x)["ab"]
    np.testing.assert_array_equal(unchanged, other["ab"])


def test_one_network_alone_is_an_ensemble_of_itself() -> None:
    x, alone = np.zeros((1, 32, 32, 1), np.float32), network(3)
    said, expected = join_networks([alone]).predict_on_batch(x), alone.predict_on_batch(x)
    np.testing.assert_allclose(said["ab"], expected["ab"], rtol=1e-4, atol=1e-5)


def test_networks_that_can_not_speak_as_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no network to join"):
        join_networks([])
    with pytest.raises(ModelError, match="they have 4, 6 bins"):
        join_networks([network(1), network(1, bins=6)])
    with pytest.raises(ModelError, match="they have no bins"):
        join_networks([build_seed()])
    one = saved(tmp_path / "one", network(1), np.zeros((4, 2)))
    other = saved(tmp_path / "other", network(2), np.ones((4, 2)))
    seed = saved(tmp_path / "seed", build_seed(), None)
    for paths, wrong in (([one, other], other), ([one, seed], seed), ([seed], seed)):
        with pytest.raises(ConfigError, match=f"{wrong} has no bins, or others than {paths[0]}"):
            join_files(paths)
