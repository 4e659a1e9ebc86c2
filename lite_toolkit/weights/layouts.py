"""Whose names a checkpoint has, and what they are called in Keras.

A canonical name is "<layer>/<variable>", with the layers of `ModelSpec.layers` and the variables that Keras gives them:
kernel and bias, or gamma, beta, moving_mean and moving_variance. A `Layout` gives the path of every layer in someone's
checkpoint, its `Framework` the names of the variables below that path and the order of their axes.

Sources: timm's _efficientnet_blocks.py, transformers' modeling_efficientnet.py, the TPU repository's
efficientnet_model.py (TensorFlow numbers the layers of a scope in the order in which they are called), the
efficientnet.py of keras.applications, and the state dicts of EfficientNet-Lite-PyTorch and EfficientNet-PyTorch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lite_toolkit.errors import WeightsError
from lite_toolkit.networks.architectures import VARIANTS, BlockSpec, LayerSpec, ModelSpec
from lite_toolkit.weights.checkpoints import Checkpoint

Tensors = Mapping[str, npt.NDArray[Any]]
Names = Mapping[str, str]

AVERAGE = "/ExponentialMovingAverage"
SHOWN = 3  # names per complaint


@dataclass(frozen=True)
class MatchedWeights:
    """A checkpoint in Keras' terms.

    Attributes:
        layout: whose names the checkpoint has; a key of `LAYOUTS`.
        variables: canonical name -> float32 array. Kernels are (height, width, inputs, outputs), depthwise ones
            (height, width, channels, 1), dense ones (inputs, outputs); all others (channels,).
        classes: outputs of the classifier; None where the checkpoint has none.
    """

    layout: str
    variables: Mapping[str, npt.NDArray[np.float32]]
    classes: int | None


@dataclass(frozen=True)
class Framework:
    """How a framework stores layers.

    Attributes:
        names: canonical variable -> what follows the layer's path.
        axes: kind of layer -> the permutation that brings its kernel's axes into Keras' order.
    """

    names: Names
    axes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """Someone's paths of layers.

    Attributes:
        framework: that the checkpoint is from.
        ends: canonical layer -> path, of the layers outside the blocks.
        folder: (index in the network, index in its stage, block) -> what the paths of the block's layers begin with.
        roles: block -> canonical layer without the block's name -> the rest of its path.
        normalise: drops what is no weight, and the prefixes and spellings that vary.
    """

    framework: Framework
    ends: Names
    folder: Callable[[int, int, BlockSpec], str]
    roles: Callable[[BlockSpec], Names]
    normalise: Callable[[Tensors], Tensors]

    def paths(self, spec: ModelSpec) -> dict[str, str]:
        """Canonical layer -> path, of all layers that `spec` can have."""
        paths = dict(self.ends)
        for index, block in enumerate(spec.blocks):
            repeat = sum(earlier.stage == block.stage for earlier in spec.blocks[:index])
            folder = self.folder(index, repeat, block)
            paths |= {f"{block.name}_{role}": folder + path for role, path in self.roles(block).items()}
        return paths

    def kernel(self, layer: str) -> str:
        """Name of the kernel of a layer outside the blocks."""
        return self.ends[layer] + self.framework.names["kernel"]


@dataclass(frozen=True)
class Place:
    """Where a variable is in a checkpoint: its name and shape there, and the axes in Keras' order."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


def match(checkpoint: Checkpoint, spec: ModelSpec) -> MatchedWeights:
    """The checkpoint's tensors as variables of `spec`: every variable has one, and every tensor is used once.

    The classifier may have any number of classes, or be absent.

    Raises:
        WeightsError: no known names, or names or shapes that do not fit; says which, and what variants they fit. Or a
            value that is not finite.
    """
    name = next((name for name, layout in LAYOUTS.items() if _has_stem(checkpoint.tensors, layout)), None)
    if name is None:
        names = _enumerate("tensors", [repr(tensor) for tensor in checkpoint.tensors])
        raise WeightsError(f"{checkpoint.path}: {names} with names of no known layout: {', '.join(LAYOUTS)}")
    layout = LAYOUTS[name]
    tensors = layout.normalise(checkpoint.tensors)
    classes = _classes(tensors, layout)
    places = _places(layout, spec, classes)
    complaints = _complaints(tensors, places)
    if complaints:
        fits = [other for other in VARIANTS if not _complaints(tensors, _places(layout, VARIANTS[other], classes))]
        hint = f"; it fits {', '.join(fits)}" if fits else ""
        raise WeightsError(f"{checkpoint.path} ({name} names) does not fit {spec.name}: {'; '.join(complaints)}{hint}")
    variables = {}
    for variable, place in places.items():
        with np.errstate(over="ignore"):  # told by the next line
            values = np.ascontiguousarray(tensors[place.name].transpose(place.axes), np.float32)
        if not np.isfinite(values).all():
            raise WeightsError(f"{checkpoint.path}: {place.name!r} has values that are not float32 numbers")
        variables[variable] = values
    return MatchedWeights(name, variables, classes)


