"""Whose names a checkpoint has, and what they are called in Keras.

A canonical name is "<layer>/<variable>", with the layers of `ModelSpec.layers` and the variables that Keras gives them:
kernel and bias, or gamma, beta, moving_mean and moving_variance. A `Layout` gives the path of every layer in someone's
checkpoint, its `Framework` the names of the variables below that path and the order of their axes.

Sources: timm's _efficientnet_blocks.py, transformers' modeling_efficientnet.py, torchvision's efficientnet.py, the TPU
repository's efficientnet_model.py (TensorFlow numbers the layers of a scope in the order in which they are called), the
efficientnet.py of keras.applications, and the state dicts of EfficientNet-Lite-PyTorch and EfficientNet-PyTorch.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from lite_toolkit.networks.architectures import BlockSpec, ModelSpec

Tensors = Mapping[str, npt.NDArray[Any]]
Names = Mapping[str, str]

AVERAGE = "/ExponentialMovingAverage"
COUNTERS = re.compile(r"(?:^|[./])(?:num_batches_tracked|total_ops|total_params)$")  # of batch norm, and of thop
WRAPPERS = re.compile(r"(?<![^./])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # of any part


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
        normalise: drops what is no weight, and the spellings that vary.
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


def _torch(tensors: Tensors) -> Tensors:
    """Without counters, and without what wraps parts of a network; a layer in a dict of its own has dots as well."""
    weights = {name: tensor for name, tensor in tensors.items() if not COUNTERS.search(name)}
    return _renamed(weights, lambda name: re.sub(r"/(?=(weight|bias)$)", ".", WRAPPERS.sub("", name)))


def _keras(tensors: Tensors) -> Tensors:
    """With Keras 3's one name for kernels; Keras 2 and TensorFlow have another for depthwise ones.

    keras.applications normalises its input by a layer, whose statistics are ImageNet's, as our preprocessing has them.
    """
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("normalization/")}
    return _renamed(weights, lambda name: name.replace("/depthwise_kernel", "/kernel"))


def _tensorflow(tensors: Tensors) -> Tensors:
    """Averages instead of raw values, without step counters and optimizer slots."""
    averages = {name.removesuffix(AVERAGE): tensor for name, tensor in tensors.items() if name.endswith(AVERAGE)}
    raw = {name: tensor for name, tensor in tensors.items() if not name.endswith(AVERAGE)}
    variables = _keras({**raw, **averages})
    # global_step is in no scope; a slot's name continues that of its variable.
    return {name: variables[name] for name in variables if "/" in name and name.rpartition("/")[0] not in variables}


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


def _torchvision_roles(block: BlockSpec) -> Names:
    """A block numbers its steps: convolutions with their normalisations, and the gate between them."""
    expand, gate = int(block.expands), int(block.squeezed > 0)
    steps = {"dwconv": f"{expand}.0", "bn": f"{expand}.1", "expand_conv": "0.0", "expand_bn": "0.1"}
    steps |= {"se_reduce": f"{expand + 1}.fc1", "se_expand": f"{expand + 1}.fc2"}
    return steps | {"project_conv": f"{expand + 1 + gate}.0", "project_bn": f"{expand + 1 + gate}.1"}


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
        _torch,
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
    "torchvision": Layout(
        TORCH,
        dict(zip(_ENDS, ("features.0.0", "features.0.1", "features.8.0", "features.8.1", "classifier.1"), strict=True)),
        lambda _index, repeat, block: f"features.{block.stage}.{repeat}.block.",
        _torchvision_roles,
        _torch,
    ),
}
