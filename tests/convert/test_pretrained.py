"""The mapped encoder is the published network: same pictures, same classes; and an independent forward pass agrees."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from convert.network import BN_EPSILON, build_classifier, build_encoder
from convert.pretrained import published_weights, read_state_dict
from edgecolor.errors import ModelError


@pytest.fixture(scope="module")
def state() -> dict[str, NDArray[np.float32]]:
    return published_weights(0)


def _convolve(x: NDArray[np.float64], kernel: NDArray[np.float32], stride: int, groups: int) -> NDArray[np.float64]:
    """(C, H, W) with an OIHW kernel; TensorFlow's SAME padding, which puts the odd pixel at the end."""
    size = kernel.shape[-1]
    out = -(-x.shape[1] // stride)
    total = max((out - 1) * stride + size - x.shape[1], 0)
    x = np.pad(x, ((0, 0), (total // 2, total - total // 2), (total // 2, total - total // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]
    if groups == 1:
        return np.einsum("chwij,ocij->ohw", windows, kernel, optimize=True)
    return np.einsum("chwij,cij->chw", windows, kernel[:, 0])


def _forward(state: dict[str, NDArray[np.float32]], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """EfficientNet-Lite0 in NumPy, straight from the published names: (3, 224, 224) -> 1000 logits."""

    def norm(y: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + BN_EPSILON)
        return y * scale[:, None, None] + (state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale)[:, None, None]

    def relu6(y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(y, 0, 6)

    x = relu6(norm(_convolve(x, state["_conv_stem.weight"], 2, 1), "_bn0"))
    strides = {1: 2, 3: 2, 5: 2, 11: 2}  # first block of each stage that halves the picture
    for block in range(16):
        name, y = f"_blocks.{block}", x
        if f"{name}._expand_conv.weight" in state:
            y = relu6(norm(_convolve(y, state[f"{name}._expand_conv.weight"], 1, 1), f"{name}._bn0"))
        stride = strides.get(block, 1)
        y = relu6(norm(_convolve(y, state[f"{name}._depthwise_conv.weight"], stride, len(y)), f"{name}._bn1"))
        y = norm(_convolve(y, state[f"{name}._project_conv.weight"], 1, 1), f"{name}._bn2")
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = relu6(norm(_convolve(x, state["_conv_head.weight"], 1, 1), "_bn1"))
    return np.asarray(state["_fc.weight"] @ x.mean((1, 2)) + state["_fc.bias"])


def _picture(data: Path, name: str) -> NDArray[np.float32]:
    rgb = cv2.cvtColor(cv2.imread(str(data / "pictures" / name)), cv2.COLOR_BGR2RGB)
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    square = cv2.resize(rgb[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    return (square / np.float32(127.5) - 1).astype(np.float32)


def test_logits_are_those_of_the_published_network(state: dict[str, NDArray[np.float32]], data: Path) -> None:
    x = _picture(data, "coffee.jpg")
    _, logits = build_classifier(0, 224).predict_on_batch(x[None])
    np.testing.assert_allclose(np.asarray(logits)[0], _forward(state, x.transpose(2, 0, 1).astype(np.float64)), atol=2e-3)


@pytest.mark.parametrize(("name", "classes"), [("chelsea.jpg", {281, 282, 285}), ("coffee.jpg", {967, 968}), ("rocket.jpg", {657, 744})])
def test_the_published_network_knows_these_pictures(data: Path, name: str, classes: set[int]) -> None:
    """ImageNet classes: tabby, tiger cat, Egyptian cat; espresso, cup; missile, projectile."""
    _, logits = build_classifier(0, 224).predict_on_batch(_picture(data, name)[None])
    assert int(np.asarray(logits)[0].argmax()) in classes


def test_the_gray_encoder_sees_a_gray_picture_as_the_classifier_does(data: Path) -> None:
    gray = np.repeat(_picture(data, "chelsea.jpg").mean(-1, keepdims=True), 3, -1)
    features, _ = build_classifier(0, 224).predict_on_batch(gray[None])
    deepest = build_encoder(0, 224).predict_on_batch(gray[None, ..., :1])[3]
    np.testing.assert_allclose(np.asarray(deepest).mean((1, 2)), np.asarray(features), atol=2e-3)


def test_a_hostile_weights_file_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (eval, ("open('owned', 'w')",))

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(ModelError, match="refused"):
        read_state_dict(path)
    path.write_bytes(b"\x80\x02garbage")
    with pytest.raises(ModelError):
        read_state_dict(path)
