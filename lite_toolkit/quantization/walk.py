"""The layer walk: choose weights, biases and ranges layer by layer, each on what the layers before have become.

Two activations of the representative images are kept for every live tensor: from the float network, and from the
network quantized so far. A layer is rounded on the latter and corrected towards the former, so that it makes up for the
errors before it instead of adding to them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import RecipeError
from lite_toolkit.networks.backend import tf
from lite_toolkit.progress import Steps
from lite_toolkit.quantization import kernels, operators, rounding
from lite_toolkit.quantization.precision import in_float, is_rounded
from lite_toolkit.quantization.ranges import (
    HARD_SWISH,
    PLAIN,
    SWISH,
    Range,
    View,
    extent,
    first_sum,
    rounded,
    search,
    search_scores,
    steps,
)
from lite_toolkit.quantization.recipes import Recipe
from lite_toolkit.tflite.graph import Operator, Subgraph

Array = NDArray[np.float32]
Double = NDArray[np.float64]

MEMORY_BYTES = 3 << 30
ROWS = 20_000  # patches that a Hessian is estimated from
DEPTHWISE_ROWS = 5_000  # a depthwise channel has at most 25 inputs
FITTED_ROWS = 40_000  # patches that weights are fitted to
ROWS_PER_INPUT = 200  # of fewer, the fit would learn the calibration images' own noise
FIT_DAMPING = 0.01
INT16_MARGIN = 2.0  # 16 bits have steps to spare: better those than a clipped score
SLOPES = (0.8, 1.25)  # a regression slope beyond these is an accident of few images


@dataclass
class Parameters:
    """What the walk chooses: by operator index, weights and biases; by tensor name, ranges of activations.

    `extents` are the ranges that choose nothing: from the smallest to the largest value observed.
    """

    weights: dict[int, Array] = field(default_factory=dict)
    biases: dict[int, Array] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    extents: dict[str, Range] = field(default_factory=dict)


@dataclass
class _Activation:
    """A tensor of all images, from the float and from the quantized network."""

    exact: Array
    quantized: Array


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
    network = operators.Network(float_model)
    exact = _thinned(images, _bytes_per_image(network.graph))
    return _Walk(network, recipe).run(exact, input_range, progress or Steps())


def quantize(values: Array, limits: Range) -> Array:
    """Values at the steps that int8 has over a range, as TFLite rounds them: the zero point is a whole step."""
    scale, zero_point = steps(limits)
    low, high = ((end - zero_point) * scale for end in (-128, 127))
    result = np.empty_like(values)
    for start in range(0, len(values), operators.BATCH):
        part = slice(start, start + operators.BATCH)
        result[part] = tf.quantization.fake_quant_with_min_max_args(values[part], low, high)
    return result


class _Walk:
    """One way through a graph. `live` holds the activations that operators further down read."""

    def __init__(self, network: operators.Network, recipe: Recipe) -> None:
        self.network = network
        self.graph = network.graph
        self.recipe = recipe
        self.kept = in_float(self.graph, recipe)
        self.chosen = Parameters()
        self.live: dict[int, _Activation] = {}

    def run(self, images: Array, input_range: Range, progress: Steps) -> Parameters:
        """Visit every operator; float32 images (n, height, width, 3)."""
        self.chosen.extents[self.graph.tensors[self.graph.inputs[0]].name] = input_range
        self.keep(self.graph.inputs[0], images, images, input_range)
        self.chosen.ranges |= first_sum(self.graph, input_range) if self.recipe.format == "int8" else {}
        last_use = self.graph.last_uses
        for operator in progress.track(self.graph.operators, len(self.graph.operators)):
            rounds = operators.is_linear(operator, self.graph) and operator.index not in self.kept
            made = self.linear_layer(operator) if rounds else self.float_operator(operator)
            for output, activation in made.items():
                self.settle(operator, output, activation)
            for index in {index for index in operator.inputs if last_use[index] == operator.index}:
                self.live.pop(index, None)
        return self.chosen

    def settle(self, operator: Operator, tensor: int, made: _Activation) -> None:
        """Keep an output of an operator; whole numbers, such as shapes, have no range."""
        if made.exact.dtype != np.float32:
            self.live[tensor] = made
        else:
            self.keep(tensor, made.exact, made.quantized, self.range_of(operator, tensor, made))

    def keep(self, tensor: int, exact: Array, quantized: Array, limits: Range) -> None:
        """Settle the range of a tensor, and round its quantized values to the steps over it."""
        self.chosen.ranges[self.graph.tensors[tensor].name] = limits
        # 16 bits leave an activation as it is, next to the weights' 8.
        rounds = self.recipe.format == "int8" and is_rounded(self.graph, tensor, self.kept)
        self.live[tensor] = _Activation(exact, quantize(quantized, limits) if rounds else quantized)

    def linear_layer(self, operator: Operator) -> dict[int, _Activation]:
        """Round, correct the slope and then the bias of one convolution or dense layer."""
        source, recipe = self.live[operator.inputs[0]], self.recipe
        weights, bias = operators.weights(operator, self.graph), operators.bias(operator, self.graph)
        fitted = _fitted(operator, weights, source) if "inputs" in recipe.corrections else weights
        rounded = _round(operator, fitted, source.quantized, recipe)
        exact = operators.linear(operator, source.exact, weights)
        quantized = operators.linear(operator, source.quantized, rounded)
        if "slope" in recipe.corrections:
            slope = _slopes(exact, quantized)
            axes = rounding.channel_axes(_is_depthwise(operator), weights.ndim)
            rounded = np.divide(rounded, np.expand_dims(slope, axes), dtype=np.float32)
            quantized /= slope
        corrected = bias + _means(exact - quantized) if "bias" in recipe.corrections else bias
        self.chosen.weights[operator.index], self.chosen.biases[operator.index] = rounded, corrected
        exact, quantized = exact + bias, quantized + corrected
        return {operator.outputs[0]: _Activation(*(operators.activate(operator, y) for y in (exact, quantized)))}

    def float_operator(self, operator: Operator) -> dict[int, _Activation]:
        """An operator without weights of its own, or one that stays as it is."""
        exact = self.network.outputs(operator, {index: source.exact for index, source in self.live.items()})
        quantized = self.network.outputs(operator, {index: source.quantized for index, source in self.live.items()})
        return {tensor: _Activation(exact[tensor], quantized[tensor]) for tensor in exact}

    def range_of(self, operator: Operator, tensor: int, made: _Activation) -> Range:
        """The range that the kernel demands; else that which serves a tensor best by itself, or one shared with what it
        is added to.
        """
        name, exact, quantized = self.graph.tensors[tensor].name, made.exact, made.quantized
        observed = self.chosen.extents[name] = extent(exact, f"{name} for a calibration image")
        if name in self.chosen.ranges:
            return self.chosen.ranges[name]
        demanded = self.demanded(operator)
        if demanded is not None:
            return demanded
        if self.recipe.ranges == "mse" and holds_scores(self.graph, tensor):
            own = search_scores(exact.reshape(len(exact), -1), name)
        else:
            own = search(exact, self.recipe.ranges, name, self.view(tensor), observed)
        if self.recipe.format == "int16x8":
            return own[0] * INT16_MARGIN, own[1] * INT16_MARGIN
        addition = self.next_addition(tensor) if self.recipe.ranges == "mse" else None
        if addition is None:
            return own
        other = next(index for index in addition.inputs if index != tensor)
        shared = self.chosen.ranges[self.graph.tensors[other].name]
        view = self.view(addition.outputs[0])
        if not _sharing_pays(addition, (self.live[other].quantized, quantized), own, shared, view):
            return own
        self.chosen.ranges[self.graph.tensors[addition.outputs[0]].name] = shared
        return shared

    def demanded(self, operator: Operator) -> Range | None:
        """The range that an operator's kernel demands of its output: a fixed one, or that of its input."""
        if operator.index in self.kept:
            return None
        if operator.name in kernels.FIXED:
            return kernels.FIXED[operator.name]
        sources = [self.graph.tensors[index].name for index in operator.inputs if index in self.live]
        return self.chosen.ranges.get(sources[0]) if operator.name in kernels.SAME_AS_INPUT and sources else None

    def view(self, tensor: int) -> View:
        """How the operators that read a tensor see it."""
        readers = [operator for operator in self.graph.operators if tensor in operator.inputs]
        kinds = sorted(reader.name for reader in readers)
        if kinds == ["LOGISTIC", "MUL"] and readers[0].outputs[0] in readers[1].inputs:
            return SWISH
        return HARD_SWISH if kinds == ["HARD_SWISH"] else PLAIN

    def next_addition(self, tensor: int) -> Operator | None:
        """The ADD that alone reads a tensor, where the other operand has its range already."""
        readers = [operator for operator in self.graph.operators if tensor in operator.inputs]
        if len(readers) != 1 or readers[0].name != "ADD" or readers[0].index in self.kept:
            return None
        operands = set(readers[0].inputs)
        if len({self.graph.tensors[index].shape for index in operands}) > 1:
            return None
        settled = all(index in self.live for index in operands - {tensor})
        return readers[0] if len(operands) == 2 and settled else None


