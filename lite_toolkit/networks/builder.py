"""ModelSpec -> keras.Model: stem, blocks, head."""

import zlib
from collections.abc import Sequence
from typing import Any, Literal

from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.networks.architectures import MINIMUM_INPUT_SIZE, BlockSpec, ModelSpec
from lite_toolkit.networks.backend import keras

Tensor = Any  # Keras ships no types

InputShape = tuple[int | None, int | None, int]


def build(
    spec: ModelSpec,
    *,
    classes: int | None = 1000,
    activation: Literal["softmax", "none"] = "softmax",
    pooling: bool = False,
    input_shape: InputShape | None = None,
    input_tensor: Tensor | None = None,
    include_rescaling: bool | PreprocessingSpec = False,
    seed: int = 0,
) -> keras.Model:
    """The network of `spec` with seeded random weights.

    Args:
        spec: what to build; its padding and epsilon must be those of the weights that will be loaded.
        classes: outputs of the classifier; None builds the network without it.
        activation: "softmax" gives probabilities, "none" logits.
        pooling: without a classifier, average the last feature map to (batch, spec.head_filters).
        input_shape: (height, width, 3), each side at least 32 pixels or None; the spec's resolution by default.
        input_tensor: a Keras tensor (batch, height, width, 3) to build upon, instead of `input_shape`.
        include_rescaling: False takes normalised float32 input; a PreprocessingSpec takes pixels in 0..255 and applies
            its mean and std; True divides pixels by 255, as KerasCV's backbones do.
        seed: of the initial weights; equal seeds give equal weights.

    Returns:
        A functional model. Its layers have the stable names of `ModelSpec.layers`; `endpoints` names the others.

    Raises:
        LiteToolkitError: a shape, class count or activation that the network cannot have.
    """
    network = _Network(spec, seed)
    inputs = _inputs(spec, input_shape, input_tensor)
    x = _rescale(inputs, include_rescaling)
    x = network.convolve(x, "stem_conv", "stem_bn", spec.stem_filters, 3, 2)
    x = network.activate(x, "stem_activation")
    for block in spec.blocks:
        x = network.block(x, block)
    x = network.convolve(x, "top_conv", "top_bn", spec.head_filters, 1, 1)
    x = network.activate(x, "top_activation")
    if classes is not None:
        x = network.classify(x, classes, activation)
    elif pooling:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, x, name=spec.name)


def endpoints(spec: ModelSpec) -> dict[str, str]:
    """Names of feature maps -> names of the layers that compute them.

    "stem"; every block ("block2a", ...), which are Hugging Face's `hidden_states` after the stem; every stage
    ("stage1", ...), the last of its blocks; "top"; and "P1", "P2", ... as KerasCV's pyramid levels: the last map of
    each stride 2, 4, ..., of which the coarsest is the top.
    """
    maps = {"stem": "stem_activation"}
    level, latest = 1, "stem_activation"
    for block in spec.blocks:
        if block.stride == 2:
            maps[f"P{level}"] = latest
            level += 1
        latest = f"{block.name}_add" if block.skip else f"{block.name}_project_bn"
        maps[block.name] = maps[f"stage{block.stage}"] = latest
    return maps | {f"P{level}": "top_activation", "top": "top_activation"}


def features(model: keras.Model, spec: ModelSpec, names: Sequence[str]) -> keras.Model:
    """`model` with the named feature maps as its outputs, in a dict of (batch, height, width, channels) tensors.

    Args:
        model: what `build` made of `spec`; the weights are shared with the result.
        names: keys of `endpoints`, or "pooled" for the (batch, channels) average where the model has it.

    Raises:
        LiteToolkitError: a name that the network does not have.
    """
    layers = endpoints(spec) | {"pooled": "avg_pool"}
    present = {layer.name for layer in model.layers}
    for name in names:
        if layers.get(name) not in present:
            known = [key for key, layer in layers.items() if layer in present]
            raise LiteToolkitError(f"no feature map {name!r} in {spec.name}: choose from {', '.join(known)}")
    return keras.Model(model.input, {name: model.get_layer(layers[name]).output for name in names})


