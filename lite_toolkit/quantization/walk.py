"""The layer walk: choose weights, biases and ranges layer by layer, each on what the layers before have become.

The float network is recorded once. The network quantized so far is run operator by operator on the same images: a layer
is rounded on what reaches it there and corrected towards the record, so that it makes up for the errors before it
instead of adding to them.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import RecipeError
from lite_toolkit.progress import Steps
from lite_toolkit.quantization import kernels, moments, operators, rounding
from lite_toolkit.quantization.moments import Moments
from lite_toolkit.quantization.operators import Activation, Network, is_depthwise, is_linear, quantized
from lite_toolkit.quantization.parameters import Parameters
from lite_toolkit.quantization.precision import in_float, is_rounded
from lite_toolkit.quantization.ranges import (
    HARD_SWISH,
    PLAIN,
    SWISH,
    Range,
    View,
    first_sum,
    rounded,
    search,
    search_scores,
)
from lite_toolkit.quantization.recipes import Recipe
from lite_toolkit.quantization.recording import record
from lite_toolkit.tflite.graph import Operator, Subgraph

Array = NDArray[np.float32]

MEMORY_BYTES = 3 << 30
SAMPLE_BYTES = 1 << 30  # of what is kept of the float network
ROWS = 20_000  # places of all images that a layer's inputs and outputs are compared at
DEPTHWISE_ROWS = 2_000  # a depthwise channel has at most 25 inputs
FITTED_ROWS = 40_000  # patches that weights are fitted to
ROWS_PER_INPUT = 200  # of fewer, the fit would learn the calibration images' own noise
FIT_DAMPING = 0.01
INT16_MARGIN = 2.0  # 16 bits have steps to spare: better those than a clipped score
SLOPES = (0.8, 1.25)  # a regression slope beyond these is an accident of few images


def choose_parameters(
    float_model: bytes, images: Sequence[Array], input_range: Range, recipe: Recipe, progress: Steps | None = None
) -> Parameters:
    """Choose the parameters of every layer of a float `.tflite`.

    Args:
        float_model: the content of a file with one image input.
        images: normalised float32 (height, width, 3); of more than fit `MEMORY_BYTES`, an even choice is used.
        input_range: of the quantized input.
        recipe: rounding, corrections, the criterion of ranges, and the layers that stay in float.
        progress: shown over the operators.

    Raises:
        ModelError: an activation that is not finite, or a fused one that TFLite's kernels of convolutions do not have.
        RecipeError: there is no such layer, or the damping is too small for one.
    """
    network = Network(float_model)
    chosen = _thinned(images, _bytes_per_image(network.graph, recipe))
    return _Walk(network, recipe, len(chosen)).run(chosen, input_range, progress or Steps())


class _Walk:
    """One way through a graph. `live` holds the activations that operators further down read."""

    def __init__(self, network: Network, recipe: Recipe, images: int) -> None:
        self.network, self.graph = network, network.graph
        self.recipe = recipe
        self.kept = in_float(self.graph, recipe)
        self.counts = _counts(self.graph, images)
        self.fitted = self.fitted_taps(images)
        self.chosen = Parameters()
        self.live: dict[int, Activation] = {}

    def run(self, images: Sequence[Array], input_range: Range, progress: Steps) -> Parameters:
        """Visit every operator."""
        self.recording = record(self.network.float_model, images, self.counts, self.fitted, progress)
        source, last_use = self.graph.inputs[0], self.graph.last_uses
        names = {index: self.graph.tensors[index].name for index in (source, *self.recording.extents)}
        self.chosen.ranges[names[source]] = input_range
        self.chosen.extents = {names[index]: limits for index, limits in self.recording.extents.items()}
        self.chosen.extents[names[source]] = input_range
        self.chosen.ranges |= first_sum(self.graph, input_range) if self.recipe.format == "int8" else {}
        first = [self.stored(source, image, input_range) for image in images]
        self.live[source] = Activation(np.stack([image.stored for image in first]), first[0].limits)
        for operator in progress.track(self.graph.operators, len(self.graph.operators)):
            self.live |= self.visit(operator)
            for index in {index for index in operator.inputs if last_use[index] == operator.index}:
                self.live.pop(index, None)
        return self.chosen

    def visit(self, operator: Operator) -> dict[int, Activation]:
        """Settle an operator's parameters and the ranges of what it makes."""
        parameters = None
        if is_linear(operator, self.graph) and operator.index not in self.kept:
            parameters = self.linear_layer(operator)
            self.chosen.weights[operator.index], self.chosen.biases[operator.index] = parameters
        additions = {index: self.next_addition(operator, index) for index in operator.outputs}
        if not any(additions.values()):
            ranges = {index: self.range_of(operator, index) for index in operator.outputs if self.is_float(index)}
            self.settle(ranges)
            kept = {index: limits for index, limits in ranges.items() if self.rounds(index)}
            return self.network.outputs(operator, self.live, kept, parameters)
        made = self.network.outputs(operator, self.live, parameters=parameters)
        for index, addition in additions.items():
            limits = self.range_of(operator, index)
            if addition:
                limits = self.shared_range(addition, index, made[index].stored, limits)
            self.settle({index: limits})
            made[index] = self.stored(index, made[index].stored, limits)
        return made

    def settle(self, ranges: Mapping[int, Range]) -> None:
        """Choose ranges."""
        self.chosen.ranges |= {self.graph.tensors[index].name: limits for index, limits in ranges.items()}

    def stored(self, tensor: int, values: Array, limits: Range) -> Activation:
        """A tensor's values, rounded to the steps over its range."""
        return quantized(values, limits) if self.rounds(tensor) else Activation(values)

    def rounds(self, tensor: int) -> bool:
        """Whether a tensor is rounded; 16 bits leave an activation as it is, next to the weights' 8."""
        return self.recipe.format == "int8" and is_rounded(self.graph, tensor, self.kept)

    def is_float(self, tensor: int) -> bool:
        """Whether a tensor has a range; whole numbers, such as shapes, have none."""
        return tensor in self.recording.extents

    def linear_layer(self, operator: Operator) -> tuple[Array, Array]:
        """Fit, round, and correct the slope and then the bias of one convolution or dense layer."""
        source, exact = self.live[operator.inputs[0]], self.recording.samples[operator.outputs[0]]
        recipe = self.recipe
        weights, bias = operators.weights(operator, self.graph), operators.bias(operator, self.graph)
        found = moments.of(operator, self.graph, source, exact[:, : self.compared(operator)])
        taps = self.fitted.get(operator.index)
        fitted = _fitted(weights, taps.of(source), self.recording.patches[operator.index]) if taps else weights
        values = _round(operator, fitted, found, recipe)
        if "slope" in recipe.corrections:
            slope = np.clip(found.slopes(values), *SLOPES).astype(np.float32)
            axes = rounding.channel_axes(is_depthwise(operator), weights.ndim)
            values = np.divide(values, np.expand_dims(slope, axes), dtype=np.float32)
        if "bias" in recipe.corrections:
            bias = (found.output_mean - found.product_mean(values)).astype(np.float32)
        return values, bias

    def compared(self, operator: Operator) -> int:
        """Places of each image that a layer's inputs and outputs are compared at."""
        rows = DEPTHWISE_ROWS if is_depthwise(operator) else ROWS
        return math.ceil(rows / len(self.live[operator.inputs[0]].stored))

    def range_of(self, operator: Operator, tensor: int) -> Range:
        """The range that is settled; else that which serves a tensor best by itself."""
        settled = self.settled_range(operator, tensor)
        if settled is not None:
            return settled
        exact = self.recording.samples[tensor]
        if is_linear(operator, self.graph):
            exact = np.clip(exact, *operators.bounds(operator))
        if self.recipe.ranges == "mse" and holds_scores(self.graph, tensor):
            own = search_scores(exact.reshape(len(exact), -1))
        else:
            own = search(exact, self.recipe.ranges, self.recording.extents[tensor], self.view(tensor))
        return (own[0] * INT16_MARGIN, own[1] * INT16_MARGIN) if self.recipe.format == "int16x8" else own

    def settled_range(self, operator: Operator, tensor: int) -> Range | None:
        """The range that an output shares with what it is the sum of, or that the operator's kernel demands: a fixed
        one, or that of its input.
        """
        shared = self.chosen.ranges.get(self.graph.tensors[tensor].name)
        if shared is not None or operator.index in self.kept:
            return shared
        if operator.name in kernels.FIXED:
            return kernels.FIXED[operator.name]
        sources = [self.graph.tensors[index].name for index in operator.inputs if index in self.live]
        return self.chosen.ranges.get(sources[0]) if operator.name in kernels.SAME_AS_INPUT and sources else None

    def next_addition(self, operator: Operator, tensor: int) -> Operator | None:
        """The ADD that alone reads an output and may share its range, where the other operand has its range already."""
        if (self.recipe.format, self.recipe.ranges) != ("int8", "mse") or self.settled_range(operator, tensor):
            return None
        readers = self.graph.readers(tensor)
        if len(readers) != 1 or readers[0].name != "ADD" or readers[0].index in self.kept:
            return None
        operands = set(readers[0].inputs)
        if len({self.graph.tensors[index].shape for index in operands}) > 1:
            return None
        settled = all(index in self.live for index in operands - {tensor})
        return readers[0] if len(operands) == 2 and settled else None

    def shared_range(self, addition: Operator, tensor: int, values: Array, own: Range) -> Range:
        """One range for both operands and the result of an addition where that is better than `own` for this one."""
        other = next(index for index in addition.inputs if index != tensor)
        shared = self.chosen.ranges[self.graph.tensors[other].name]
        view = self.view(addition.outputs[0])
        if not _sharing_pays(addition, self.live[other], values, own, shared, view):
            return own
        self.settle({addition.outputs[0]: shared})
        return shared

    def view(self, tensor: int) -> View:
        """How the operators that read a tensor see it."""
        readers = self.graph.readers(tensor)
        kinds = sorted(reader.name for reader in readers)
        if kinds == ["LOGISTIC", "MUL"] and readers[0].outputs[0] in readers[1].inputs:
            return SWISH
        return HARD_SWISH if kinds == ["HARD_SWISH"] else PLAIN

    def fitted_taps(self, images: int) -> dict[int, operators.Taps]:
        """What the layers that are fitted see of their inputs."""
        if "inputs" not in self.recipe.corrections:
            return {}
        fitted = [operator for operator in self.graph.operators if _is_fitted(operator, self.graph, images)]
        count = -(-FITTED_ROWS // images)
        return {
            operator.index: operators.taps(operator, self.graph, count)
            for operator in fitted
            if operator.index not in self.kept
        }


def holds_scores(graph: Subgraph, tensor: int) -> bool:
    """Whether a tensor holds scores of several classes: the model's output, or what goes into its softmax.

    Operators that only give it another shape may stand between.
    """
    readers = graph.readers(tensor)
    if len(readers) == 1 and readers[0].name in kernels.RESHAPING:
        return holds_scores(graph, readers[0].outputs[0])
    shape = graph.tensors[tensor].shape
    scores = math.prod(shape[:-1]) == 1 and shape[-1] > 1
    return scores and {operator.name for operator in readers} <= {"SOFTMAX"}


def _sharing_pays(addition: Operator, first: Activation, second: Array, own: Range, shared: Range, view: View) -> bool:
    """Whether a sum has less error where both operands and the result have one scale, and nothing is rounded twice.

    Args:
        addition: of both.
        first: the operand that is rounded over `shared` already.
        second: the other one, not yet rounded; `own` is its best range by itself.
        view: of the sum.
    """
    a, b = Activation(view.sample(first.stored), first.limits).real(), view.sample(second)
    bounds = operators.bounds(addition)
    exact = np.clip(a + b, *bounds)

    def cost(of_second: Range, of_sum: Range) -> float:
        summed = rounded(np.clip(a + rounded(b, of_second), *bounds), of_sum)
        return float(np.square(view.through(summed) - view.through(exact)).mean())

    return cost(shared, shared) < cost(own, search(exact, "mse", view=view))


def _counts(graph: Subgraph, images: int) -> dict[int, int]:
    """Places of each image that are kept of what operators compute, by number of the tensor."""
    outputs = [graph.tensors[index] for operator in graph.operators for index in operator.outputs]
    elements = sum(min(tensor.elements, -(-ROWS // images) * max(tensor.shape[-1:], default=1)) for tensor in outputs)
    part = min(1.0, SAMPLE_BYTES / (4 * images * max(elements, 1)))
    return {tensor.index: math.ceil(part * ROWS / images) for tensor in outputs}


def _bytes_per_image(graph: Subgraph, recipe: Recipe) -> int:
    """The most that the walk holds of one image at a time: every live tensor, and floats of the largest."""
    last_use, live, most = graph.last_uses, {graph.inputs[0]}, 0
    width = 1 if recipe.format == "int8" and not recipe.in_float else 4
    for operator in graph.operators:
        live |= set(operator.outputs)
        sizes = [graph.tensors[index].elements for index in live]
        most = max(most, width * sum(sizes) + 8 * max(sizes))
        live -= {index for index in operator.inputs if last_use[index] == operator.index}
    return most


def _thinned(images: Sequence[Array], bytes_per_image: int) -> list[Array]:
    count = max(1, min(len(images), MEMORY_BYTES // bytes_per_image))
    return [images[place * len(images) // count] for place in range(count)]


def _round(operator: Operator, weights: Array, found: Moments, recipe: Recipe) -> Array:
    depthwise = is_depthwise(operator)
    steps_of = rounding.scales(weights, depthwise, recipe.granularity == "tensor")
    if recipe.rounding == "nearest":
        return rounding.nearest(weights, steps_of)
    try:
        return rounding.gptq(weights, steps_of, found.squares, recipe.damping, depthwise)
    except np.linalg.LinAlgError as error:
        raise RecipeError(
            f"damping {recipe.damping:g} is too small for operator {operator.index} {operator.name}, some of whose "
            "inputs follow from others: 0.05 is the default"
        ) from error


def _is_fitted(operator: Operator, graph: Subgraph, images: int) -> bool:
    """Whether there is enough to fit a layer's weights to: it has few inputs, and many places. Depthwise layers keep
    their own.
    """
    if not is_linear(operator, graph) or is_depthwise(operator):
        return False
    inputs = math.prod(graph.tensors[operator.inputs[1]].shape[1:])
    places = math.prod(graph.tensors[operator.outputs[0]].shape[:-1])
    return min(images * places, FITTED_ROWS) >= ROWS_PER_INPUT * inputs


def _fitted(weights: Array, seen: Activation, exact: Array) -> Array:
    """Weights that make of the quantized inputs what the layer's own make of the exact ones, by least squares.

    They take less from directions in which rounding has left more noise than signal.

    Args:
        weights: of a convolution or dense layer.
        seen: what it sees of its input in the quantized network.
        exact: the same in the float network, (images, places, taps, channels).
    """
    quantized = moments.rows(seen)
    errors = moments.rows(Activation(exact)) - quantized
    power = np.asarray(quantized.T @ quantized, np.float64)
    power += FIT_DAMPING * np.eye(len(power)) * max(np.trace(power) / len(power), 1e-12)
    change = np.linalg.solve(power, (quantized.T @ errors) @ weights.reshape(len(weights), -1).T)
    return weights + change.T.reshape(weights.shape).astype(np.float32)