def holds_scores(graph: Subgraph, tensor: int) -> bool:
    """Whether a tensor holds scores of several classes: the model's output, or what goes into its softmax.

    Operators that only give it another shape may stand between.
    """
    readers = [operator for operator in graph.operators if tensor in operator.inputs]
    if len(readers) == 1 and readers[0].name in kernels.RESHAPING:
        return holds_scores(graph, readers[0].outputs[0])
    shape = graph.tensors[tensor].shape
    scores = math.prod(shape[:-1]) == 1 and shape[-1] > 1
    return scores and {operator.name for operator in readers} <= {"SOFTMAX"}


def _sharing_pays(addition: Operator, operands: tuple[Array, Array], own: Range, shared: Range, view: View) -> bool:
    """Whether a sum has less error where both operands and the result have one scale, and nothing is rounded twice.

    Args:
        operands: one that is rounded over `shared` already, and one not yet rounded, whose best range by itself is
            `own`.
        view: of the sum.
    """
    a, b = map(view.sample, operands)
    exact = operators.activate(addition, a + b)

    def cost(of_second: Range, of_sum: Range) -> float:
        summed = rounded(operators.activate(addition, a + rounded(b, of_second)), of_sum)
        return float(np.square(view.through(summed) - view.through(exact)).mean())

    return cost(shared, shared) < cost(own, search(exact, "mse", view=view))


