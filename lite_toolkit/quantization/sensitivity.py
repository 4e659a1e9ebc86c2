"""What each part of a network does to its scores when it alone is quantized."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.progress import Steps
from lite_toolkit.quantization import operators, rounding
from lite_toolkit.quantization.ranges import search
from lite_toolkit.quantization.recipes import Recipe
from lite_toolkit.quantization.walk import quantize
from lite_toolkit.tflite.graph import Operator, Subgraph, read_graph
from lite_toolkit.tflite.layers import layer_name

Array = NDArray[np.float32]

IMAGES = 8  # a ruined layer shows on one; these are enough to tell the others apart


@dataclass(frozen=True)
class Disturbance:
    """An error of the scores, and its remedy.

    Attributes:
        layers: names of those that must stay in float for it to vanish.
        power: mean squared error of the scores, where nothing else is quantized.
    """

    layers: frozenset[str]
    power: float


def disturbances(float_model: bytes, images: Iterable[Array], recipe: Recipe, steps: Steps) -> list[Disturbance]:
    """Quantize the weights, and then the output, of one operator after the other, with all others in float.

    Args:
        float_model: the content of a float32 `.tflite` of operators that the walk knows.
        images: normalised float32 (height, width, 3); the first `IMAGES` are used.
        recipe: the granularity of weights and the criterion of ranges.
        steps: shows progress over the operators.

    Returns:
        The greatest first. Rounded weights vanish where their layer is in float; a rounded output, where its readers
        are too, since what an integer operator reads is rounded.
    """
    graph = read_graph(float_model).subgraphs[0]
    computing = [operator for operator in graph.operators if operator.name != "SOFTMAX"]  # it would hide great errors
    scores = computing[-1].outputs[0]
    live = {graph.inputs[0]: np.stack(list(islice(images, IMAGES)))}
    truth = _finish(graph, computing, live, scores)
    found = []
    for position, operator in enumerate(steps.track(computing, len(computing))):
        exact = _output(graph, operator, live)
        for layers, disturbed in _disturbed(graph, operator, live, exact, recipe):
            changed = _finish(graph, computing[position + 1 :], _step(graph, operator, live, disturbed), scores)
            power = float(np.square(changed - truth, dtype=np.float64).mean())
            found.append(Disturbance(layers, power if np.isfinite(power) else np.inf))
        live = _step(graph, operator, live, exact)
    return sorted(found, key=lambda disturbance: -disturbance.power)


def _disturbed(
    graph: Subgraph, operator: Operator, live: Mapping[int, Array], exact: Array, recipe: Recipe
) -> Iterator[tuple[frozenset[str], Array]]:
    """The operator's output with rounded weights, and rounded itself, each with the layers that are the remedy."""
    own = layer_name(graph, operator)
    if operator.name in operators.LINEAR:
        weights, bias = operators.weights(operator, graph), operators.bias(operator, graph)
        depthwise = operator.name == "DEPTHWISE_CONV_2D"
        rounded = rounding.nearest(weights, rounding.scales(weights, depthwise, recipe.granularity == "tensor"))
        product = operators.linear(operator, live[operator.inputs[0]], rounded)
        yield frozenset({own}), operators.activate(operator, product + bias)
    if recipe.format == "int8":
        readers = {layer_name(graph, reader) for reader in graph.operators if operator.outputs[0] in reader.inputs}
        yield frozenset({own, *readers}), quantize(exact, search(exact, recipe.ranges))


def _finish(graph: Subgraph, computing: Sequence[Operator], live: dict[int, Array], scores: int) -> Array:
    """The value of the tensor `scores` after `computing`."""
    for operator in computing:
        live = _step(graph, operator, live, _output(graph, operator, live))
    return live[scores]


def _output(graph: Subgraph, operator: Operator, live: Mapping[int, Array]) -> Array:
    return operators.evaluate(operator, graph, [live[index] for index in operator.inputs if index in live])


def _step(graph: Subgraph, operator: Operator, live: Mapping[int, Array], output: Array) -> dict[int, Array]:
    """The live tensors after an operator: those that are still read, and its output."""
    kept = {index: values for index, values in live.items() if graph.last_uses[index] > operator.index}
    return {**kept, operator.outputs[0]: output}
