"""The networks: an EfficientNet-Lite encoder with a light decoder (``edgecolor``), and the seed network (``seed``).

Both take x = L* / 50 - 1, shape (N, S, S, 1), and give (a*, b*) in CIELAB units at a quarter of the side,
(N, S/4, S/4, 2). Only operators that are cheap in int8 on XNNPACK are used: every ReLU6 directly follows a
convolution (so that it fuses), upsampling is bilinear, heads are linear.

Sources: Tan and Le 2019 (EfficientNet, arXiv:1905.11946) and its Lite variants (ReLU6, no squeeze-excite);
Zhang, Isola and Efros 2016 (arXiv:1603.08511) for the classification head beside the regression head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from convert.pretrained import published_weights
from edgecolor.errors import ConfigError, ModelError

# (repeats, kernel, stride, expansion, channels) of EfficientNet-B0's stages, which the Lite variants share.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
_LITE_SCALING = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # width, depth
_TAP_STAGES = (1, 2, 4, 6)  # the last stages at strides 4, 8, 16 and 32
BN_EPSILON = 1e-3


@dataclass(frozen=True)
class EncoderForm:
    """Which published encoder, and what of it is left.

    lite: 0, 1 or 2. kept: for each of its seven stages the share of the channels between expansion and projection. repeats: how
    many blocks of each stage; a stage with none is left out, and only the last ones may be.
    """

    lite: int = 0
    kept: tuple[float, ...] = (1.0,) * 7
    repeats: tuple[int, ...] = (99,) * 7

    def __post_init__(self) -> None:
        used = [repeats > 0 for repeats in self.repeats]
        if len(self.kept) != len(_STAGES) or len(used) != len(_STAGES) or not all(0 < share <= 1 for share in self.kept):
            raise ConfigError(f"kept and repeats: one of each for the {len(_STAGES)} stages, and shares above 0, at most 1")
        if self.kept[0] != 1 or not all(used[:-1]) or min(self.repeats) < 0:
            raise ConfigError("the stem's channels are kept (kept[0] is 1), and only the last stage may be left out (repeats 0)")

    @property
    def whole(self) -> bool:
        """Whether it is the published one as it is."""
        return set(self.kept) == {1.0} and all(
            repeats >= _depth(stage, self.lite) for stage, repeats in enumerate(self.repeats)
        )


@dataclass(frozen=True)
class DecoderWidths:
    """Channels of the decoder at strides 16 (and 32), 8 and 4, and separable blocks at each of them.

    hidden: channels between the last block and the ``ab`` head; 0: the head is linear in the block's.
    """

    channels: tuple[int, int, int] = (160, 96, 64)
    blocks: tuple[int, int, int] = (2, 1, 2)
    hidden: int = 0


def _round_channels(channels: int, width: float) -> int:
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=BN_EPSILON, name=name)(x)


def _inverted_residual(x: Any, index: int, kernel: int, stride: int, expanded: int, channels: int) -> Any:
    """MBConv without squeeze-excite; parameters are named block{index}_{expand,depthwise,project}_{conv,bn}.

    expanded: channels between expansion and projection; 0: there is no expansion.
    """
    name, y = f"block{index}", x
    if expanded:
        y = layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}_expand_conv")(y)
        y = layers.ReLU(6.0, name=f"{name}_expand_relu")(_norm(y, f"{name}_expand_bn"))
    y = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(y)
    y = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(_norm(y, f"{name}_depthwise_bn"))
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = _norm(y, f"{name}_project_bn")
    return layers.Add(name=f"{name}_add")([x, y]) if stride == 1 and x.shape[-1] == channels else y


def _depth(stage: int, lite: int) -> int:
    """Blocks of a published stage; the Lite variants do not deepen the first and last one."""
    repeats = _STAGES[stage][0]
    return repeats if stage in (0, len(_STAGES) - 1) else math.ceil(repeats * _LITE_SCALING[lite][1])


def encoder_taps(x: Any, form: EncoderForm) -> list[Any]:
    """Apply an EfficientNet-Lite encoder to a tensor; returns its outputs at strides 4, 8, 16 and 32.

    Blocks are numbered as in the published one, also where some of them are left out.
    """
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.ReLU(6.0, name="stem_relu")(_norm(x, "stem_bn"))
    return _stages(x, form, 0)


def _stages(x: Any, form: EncoderForm, first: int) -> list[Any]:
    """Apply an encoder's stages from number ``first`` on; returns the outputs of those that are taps."""
    taps, index = [], sum(_depth(stage, form.lite) for stage in range(first))
    for stage, (_, kernel, stride, expansion, channels) in list(enumerate(_STAGES))[first:]:
        depth = _depth(stage, form.lite)
        for repeat in range(min(depth, form.repeats[stage])):
            expanded = 0 if expansion == 1 else max(8, round(x.shape[-1] * expansion * form.kept[stage] / 8) * 8)
            width = _round_channels(channels, _LITE_SCALING[form.lite][0])
            x = _inverted_residual(x, index + repeat, kernel, stride if repeat == 0 else 1, expanded, width)
        index += depth
        if stage in _TAP_STAGES:
            taps.append(x)
    return taps