def _has_stem(tensors: Tensors, layout: Layout) -> bool:
    return layout.kernel("stem_conv") in layout.normalise(tensors)


def _classes(tensors: Tensors, layout: Layout) -> int | None:
    kernel = tensors.get(layout.kernel("predictions"))
    if kernel is None:
        return None
    outputs = layout.framework.axes["dense"][1]
    return kernel.shape[outputs] if kernel.ndim == 2 else 1000  # any number: its shape is wrong anyway


def _places(layout: Layout, spec: ModelSpec, classes: int | None) -> dict[str, Place]:
    """Canonical name -> place, of all variables."""
    paths, framework = layout.paths(spec), layout.framework
    places = {}
    for layer in spec.layers(classes):
        for owner, variable, shape in _variables(layer):
            axes = framework.axes[layer.kind] if variable == "kernel" else (0,)
            stored = tuple(shape[axes.index(axis)] for axis in range(len(shape)))
            places[f"{owner}/{variable}"] = Place(paths[owner] + framework.names[variable], stored, axes)
    return places


def _variables(layer: LayerSpec) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(layer, variable, shape in Keras) of everything that one layer and its normalisation learn."""
    kernels = {
        "conv": (layer.kernel, layer.kernel, layer.inputs, layer.outputs),
        "depthwise": (layer.kernel, layer.kernel, layer.outputs, 1),
        "dense": (layer.inputs, layer.outputs),
    }
    yield layer.name, "kernel", kernels[layer.kind]
    if layer.bias:
        yield layer.name, "bias", (layer.outputs,)
    if layer.batch_norm is not None:
        for variable in ("gamma", "beta", "moving_mean", "moving_variance"):
            yield layer.batch_norm, variable, (layer.outputs,)


def _complaints(tensors: Tensors, places: Mapping[str, Place]) -> list[str]:
    """What is wrong between the tensors there are and the places where they should be."""
    shapes = {place.name: place.shape for place in places.values()}
    wrong = [
        f"{name!r} {tensor.dtype} {tensor.shape} instead of float {shapes[name]}"
        for name, tensor in tensors.items()
        if name in shapes and (tensor.shape != shapes[name] or tensor.dtype.kind != "f")
    ]
    missing = [repr(name) for name in shapes if name not in tensors]
    unexpected = [repr(name) for name in tensors if name not in shapes]
    lists = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
    return [_enumerate(label, items) for label, items in lists.items() if items]


def _enumerate(label: str, items: Sequence[str]) -> str:
    more = ", ..." if len(items) > SHOWN else ""
    return f"{len(items)} {label} ({', '.join(items[:SHOWN])}{more})"


def _torch(tensors: Tensors) -> Tensors:
    """Without batch norm's step counters."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}


def _huggingface(tensors: Tensors) -> Tensors:
    """Without the prefix that a backbone has inside a classifier."""
    return _renamed(_torch(tensors), lambda name: name.removeprefix("efficientnet."))


def _keras(tensors: Tensors) -> Tensors:
    """With Keras 3's one name for kernels; Keras 2 and TensorFlow have another for depthwise ones.

    keras.applications normalises its input by a layer, whose statistics are ImageNet's, as our preprocessing has them.
    """
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("normalization/")}
    return _renamed(weights, lambda name: name.replace("/depthwise_kernel", "/kernel"))


def _tensorflow(tensors: Tensors) -> Tensors:
    """Averages instead of raw values, without step counters and optimizer slots, and without the model's scope."""
    averages = {name.removesuffix(AVERAGE): tensor for name, tensor in tensors.items() if name.endswith(AVERAGE)}
    raw = {name: tensor for name, tensor in tensors.items() if not name.endswith(AVERAGE)}
    variables = _keras({**raw, **averages})
    scope = next((name.split("/")[0] for name in variables if name.endswith("/stem/conv2d/kernel")), "")
    # global_step is in no scope; a slot's name continues that of its variable.
    weights = {name: variables[name] for name in variables if "/" in name and name.rpartition("/")[0] not in variables}
    return _renamed(weights, lambda name: name.removeprefix(f"{scope}/"))


