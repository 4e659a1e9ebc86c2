"""Parameters and multiply-adds of a `ModelSpec`, from the table alone.

Only convolutions and the dense layer have multiply-adds here; activations, additions, pooling and normalisations
(which conversion folds into the convolutions) have none. Google's published figures for Lite0-4 lie about 5% higher.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.networks.architectures import MINIMUM_INPUT_SIZE, LayerSpec, ModelSpec, block_layers

Size = int | tuple[int, int]


@dataclass(frozen=True)
class Cost:
    """What some layers cost.

    Attributes:
        params: weights, biases and the four vectors of every batch normalisation.
        trainable: the same without the moving means and variances.
        madds: multiply-adds of one inference on one image.
    """

    params: int
    trainable: int
    madds: int


@dataclass(frozen=True)
class LayerCost:
    """One layer, the height and width of its output in pixels, and its cost."""

    layer: LayerSpec
    resolution: tuple[int, int]
    cost: Cost


@dataclass(frozen=True)
class StageRow:
    """One line of the table that `lite-toolkit describe` prints.

    Attributes:
        stage: "stem", "1" to the last stage, or "head".
        operator: "conv", "mbconv" or "fused"; the head is "conv, pool, dense", or "conv" without the classifier.
        kernel, stride: of the spatial convolution; `stride` is the first block's.
        resolution: height and width of the stage's input, in pixels.
        channels: of the stage's output; the head's are the pooled features.
        layers: number of blocks.
        cost: of all its layers together.
    """

    stage: str
    operator: str
    kernel: int
    stride: int
    resolution: tuple[int, int]
    channels: int
    layers: int
    cost: Cost


def layer_costs(spec: ModelSpec, classes: int | None = 1000, size: Size | None = None) -> list[LayerCost]:
    """The cost of every layer of `spec` in graph order.

    Args:
        spec: the network.
        classes: outputs of the classifier; None leaves it out.
        size: side of the square input, or its (height, width), in pixels; None takes `spec.resolution`.

    Raises:
        LiteToolkitError: `size` is less than `MINIMUM_INPUT_SIZE`.
    """
    resolution = input_size(spec, size)
    costs = []
    for layer in spec.layers(classes):
        if not layer.pooled:
            resolution = _strided(resolution, layer)
        costs.append(_layer_cost(layer, (1, 1) if layer.pooled else resolution))
    return costs


def total(spec: ModelSpec, classes: int | None = 1000, size: Size | None = None) -> Cost:
    """The cost of the whole network; the arguments are those of `layer_costs`."""
    return _sum(layer_costs(spec, classes, size))


def stage_rows(spec: ModelSpec, classes: int | None = 1000, size: Size | None = None) -> list[StageRow]:
    """The rows of the architecture table, stem and head included; the arguments are those of `layer_costs`."""
    costs = {cost.layer.name: cost for cost in layer_costs(spec, classes, size)}
    resolution = input_size(spec, size)
    rows = []
    for stage, operator, blocks, names in _stages(spec, classes):
        members = [costs[name] for name in names]
        spatial = max((member.layer for member in members), key=lambda layer: (layer.kernel, layer.stride))
        channels = spec.head_filters if stage == "head" else members[-1].layer.outputs
        row = StageRow(stage, operator, spatial.kernel, spatial.stride, resolution, channels, blocks, _sum(members))
        rows.append(row)
        resolution = members[-1].resolution
    return rows


def input_size(spec: ModelSpec, size: Size | None) -> tuple[int, int]:
    """(height, width) of the input in pixels; None stands for `spec.resolution`.

    Raises:
        LiteToolkitError: a side is less than `MINIMUM_INPUT_SIZE`.
    """
    size = spec.resolution if size is None else size
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < MINIMUM_INPUT_SIZE:
        raise LiteToolkitError(f"input size {size!r}: must be at least {MINIMUM_INPUT_SIZE} pixels")
    return height, width


def _stages(spec: ModelSpec, classes: int | None) -> Iterator[tuple[str, str, int, list[str]]]:
    """(stage, operator, number of blocks, names of the layers) of every row."""
    yield "stem", "conv", 1, ["stem_conv"]
    for number, stage in enumerate(spec.stages, start=1):
        blocks = [block for block in spec.blocks if block.stage == number]
        names = [layer.name for block in blocks for layer in block_layers(block)]
        yield str(number), stage.operator, len(blocks), names
    if classes is None:
        yield "head", "conv", 1, ["top_conv"]
    else:
        yield "head", "conv, pool, dense", 1, ["top_conv", "predictions"]


def _strided(resolution: tuple[int, int], layer: LayerSpec) -> tuple[int, int]:
    # SAME padding gives ceil(n / stride); k // 2 pixels on both sides of an odd kernel give the same number. One less
    # gives the floor, which differs for odd sides.
    height, width = resolution
    spared = (layer.padding == "trailing") * (layer.stride - 1)
    return -(-(height - spared) // layer.stride), -(-(width - spared) // layer.stride)


def _layer_cost(layer: LayerSpec, resolution: tuple[int, int]) -> LayerCost:
    kernel = layer.kernel**2 * layer.outputs * (1 if layer.kind == "depthwise" else layer.inputs)
    trainable = kernel + (layer.outputs if layer.bias else 2 * layer.outputs)
    params = trainable + (0 if layer.bias else 2 * layer.outputs)
    return LayerCost(layer, resolution, Cost(params, trainable, kernel * math.prod(resolution)))


def _sum(costs: Iterable[LayerCost]) -> Cost:
    rows = [(member.cost.params, member.cost.trainable, member.cost.madds) for member in costs]
    return Cost(*(sum(column) for column in zip(*rows, strict=True)))