class _Network:
    """The layers of one network: what they share is its spec and the seed."""

    def __init__(self, spec: ModelSpec, seed: int) -> None:
        self.spec = spec
        self.seed = seed

    def block(self, x: Tensor, block: BlockSpec) -> Tensor:
        """An inverted residual: expand, depthwise, squeeze-and-excite, project, add; fused blocks expand k x k."""
        name, shortcut, fused = block.name, x, block.operator == "fused"
        if block.expands:
            kernel, stride = (block.kernel, block.stride) if fused else (1, 1)
            x = self.convolve(x, f"{name}_expand_conv", f"{name}_expand_bn", block.expanded, kernel, stride)
            x = self.activate(x, f"{name}_expand_activation")
        if not fused:
            x = self.convolve(x, f"{name}_dwconv", f"{name}_bn", None, block.kernel, block.stride)
            x = self.activate(x, f"{name}_activation")
        if block.squeezed:
            x = self.squeeze_and_excite(x, block)
        x = self.convolve(x, f"{name}_project_conv", f"{name}_project_bn", block.outputs, 1, 1)
        return self.add(x, shortcut, block) if block.skip else x

    def convolve(self, x: Tensor, name: str, norm: str, filters: int | None, kernel: int, stride: int) -> Tensor:
        """A convolution without bias, depthwise where `filters` is None, and its batch normalisation."""
        padding = "same"
        if self.spec.padding == "symmetric" and stride > 1:  # at stride 1 TensorFlow's SAME is symmetric too
            x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
            padding = "valid"
        shared = {"strides": stride, "padding": padding, "use_bias": False, "name": name}
        if filters is None:
            initializer = self.initializer(name)
            x = keras.layers.DepthwiseConv2D(kernel, depthwise_initializer=initializer, **shared)(x)
        else:
            x = keras.layers.Conv2D(filters, kernel, kernel_initializer=self.initializer(name), **shared)(x)
        normalise = keras.layers.BatchNormalization(epsilon=self.spec.epsilon, momentum=self.spec.momentum, name=norm)
        return normalise(x)

    def squeeze_and_excite(self, x: Tensor, block: BlockSpec) -> Tensor:
        """Scale each channel by a gate computed from the averages of all."""
        name = block.name
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_squeeze")(x)
        for role, filters in (("reduce", block.squeezed), ("expand", block.expanded)):
            layer = f"{name}_se_{role}"
            gate = keras.layers.Conv2D(filters, 1, kernel_initializer=self.initializer(layer), name=layer)(gate)
            nonlinearity = self.spec.activation if role == "reduce" else "sigmoid"
            gate = keras.layers.Activation(nonlinearity, name=f"{layer}_activation")(gate)
        return keras.layers.Multiply(name=f"{name}_se_excite")([x, gate])

    def add(self, x: Tensor, shortcut: Tensor, block: BlockSpec) -> Tensor:
        """The residual connection, with stochastic depth while training."""
        if block.drop_connect:
            drop = keras.layers.Dropout(block.drop_connect, noise_shape=(None, 1, 1, 1), name=f"{block.name}_drop")
            x = drop(x)
        return keras.layers.Add(name=f"{block.name}_add")([x, shortcut])

    def classify(self, x: Tensor, classes: int, activation: str) -> Tensor:
        """Average, dropout and a dense layer."""
        if classes < 1:
            raise LiteToolkitError(f"classes {classes!r}: must be at least 1")
        if activation not in ("softmax", "none"):
            raise LiteToolkitError(f"activation {activation!r}: must be 'softmax' or 'none'")
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        if self.spec.dropout:
            x = keras.layers.Dropout(self.spec.dropout, name="top_dropout")(x)
        final = None if activation == "none" else activation
        # The TPU repository draws from +-1/sqrt(classes), made for 1000 of them: of two classes, logits would be far
        # apart before anything is learnt. From the number of inputs, the same width serves any number of classes.
        initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=self.seed_of("predictions"))
        return keras.layers.Dense(classes, activation=final, kernel_initializer=initializer, name="predictions")(x)

    def activate(self, x: Tensor, name: str) -> Tensor:
        """The network's nonlinearity."""
        return keras.layers.Activation(self.spec.activation, name=name)(x)

    def initializer(self, name: str) -> keras.initializers.Initializer:
        """He's fan-out rule for convolutions, as the TPU repository has it."""
        return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal", seed=self.seed_of(name))

    def seed_of(self, name: str) -> int:
        """Of the weights of one layer, so that no layer shifts another's."""
        return zlib.crc32(f"{self.seed}/{name}".encode())


def _inputs(spec: ModelSpec, shape: InputShape | None, tensor: Tensor | None) -> Tensor:
    if shape is not None and tensor is not None:
        raise LiteToolkitError("input_shape and input_tensor exclude each other")
    shape = shape or (spec.resolution, spec.resolution, 3) if tensor is None else tuple(tensor.shape[1:])
    if len(shape) != 3 or shape[2] != 3:
        raise LiteToolkitError(f"input shape {shape}: must be (height, width, 3)")
    if any(side is not None and side < MINIMUM_INPUT_SIZE for side in shape[:2]):
        raise LiteToolkitError(f"input shape {shape}: each side must be at least {MINIMUM_INPUT_SIZE} pixels")
    return keras.Input(shape, name="image") if tensor is None else tensor


def _rescale(x: Tensor, rescaling: bool | PreprocessingSpec) -> Tensor:
    if rescaling is False:
        return x
    if rescaling is True:
        return keras.layers.Rescaling(1 / 255, name="rescaling")(x)
    scale = [1 / std for std in rescaling.std]
    offset = [-mean / std for mean, std in zip(rescaling.mean, rescaling.std, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="rescaling")(x)