def _renamed(tensors: Tensors, rename: Callable[[str], str]) -> Tensors:
    """A tensor whose new name is taken keeps the old one, and is then unexpected."""
    return {name if rename(name) in tensors else rename(name): tensor for name, tensor in tensors.items()}


def _timm_roles(block: BlockSpec) -> Names:
    """EdgeResidual, InvertedResidual or DepthwiseSeparableConv: each numbers its normalisations from 1."""
    if block.operator == "fused":
        roles = {"expand_conv": "conv_exp", "expand_bn": "bn1", "project_conv": "conv_pwl", "project_bn": "bn2"}
    elif block.expands:
        roles = {"expand_conv": "conv_pw", "expand_bn": "bn1", "dwconv": "conv_dw", "bn": "bn2"}
        roles |= {"project_conv": "conv_pwl", "project_bn": "bn3"}
    else:
        roles = {"dwconv": "conv_dw", "bn": "bn1", "project_conv": "conv_pw", "project_bn": "bn2"}
    return {**roles, "se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}


def _google_roles(block: BlockSpec) -> Names:
    """Layers of one class are numbered in the order of their calls, from nothing over _1 to _2."""
    spatial = {"expand_conv": "conv2d", "expand_bn": "tpu_batch_normalization"}
    if block.operator == "mbconv":
        number = "_1" if block.expands else ""
        spatial |= {"dwconv": "depthwise_conv2d", "bn": f"tpu_batch_normalization{number}"}
    before = block.expands + (block.operator == "mbconv")
    return {
        **spatial,
        "se_reduce": "se/conv2d",
        "se_expand": "se/conv2d_1",
        "project_conv": "conv2d_1" if block.expands else "conv2d",
        "project_bn": f"tpu_batch_normalization_{before}",
    }


_ILLUSTRATED_ROLES = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "se_reduce": "_se_reduce",
    "se_expand": "_se_expand",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}

_HUGGINGFACE_ROLES = {
    "expand_conv": "expansion.expand_conv",
    "expand_bn": "expansion.expand_bn",
    "dwconv": "depthwise_conv.depthwise_conv",
    "bn": "depthwise_conv.depthwise_norm",
    "se_reduce": "squeeze_excite.reduce",
    "se_expand": "squeeze_excite.expand",
    "project_conv": "projection.project_conv",
    "project_bn": "projection.project_bn",
}

_ENDS = ("stem_conv", "stem_bn", "top_conv", "top_bn", "predictions")

TORCH = Framework(
    names={
        "kernel": ".weight",
        "bias": ".bias",
        "gamma": ".weight",
        "beta": ".bias",
        "moving_mean": ".running_mean",
        "moving_variance": ".running_var",
    },
    axes={"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "dense": (1, 0)},
)
KERAS = Framework(
    names={name: f"/{name}" for name in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")},
    axes={"conv": (0, 1, 2, 3), "depthwise": (0, 1, 2, 3), "dense": (0, 1)},
)

LAYOUTS: dict[str, Layout] = {
    "ml-illustrated": Layout(
        TORCH,
        dict(zip(_ENDS, ("_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"), strict=True)),
        lambda index, _repeat, _block: f"_blocks.{index}.",
        lambda _block: _ILLUSTRATED_ROLES,
        _torch,
    ),
    "timm": Layout(
        TORCH,
        dict(zip(_ENDS, ("conv_stem", "bn1", "conv_head", "bn2", "classifier"), strict=True)),
        lambda _index, repeat, block: f"blocks.{block.stage - 1}.{repeat}.",
        _timm_roles,
        _torch,
    ),
    "huggingface": Layout(
        TORCH,
        {
            "stem_conv": "embeddings.convolution",
            "stem_bn": "embeddings.batchnorm",
            "top_conv": "encoder.top_conv",
            "top_bn": "encoder.top_bn",
            "predictions": "classifier",
        },
        lambda index, _repeat, _block: f"encoder.blocks.{index}.",
        lambda _block: _HUGGINGFACE_ROLES,
        _huggingface,
    ),
    "tensorflow": Layout(
        KERAS,
        {
            "stem_conv": "stem/conv2d",
            "stem_bn": "stem/tpu_batch_normalization",
            "top_conv": "head/conv2d",
            "top_bn": "head/tpu_batch_normalization",
            "predictions": "head/dense",
        },
        lambda index, _repeat, _block: f"blocks_{index}/",
        _google_roles,
        _tensorflow,
    ),
    "keras": Layout(
        KERAS,
        {name: name for name in _ENDS},
        lambda _index, _repeat, block: f"{block.name}_",
        lambda _block: {role: role for role in _ILLUSTRATED_ROLES},
        _keras,
    ),
}