def stage_blocks(lite: int) -> list[list[int]]:
    """The numbers of the blocks of each stage of a published encoder."""
    ends = np.cumsum([_depth(stage, lite) for stage in range(len(_STAGES))])
    return [list(range(end - _depth(stage, lite), end)) for stage, end in enumerate(ends.tolist())]


def encoder_block(layer_name: str) -> int | None:
    """Which block of the encoder a layer belongs to: -1 for the stem, None for layers outside the encoder."""
    head = layer_name.split("_")[0]
    if head == "stem":
        return -1
    return int(head.removeprefix("block")) if head.startswith("block") else None


def bare_encoder(form: EncoderForm, size: int | None = None) -> keras.Model:
    """An encoder whose weights are to be set: (N, S, S, 1), x = L*/50 - 1 -> features at strides 4, 8, 16 and 32."""
    x = keras.Input((size, size, 1), name="lightness")
    return keras.Model(x, encoder_taps(x, form), name="encoder")


def build_encoder(lite: int = 0, size: int | None = None) -> keras.Model:
    """Encoder with published weights: (N, S, S, 1), x = L*/50 - 1 -> features at strides 4, 8, 16 and 32.

    The stem kernel is summed over its three inputs: a gray picture has R = G = B.
    """
    encoder = bare_encoder(EncoderForm(lite), size)
    load_published(encoder, published_weights(lite), gray=True)
    return encoder


def _classify(deepest: Any) -> Any:
    """Features at stride 32 -> logits of the 1000 ImageNet classes."""
    y = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(deepest)
    y = layers.ReLU(6.0, name="head_relu")(_norm(y, "head_bn"))
    return layers.Dense(1000, name="classes")(layers.GlobalAveragePooling2D(name="pool")(y))


def _published_rgb(lite: int, size: int | None, outputs: Callable[[list[Any]], list[Any]]) -> keras.Model:
    x = keras.Input((size, size, 3), name="rgb")
    model = keras.Model(x, outputs(encoder_taps(x, EncoderForm(lite))), name=f"lite{lite}_rgb")
    load_published(model, published_weights(lite), gray=False)
    model.trainable = False
    return model


def build_beholder(lite: int, size: int | None = None) -> keras.Model:
    """The published classifier, seen into: (N, S, S, 3), x = RGB/127.5 - 1 -> features at strides 4, 8, 16, 32, and 1000 logits."""
    return _published_rgb(lite, size, lambda taps: [*taps, _classify(taps[-1])])


def build_classifier(lite: int = 0, size: int | None = None) -> keras.Model:
    """The published ImageNet classifier: (N, S, S, 3), x = RGB/127.5 - 1 -> [pooled 320 features, 1000 logits].

    The 320 features (mean over space of the last stage) are those of the Frechet distance that this project reports.
    """
    pool = layers.GlobalAveragePooling2D(name="features")
    return _published_rgb(lite, size, lambda taps: [pool(taps[-1]), _classify(taps[-1])])


def _published_names(layer_name: str) -> tuple[str, str]:
    """Our layer's name -> the prefix of its published parameters, and its kind (conv, depthwise, bn or dense)."""
    fixed = {"stem_conv": ("_conv_stem", "conv"), "stem_bn": ("_bn0", "bn"), "head_conv": ("_conv_head", "conv"),
             "head_bn": ("_bn1", "bn"), "classes": ("_fc", "dense")}
    if layer_name in fixed:
        return fixed[layer_name]
    block, part, kind = layer_name.split("_")
    prefix = f"_blocks.{block.removeprefix('block')}."
    if kind == "bn":
        return prefix + {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part], "bn"
    return f"{prefix}_{part}_conv", "depthwise" if part == "depthwise" else "conv"


def load_published(model: keras.Model, state: dict[str, np.ndarray[Any, Any]], gray: bool) -> None:
    """Copy published parameters into every encoder and classifier layer of ``model``, by name.

    Raises ModelError when a shape differs, or when a published block is not in the model.
    """
    used = set()
    for layer in model.layers:
        if not layer.weights:
            continue
        prefix, kind = _published_names(layer.name)
        if kind == "bn":
            parts = [state[f"{prefix}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")]
        elif kind == "dense":
            parts = [state[f"{prefix}.weight"].T, state[f"{prefix}.bias"]]
        else:
            kernel = state[f"{prefix}.weight"].transpose((2, 3, 0, 1) if kind == "depthwise" else (2, 3, 1, 0))
            if layer.name == "stem_conv" and gray:
                kernel = kernel.sum(axis=2, keepdims=True)
            parts = [kernel]
        if [p.shape for p in parts] != [tuple(w.shape) for w in layer.weights]:
            raise ModelError(f"published {prefix} has shapes {[p.shape for p in parts]}, layer {layer.name} wants others")
        layer.set_weights(parts)
        used.add(prefix.rsplit("._", 1)[0] if prefix.startswith("_blocks") else prefix)
    blocks = {".".join(name.split(".")[:2]) for name in state if name.startswith("_blocks")}
    if missing := blocks - used:
        raise ModelError(f"published blocks without a place in {model.name}: {sorted(missing)}")


