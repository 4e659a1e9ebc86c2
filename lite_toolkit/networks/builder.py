"""ModelSpec -> keras.Model: stem, blocks, head."""

import math
import zlib
from collections.abc import Sequence
from typing import Any, Literal

from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.networks.architectures import MINIMUM_INPUT_SIZE, BlockSpec, ModelSpec, Padding
from lite_toolkit.networks.backend import gelu_new, keras

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
        activation: "softmax" gives probabilities, of one class by a sigmoid; "none" logits.
        pooling: without a classifier, pool the last feature map to (batch, spec.head_filters).
        input_shape: (height, width, spec.channels), each side at least 32 pixels or None; the spec's resolution by
            default.
        input_tensor: a Keras tensor (batch, height, width, channels) to build upon, instead of `input_shape`.
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
    x = _rescale(inputs, include_rescaling, spec)
    x = network.convolve(x, "stem_conv", "stem_bn", spec.stem_filters, 3, 2, spec.padding)
    x = network.activate(x, "stem_activation")
    for block in spec.blocks:
        x = network.block(x, block)
    x = network.convolve(x, "top_conv", "top_bn", spec.head_filters, 1, 1)
    x = network.activate(x, "top_activation")
    if classes is not None:
        x = network.classify(x, classes, activation)
    elif pooling:
        x = network.pool(x)
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
        projected = f"{block.name}_project_{'activation' if spec.projection_activation else 'bn'}"
        latest = f"{block.name}_add" if block.skip else projected
        maps[block.name] = maps[f"stage{block.stage}"] = latest
    return maps | {f"P{level}": "top_activation", "top": "top_activation"}


def features(model: keras.Model, spec: ModelSpec, names: Sequence[str]) -> keras.Model:
    """`model` with what is named as its outputs, in a dict of (batch, height, width, channels) tensors.

    Args:
        model: what `build` made of `spec`; the weights are shared with the result.
        names: keys of `endpoints`; or Hugging Face's "last_hidden_state", which is the top, "hidden_states", a list of
            the stem and every block, "pooled" or "pooler_output", (batch, channels), and "logits", (batch, classes), of
            a model that is built with them.

    Raises:
        LiteToolkitError: a name that the network does not have.
    """
    maps, pooled = endpoints(spec), _POOLED[spec.pooling]
    hidden = [maps[name] for name in ("stem", *(block.name for block in spec.blocks))]
    theirs = {"pooled": pooled, "last_hidden_state": maps["top"], "pooler_output": pooled, "logits": "predictions"}
    outputs = {layer.name: layer.output for layer in model.layers if not _is_probability(layer)}
    present: dict[str, Any] = {name: outputs[layer] for name, layer in (maps | theirs).items() if layer in outputs}
    present["hidden_states"] = [outputs[layer] for layer in hidden]
    for name in names:
        if name not in present:
            raise LiteToolkitError(f"no feature map {name!r} in {spec.name}: choose from {', '.join(present)}")
    return keras.Model(model.input, {name: present[name] for name in names})


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean loss that Hugging Face's classifiers give for labels.

    Args:
        logits: (batch, classes), as a model built with `activation="none"` gives them.
        labels: whole numbers (batch,) are classes, and the loss is the cross-entropy; numbers (batch, classes) are 0 to
            1 of each class, and the loss is the binary cross-entropy of each. For one class they are what is to be
            predicted, and the loss is the squared error.

    Raises:
        LiteToolkitError: a label that is no class, or labels of another shape.
    """
    logits, labels = keras.ops.convert_to_tensor(logits), keras.ops.convert_to_tensor(labels)
    classes = logits.shape[-1]
    if classes == 1:
        return keras.ops.mean(keras.ops.square(_as_many(labels, logits, (-1,)) - keras.ops.reshape(logits, (-1,))))
    if not keras.backend.is_int_dtype(labels.dtype):
        targets = _as_many(labels, logits, (-1, classes))
        return keras.ops.mean(keras.losses.binary_crossentropy(targets, logits, from_logits=True))
    numbers = keras.ops.convert_to_numpy(labels).reshape(-1)
    for number in numbers:
        if not 0 <= number < classes:
            raise LiteToolkitError(f"label {number}: must be from 0 to {classes - 1}")
    if len(numbers) != logits.shape[0]:
        raise LiteToolkitError(f"{len(numbers)} labels for {logits.shape[0]} images: must be one of each")
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(numbers, logits, from_logits=True))


def _as_many(labels: Tensor, logits: Tensor, shape: tuple[int, ...]) -> Tensor:
    if math.prod(labels.shape) != math.prod(logits.shape):
        raise LiteToolkitError(f"labels of shape {tuple(labels.shape)}: must be as many as logits, {logits.shape}")
    return keras.ops.cast(keras.ops.reshape(labels, shape), logits.dtype)


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
            expand = f"{name}_expand_conv", f"{name}_expand_bn", block.expanded, kernel, stride
            x = self.convolve(x, *expand, block.padding)
            x = self.activate(x, f"{name}_expand_activation")
        if not fused:
            depthwise = f"{name}_dwconv", f"{name}_bn", None, block.kernel, block.stride
            x = self.convolve(x, *depthwise, block.padding)
            x = self.activate(x, f"{name}_activation")
        if block.squeezed:
            x = self.squeeze_and_excite(x, block)
        x = self.convolve(x, f"{name}_project_conv", f"{name}_project_bn", block.outputs, 1, 1)
        if self.spec.projection_activation:
            x = self.activate(x, f"{name}_project_activation", self.spec.projection_activation)
        return self.add(x, shortcut, block) if block.skip else x

    def convolve(
        self, x: Tensor, name: str, norm: str, filters: int | None, kernel: int, stride: int, padding: Padding = "same"
    ) -> Tensor:
        """A convolution without bias, depthwise where `filters` is None, and its batch normalisation."""
        margins = kernel // 2 - (padding == "trailing"), kernel // 2
        # At stride 1 TensorFlow's SAME is symmetric, too.
        same = padding == "same" or stride == 1 or all(margins == _same(side, kernel) for side in x.shape[1:3])
        if not same:
            x = _padded(x, margins, f"{name}_pad")
        shared = {"strides": stride, "padding": "same" if same else "valid", "use_bias": False, "name": name}
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
            gate = self.activate(gate, f"{layer}_activation", "sigmoid" if role == "expand" else None)
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
        x = self.pool(x)
        if self.spec.dropout:
            x = keras.layers.Dropout(self.spec.dropout, name="top_dropout")(x)
        # The softmax of one score is 1: the probability of one of two classes is the sigmoid.
        final = None if activation == "none" else "sigmoid" if classes == 1 else activation
        # The TPU repository draws from +-1/sqrt(classes), made for 1000 of them: of two classes, logits would be far
        # apart before anything is learnt. From the number of inputs, the same width serves any number of classes.
        initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=self.seed_of("predictions"))
        return keras.layers.Dense(classes, activation=final, kernel_initializer=initializer, name="predictions")(x)

    def pool(self, x: Tensor) -> Tensor:
        """The last feature map as (batch, channels)."""
        layer = keras.layers.GlobalMaxPooling2D if self.spec.pooling == "max" else keras.layers.GlobalAveragePooling2D
        return layer(name=_POOLED[self.spec.pooling])(x)

    def activate(self, x: Tensor, name: str, function: str | None = None) -> Tensor:
        """A nonlinearity, by default the network's."""
        function = function or self.spec.activation
        return keras.layers.Activation(_FUNCTIONS.get(function, function), name=name)(x)

    def initializer(self, name: str) -> keras.initializers.Initializer:
        """He's fan-out rule for convolutions, as the TPU repository has it."""
        return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal", seed=self.seed_of(name))

    def seed_of(self, name: str) -> int:
        """Of the weights of one layer, so that no layer shifts another's."""
        return zlib.crc32(f"{self.seed}/{name}".encode())


