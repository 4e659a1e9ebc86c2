"""What each part of a network does to its scores when it alone is quantized."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.progress import Steps
from lite_toolkit.quantization import kernels, operators, rounding
from lite_toolkit.quantization.operators import Activation
from lite_toolkit.quantization.ranges import rounded, search
from lite_toolkit.quantization.recipes import Recipe
from lite_toolkit.tflite.graph import Operator, Subgraph
from lite_toolkit.tflite.layers import layer_name

Array = NDArray[np.float32]
Live = Mapping[int, Activation]  # tensors, by their numbers

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
    network = operators.Network(float_model)
    graph = network.graph
    computing = _up_to_logits(graph)
    scores = computing[-1].outputs[0]
    live: Live = {graph.inputs[0]: Activation(np.stack(list(islice(images, IMAGES))))}
    truth = _finish(network, computing, live)[scores].stored
    found = []
    for position, operator in enumerate(steps.track(computing, len(computing))):
        made = network.outputs(operator, live)
        for layers, disturbed in _disturbed(network, operator, live, made, recipe):
            after = _step(graph, operator, live, disturbed)
            changed = _finish(network, computing[position + 1 :], after)[scores].stored
            power = float(np.square(changed - truth, dtype=np.float64).mean())
            found.append(Disturbance(layers, power if np.isfinite(power) else np.inf))
        live = _step(graph, operator, live, made)
    return sorted(found, key=lambda disturbance: -disturbance.power)


def _up_to_logits(graph: Subgraph) -> Sequence[Operator]:
    """The operators up to the logits: a softmax would hide great errors, and so would a sigmoid."""
    computing = list(graph.operators)
    while computing[-1].name in kernels.RESHAPING:
        computing.pop()
    return computing[:-1] if computing[-1].name in ("SOFTMAX", "LOGISTIC") else graph.operators


def _disturbed(
    network: operators.Network, operator: Operator, live: Live, made: Live, recipe: Recipe
) -> Iterator[tuple[frozenset[str], Live]]:
    """What an operator makes with rounded weights, and rounded itself, each with the layers that are the remedy."""
    graph = network.graph
    own = layer_name(graph, operator)
    if operators.is_linear(operator, graph):
        weights, depthwise = operators.weights(operator, graph), operators.is_depthwise(operator)
        nearest = rounding.nearest(weights, rounding.scales(weights, depthwise, recipe.granularity == "tensor"))
        parameters = nearest, operators.bias(operator, graph)
        yield frozenset({own}), network.outputs(operator, live, parameters=parameters)
    if recipe.format == "int8":
        for tensor, exact in made.items():
            values = exact.stored
            readers = {layer_name(graph, reader) for reader in graph.readers(tensor)}
            if values.dtype == np.float32:
                limits = search(values, recipe.ranges)
                disturbed = Activation(rounded(values, limits))
                yield frozenset({own, *readers}), {**made, tensor: disturbed}


def _finish(network: operators.Network, computing: Sequence[Operator], live: Live) -> Live:
    """The live tensors after `computing`."""
    for operator in computing:
        live = _step(network.graph, operator, live, network.outputs(operator, live))
    return live


def _step(graph: Subgraph, operator: Operator, live: Live, made: Live) -> Live:
    """The live tensors after an operator: those that are still read, and what it makes."""
    kept = {index: values for index, values in live.items() if graph.last_uses.get(index, -1) > operator.index}
    return {**kept, **made}
