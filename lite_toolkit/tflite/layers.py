"""The layers that a float graph and a quantized one have in common."""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from lite_toolkit.tflite.graph import Operator, Subgraph, Tensor

Granularity = Literal["per-channel", "per-tensor"]

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
INNER_END = "_quantized"  # of the tensor inside, where `convert` gave the model's input or output another type
# How TensorFlow calls what computes a layer; the other parts of a fused tensor's name are batch-norm and activation.
_COMPUTATIONS = {
    "CONV_2D": ("convolution", "Conv2D"),
    "DEPTHWISE_CONV_2D": ("depthwise",),
    "FULLY_CONNECTED": ("MatMul",),
}


@dataclass(frozen=True, eq=False)
class Layer:
    """An operator that both graphs have.

    Attributes:
        name: of the Keras layer, such as "block6a_project_conv", where the tensors' names tell it.
        operator: of the float graph, such as "CONV_2D".
        reference, quantized: the output in the float graph, and in the quantized one.
        weights: whether the quantized weights have one scale or many; None without quantized weights.
    """

    name: str
    operator: str
    reference: Tensor
    quantized: Tensor
    weights: Granularity | None


def common_layers(reference: Subgraph, quantized: Subgraph) -> tuple[Layer, ...]:
    """The layers of the float graph that have a counterpart of the same shape, in the order of execution.

    Tensors are matched by name. Operators whose outputs have other names are matched by order, kind and shape between
    those that were matched by name. Operators that only convert a type are none of the layers.
    """
    ours, theirs = list(_computations(reference)), list(_computations(quantized))
    named = {_plain_name(_output(quantized, operator)): operator for operator in theirs}
    found: dict[int, Operator] = {}
    for operator in ours:
        same = named.get(_plain_name(_output(reference, operator)))
        if same and _output(quantized, same).shape == _output(reference, operator).shape:
            found[operator.index] = same
    taken = {operator.index for operator in found.values()}
    left = list(_keyed(reference, ours, set(found)))
    right = list(_keyed(quantized, theirs, taken))
    matcher = SequenceMatcher(None, [key for key, _ in left], [key for key, _ in right], autojunk=False)
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            found[left[block.a + offset][1].index] = right[block.b + offset][1]
    return tuple(
        _layer(reference, operator, quantized, found[operator.index])
        for operator in ours
        if operator.index in found and _output(reference, operator).dtype == "float32"
    )


def _computations(graph: Subgraph) -> Iterator[Operator]:
    """The operators with one output that depends on the model's input, but for those that only convert its type."""
    activations = set(graph.inputs)
    for operator in graph.operators:
        if activations.isdisjoint(operator.inputs):
            continue
        activations.update(operator.outputs)
        if operator.name not in _CONVERSIONS and len(operator.outputs) == 1 and _output(graph, operator).shape:
            yield operator


def _keyed(graph: Subgraph, operators: list[Operator], matched: set[int]) -> Iterator[tuple[Hashable, Operator]]:
    """The operators that are not matched yet, with what a counterpart has in common."""
    before = 0
    for operator in operators:
        if operator.index in matched:
            before += 1
        else:
            yield (before, operator.name, _output(graph, operator).shape), operator


def _layer(reference: Subgraph, ours: Operator, quantized: Subgraph, theirs: Operator) -> Layer:
    return Layer(
        name=layer_name(reference, ours),
        operator=ours.name,
        reference=_output(reference, ours),
        quantized=_output(quantized, theirs),
        weights=_granularity(quantized, theirs),
    )


def _granularity(graph: Subgraph, operator: Operator) -> Granularity | None:
    if operator.name not in _COMPUTATIONS:
        return None
    quantization = graph.tensors[operator.inputs[1]].quantization
    if quantization is None:
        return None
    return "per-channel" if quantization.per_channel else "per-tensor"


def layer_name(graph: Subgraph, operator: Operator) -> str:
    """The name of an operator's layer.

    Of names such as "net_1/stem_bn_1/add;net_1/stem_conv_1/convolution", the layer that computes: "stem_conv".
    """
    own = _output(graph, operator).name
    read = [
        graph.tensors[number].name for number in operator.inputs if number >= 0 and graph.tensors[number].is_constant
    ]
    kinds = _COMPUTATIONS.get(operator.name, ())
    parts = [part.split("/") for name in (own, *read) for part in name.split(";")]
    # A tensor that shares its layer's name with another has a number behind it: "predictions_1/MatMul1".
    computing = [part for part in parts if len(part) > 1 and part[-1].rstrip("0123456789") in kinds]
    path = (computing or parts)[0]
    if len(path) < 2:
        return own
    # Keras 3 numbers its scopes when it is exported: "lite0_1/stem_conv_1/convolution".
    return re.sub(r"_1$", "", path[-2]) if path[0].endswith("_1") else path[-2]


def _output(graph: Subgraph, operator: Operator) -> Tensor:
    return graph.tensors[operator.outputs[0]]


def _plain_name(tensor: Tensor) -> str:
    return tensor.name.removesuffix(INNER_END)