def _inputs(spec: ModelSpec, shape: InputShape | None, tensor: Tensor | None) -> Tensor:
    if shape is not None and tensor is not None:
        raise LiteToolkitError("input_shape and input_tensor exclude each other")
    default = spec.resolution, spec.resolution, spec.channels
    shape = shape or default if tensor is None else tuple(tensor.shape[1:])
    if len(shape) != 3 or shape[2] != spec.channels:
        raise LiteToolkitError(f"input shape {shape}: must be (height, width, {spec.channels})")
    if any(side is not None and side < MINIMUM_INPUT_SIZE for side in shape[:2]):
        raise LiteToolkitError(f"input shape {shape}: each side must be at least {MINIMUM_INPUT_SIZE} pixels")
    return keras.Input(shape, name="image") if tensor is None else tensor


def _rescale(x: Tensor, rescaling: bool | PreprocessingSpec, spec: ModelSpec) -> Tensor:
    if rescaling is False:
        return x
    if rescaling is True:
        return keras.layers.Rescaling(1 / 255, name="rescaling")(x)
    if spec.channels != 3:
        raise LiteToolkitError(f"include_rescaling of three channels for an input of {spec.channels}: must be a bool")
    scale = [1 / std for std in rescaling.std]
    offset = [-mean / std for mean, std in zip(rescaling.mean, rescaling.std, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="rescaling")(x)


def _padded(x: Tensor, margins: tuple[int, int], name: str) -> Tensor:
    """With zeros before and behind both sides, or without the first pixel where a margin is -1."""
    if min(margins) < 0:
        return keras.layers.Cropping2D(((1, 0), (1, 0)), name=name)(x)
    return keras.layers.ZeroPadding2D((margins, margins), name=name)(x)


def _same(side: int | None, kernel: int) -> tuple[int, int] | None:
    """The margins that SAME gives a side of a map at stride 2; None where the side is not known."""
    if side is None:
        return None
    total = max(kernel - 2 + side % 2, 0)
    return total // 2, total - total // 2


def _is_probability(layer: Any) -> bool:
    """Whether a layer is a classifier that gives probabilities."""
    return layer.name == "predictions" and layer.activation is not keras.activations.linear


_FUNCTIONS = {"gelu_new": gelu_new}
_POOLED = {"mean": "avg_pool", "max": "max_pool"}