def _separable(x: Any, channels: int, name: str) -> Any:
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(_norm(x, f"{name}_depthwise_bn"))
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_point_conv")(x)
    return layers.ReLU(6.0, name=f"{name}_point_relu")(_norm(x, f"{name}_point_bn"))


def decoder_features(taps: Sequence[Any], widths: DecoderWidths) -> Any:
    """Taps at strides 4, 8, 16, 32 -> features at stride 4. Skips are 1x1 convolutions joined by addition."""
    x = layers.Conv2D(widths.channels[0], 1, name="lateral32")(taps[3])
    for stride, channels, blocks, tap in zip((16, 8, 4), widths.channels, widths.blocks, taps[2::-1], strict=True):
        if x.shape[-1] != channels:
            x = layers.Conv2D(channels, 1, name=f"narrow{stride}")(x)
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"up{stride}")(x)
        x = layers.Add(name=f"join{stride}")([x, layers.Conv2D(channels, 1, name=f"lateral{stride}")(tap)])
        for block in range(blocks):
            x = _separable(x, channels, f"decode{stride}_{block}")
    return x


def _heads(features: Any, bins: int, widths: DecoderWidths) -> dict[str, Any]:
    seen = layers.Conv2D(widths.hidden, 1, activation="relu6", name="ab_hidden")(features) if widths.hidden else features
    return {"ab": layers.Conv2D(2, 1, name="ab")(seen), "bins": layers.Conv2D(bins, 1, name="bins")(features)}


def build_decoder(tap_shapes: Sequence[tuple[int | None, int | None, int]], bins: int, widths: DecoderWidths) -> keras.Model:
    """Decoder with both heads: taps -> {"ab": (N, h, w, 2) CIELAB units, "bins": (N, h, w, Q) logits}."""
    taps = [keras.Input(shape, name=f"tap{4 << i}") for i, shape in enumerate(tap_shapes)]
    features = decoder_features(taps, widths)
    return keras.Model(taps, _heads(features, bins, widths), name="decoder")


def build_upper(shapes: Sequence[tuple[int | None, int | None, int]], bins: int, form: EncoderForm, widths: DecoderWidths) -> keras.Model:
    """What follows an encoder's taps at strides 4 and 8: its deeper blocks, and the decoder with both heads."""
    taps = [keras.Input(shape, name=f"tap{4 << i}") for i, shape in enumerate(shapes[:2])]
    features = decoder_features([*taps, *_stages(taps[1], form, _TAP_STAGES[1] + 1)], widths)
    return keras.Model(taps, _heads(features, bins, widths), name="upper")


def build_edgecolor(
    size: int | None, bins: int, form: EncoderForm = EncoderForm(), widths: DecoderWidths = DecoderWidths()
) -> keras.Model:
    """The whole network with both heads. The export keeps the ``ab`` head only (see convert.export)."""
    x = keras.Input((size, size, 1), name="lightness")
    features = decoder_features(encoder_taps(x, form), widths)
    return keras.Model(x, _heads(features, bins, widths), name="edgecolor")


def build_seed(size: int | None = None) -> keras.Model:
    """The seed network: two convolutions down, two transposed ones back, all ReLU; then ab at a quarter of the side.

    The baseline of every table. Both convolutions have stride 4, both transposed ones stride 2, so that the output is
    on the same grid (a quarter of the side) as every other network's.
    """
    x = keras.Input((size, size, 1), name="lightness")
    y = layers.Conv2D(32, 5, 4, padding="same", activation="relu", name="conv1")(x)
    y = layers.Conv2D(64, 3, 4, padding="same", activation="relu", name="conv2")(y)
    y = layers.Conv2DTranspose(32, 4, 2, padding="same", activation="relu", name="deconv1")(y)
    y = layers.Conv2DTranspose(16, 4, 2, padding="same", activation="relu", name="deconv2")(y)
    return keras.Model(x, {"ab": layers.Conv2D(2, 1, name="ab")(y)}, name="seed")


def with_input_size(trained: keras.Model, size: tuple[int, int]) -> keras.Model:
    """An empty copy of a trained network, whatever its kind and widths, whose input has a fixed (height, width)."""
    x = keras.Input((*size, 1), name="lightness")
    return keras.models.clone_model(trained, input_tensors=x)