def _bytes_per_image(graph: Subgraph) -> int:
    """The most that the walk holds of one image at a time: both activations of every live tensor, and a copy of two."""
    last_use, live, most = graph.last_uses, {graph.inputs[0]}, 0
    for operator in graph.operators:
        live |= set(operator.outputs)
        sizes = sorted(graph.tensors[index].elements for index in live)
        most = max(most, 8 * sum(sizes) + 8 * sum(sizes[-2:]))
        live -= {index for index in operator.inputs if last_use[index] == operator.index}
    return most


def _thinned(images: Sequence[Array], bytes_per_image: int) -> Array:
    count = max(1, min(len(images), MEMORY_BYTES // bytes_per_image))
    return np.stack([images[place * len(images) // count] for place in range(count)])


def _is_depthwise(operator: Operator) -> bool:
    return operator.name == "DEPTHWISE_CONV_2D"


def _is_grouped(operator: Operator, weights: Array, x: Array) -> bool:
    """Whether each output of a convolution sees a group of the inputs' channels only."""
    return operator.name == "CONV_2D" and weights.shape[3] < x.shape[3]


def _round(operator: Operator, weights: Array, x: Array, recipe: Recipe) -> Array:
    depthwise = _is_depthwise(operator)
    steps_of = rounding.scales(weights, depthwise, recipe.granularity == "tensor")
    if recipe.rounding == "nearest" or _is_grouped(operator, weights, x):
        return rounding.nearest(weights, steps_of)
    try:
        return rounding.gptq(weights, steps_of, _hessian(operator, weights, x), recipe.damping, depthwise)
    except np.linalg.LinAlgError as error:
        raise RecipeError(
            f"damping {recipe.damping:g} is too small for operator {operator.index} {operator.name}, some of whose "
            "inputs follow from others: 0.05 is the default"
        ) from error


def _hessian(operator: Operator, weights: Array, x: Array) -> Double:
    """X^T X of sampled patches, in the order of `rounding.gptq`; of each channel alone for depthwise layers."""
    if _is_depthwise(operator):
        patches = _patches(operator, weights, x, DEPTHWISE_ROWS)
        channels = tf.transpose(patches, (2, 1, 0))
        hessian = np.asarray(tf.matmul(channels, channels, transpose_b=True) / len(patches), np.float64)
        return hessian.repeat(weights.shape[3] // len(hessian), axis=0)
    rows = _inputs(operator, weights, x, ROWS)
    return np.asarray(rows.T @ rows / len(rows), np.float64)


def _inputs(operator: Operator, weights: Array, x: Array, count: int) -> Array:
    """About `count` of the vectors that a dense layer's or convolution's weights are multiplied by, one a row."""
    if operator.name == "FULLY_CONNECTED":
        rows = x.reshape(-1, weights.shape[1])
        return rows[:: max(1, len(rows) // count)]
    patches = _patches(operator, weights, x, count)
    return patches.reshape(len(patches), -1)


def _patches(operator: Operator, weights: Array, x: Array, count: int) -> Array:
    kernel = weights.shape[1], weights.shape[2]
    return operators.sample_patches(operator, x, kernel, -(-count // len(x)), operator.index)


def _fitted(operator: Operator, weights: Array, source: _Activation) -> Array:
    """Weights that make of the quantized inputs what the layer's own make of the exact ones, by least squares.

    They take less from directions in which rounding has left more noise than signal. Layers of many inputs keep their
    own weights, and so do depthwise ones.
    """
    alone = _is_depthwise(operator) or _is_grouped(operator, weights, source.exact)
    if alone or weights[0].size * ROWS_PER_INPUT > FITTED_ROWS:
        return weights
    quantized = _inputs(operator, weights, source.quantized, FITTED_ROWS)
    if len(quantized) < ROWS_PER_INPUT * quantized.shape[1]:
        return weights
    errors = _inputs(operator, weights, source.exact, FITTED_ROWS) - quantized
    power = np.asarray(quantized.T @ quantized, np.float64)
    power += FIT_DAMPING * np.eye(len(power)) * max(np.trace(power) / len(power), 1e-12)
    change = np.linalg.solve(power, (quantized.T @ errors) @ weights.reshape(len(weights), -1).T)
    return weights + change.T.reshape(weights.shape).astype(np.float32)


def _slopes(exact: Array, quantized: Array) -> Array:
    """The regression slope of each channel's quantized values on its exact ones; 1 where the exact ones do not vary."""
    covariance, variance = _covariance(exact, quantized), _covariance(exact, exact)
    slopes = np.where(variance > 1e-12, covariance / np.maximum(variance, 1e-12), 1.0)
    return np.clip(slopes, *SLOPES).astype(np.float32)


def _covariance(first: Array, second: Array) -> Double:
    rows = first.size // first.shape[-1]
    product = np.zeros(first.shape[-1])
    for start in range(0, len(first), operators.BATCH):
        part = slice(start, start + operators.BATCH)
        product += np.einsum("nc,nc->c", _rows(first[part]), _rows(second[part]))
    return np.asarray(product / rows - _means(first).astype(np.float64) * _means(second))


def _means(values: Array) -> Array:
    """The mean of each channel. Parts are summed in float64: a million float32 values lose the last digits."""
    total = np.zeros(values.shape[-1])
    for start in range(0, len(values), operators.BATCH):
        total += _rows(values[start : start + operators.BATCH]).sum(0)
    return np.asarray(total / (values.size // values.shape[-1]), np.float32)


def _rows(values: Array) -> Array:
    """One row for each place: (places, channels)."""
    return values.reshape(-1, values.shape[-1])
