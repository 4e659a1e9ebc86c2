"""The layer walk: choose weights, biases and ranges layer by layer, each on what the layers before have become.

Two activations of the representative images are kept for every live tensor: from the float network, and from the
network quantized so far. A layer is rounded on the latter and corrected towards the former, so that it makes up for the
errors before it instead of adding to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import RecipeError
from lite_toolkit.networks.backend import tf
from lite_toolkit.progress import Steps
from lite_toolkit.quantization import operators, rounding
from lite_toolkit.quantization.precision import in_float, is_rounded
from lite_toolkit.quantization.ranges import Range, sample, search, search_scores, steps
from lite_toolkit.quantization.recipes import Recipe
from lite_toolkit.tflite.graph import Operator, Subgraph, read_graph

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
    """What the walk chooses: by operator index, weights and biases; by tensor name, ranges of activations."""

    weights: dict[int, Array] = field(default_factory=dict)
    biases: dict[int, Array] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)


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
        float_model: the content of a file with one image input, and operators that `operators` knows.
        images: normalised float32 (height, width, 3); of more than fit `MEMORY_BYTES`, an even choice is used.
        input_range: of the quantized input.
        recipe: rounding, corrections, the criterion of ranges, and the layers that stay in float.
        progress: shown over the operators.

    Raises:
        ModelError: an operator that `operators` does not know, or an activation that is not finite.
        RecipeError: there is no such layer, or the damping is too small for one.
    """
    graph = read_graph(float_model).subgraphs[0]
    exact = _thinned(images, _bytes_per_image(graph))
    return _Walk(graph, recipe).run(exact, input_range, progress or Steps())


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

    def __init__(self, graph: Subgraph, recipe: Recipe) -> None:
        self.graph = graph
        self.recipe = recipe
        self.kept = in_float(graph, recipe.in_float)
        self.chosen = Parameters()
        self.live: dict[int, _Activation] = {}

    def run(self, images: Array, input_range: Range, progress: Steps) -> Parameters:
        """Visit every operator; float32 images (n, height, width, 3)."""
        self.keep(self.graph.inputs[0], images, images, input_range)
        last_use = self.graph.last_uses
        for operator in progress.track(self.graph.operators, len(self.graph.operators)):
            rounds = operator.name in operators.LINEAR and operator.index not in self.kept
            exact, quantized = self.linear_layer(operator) if rounds else self.float_operator(operator)
            output = operator.outputs[0]
            self.keep(output, exact, quantized, self.range_of(output, exact, quantized))
            for index in {index for index in operator.inputs if last_use[index] == operator.index}:
                self.live.pop(index, None)
        return self.chosen

    def keep(self, tensor: int, exact: Array, quantized: Array, limits: Range) -> None:
        """Settle the range of a tensor, and round its quantized values to the steps over it."""
        self.chosen.ranges[self.graph.tensors[tensor].name] = limits
        # 16 bits leave an activation as it is, next to the weights' 8.
        rounds = self.recipe.format == "int8" and is_rounded(self.graph, tensor, self.kept)
        self.live[tensor] = _Activation(exact, quantize(quantized, limits) if rounds else quantized)

    def linear_layer(self, operator: Operator) -> tuple[Array, Array]:
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
        return operators.activate(operator, exact + bias), operators.activate(operator, quantized + corrected)

    def float_operator(self, operator: Operator) -> tuple[Array, Array]:
        """An operator without weights of its own, or one that stays as it is."""
        sources = [self.live[index] for index in operator.inputs if index in self.live]
        exact = operators.evaluate(operator, self.graph, [source.exact for source in sources])
        return exact, operators.evaluate(operator, self.graph, [source.quantized for source in sources])

    def range_of(self, tensor: int, exact: Array, quantized: Array) -> Range:
        """The range that serves a tensor best by itself, or one shared with what it is added to."""
        name = self.graph.tensors[tensor].name
        if name in self.chosen.ranges:
            return self.chosen.ranges[name]
        holds_scores = self.holds_scores(tensor, exact)
        own = search_scores(exact, name) if holds_scores else search(exact, self.recipe.ranges, name)
        if self.recipe.format == "int16x8":
            return own[0] * INT16_MARGIN, own[1] * INT16_MARGIN
        addition = self.next_addition(tensor) if self.recipe.ranges == "mse" else None
        if addition is None:
            return own
        other = next(index for index in addition.inputs if index != tensor)
        shared = self.chosen.ranges[self.graph.tensors[other].name]
        if not _sharing_pays(self.live[other].quantized, quantized, own, shared):
            return own
        self.chosen.ranges[self.graph.tensors[addition.outputs[0]].name] = shared
        return shared

    def holds_scores(self, tensor: int, exact: Array) -> bool:
        """Whether a tensor holds the logits: the model's output, or what goes into its softmax."""
        readers = {operator.name for operator in self.graph.operators if tensor in operator.inputs}
        return self.recipe.ranges == "mse" and exact.ndim == 2 and readers <= {"SOFTMAX"}

    def next_addition(self, tensor: int) -> Operator | None:
        """The ADD that alone reads a tensor, where the other operand has its range already."""
        readers = [operator for operator in self.graph.operators if tensor in operator.inputs]
        if len(readers) != 1 or readers[0].name != "ADD" or readers[0].index in self.kept:
            return None
        operands = set(readers[0].inputs)
        settled = all(index in self.live for index in operands - {tensor})
        return readers[0] if len(operands) == 2 and settled else None


def _sharing_pays(first: Array, second: Array, own: Range, shared: Range) -> bool:
    """Whether a sum has less error where both operands and the result have one scale, and nothing is rounded twice.

    Args:
        first: the operand that is rounded over `shared` already.
        second: the other one, not yet rounded; `own` is its best range by itself.
    """
    a, b = sample(first)[np.newaxis], sample(second)[np.newaxis]
    total = a + b
    apart = quantize(a + quantize(b, own), search(total, "mse"))
    together = quantize(a + quantize(b, shared), shared)
    return float(np.square(together - total).mean()) < float(np.square(apart - total).mean())


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


def _round(operator: Operator, weights: Array, x: Array, recipe: Recipe) -> Array:
    depthwise = _is_depthwise(operator)
    steps_of = rounding.scales(weights, depthwise, recipe.granularity == "tensor")
    if recipe.rounding == "nearest":
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
        return np.asarray(tf.matmul(channels, channels, transpose_b=True) / len(patches), np.float64)
    rows = _inputs(operator, weights, x, ROWS)
    return np.asarray(rows.T @ rows / len(rows), np.float64)


def _inputs(operator: Operator, weights: Array, x: Array, count: int) -> Array:
    """About `count` of the vectors that a dense layer's or convolution's weights are multiplied by, one a row."""
    if operator.name == "FULLY_CONNECTED":
        return x.reshape(len(x), -1)
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
    if _is_depthwise(operator) or weights[0].size * ROWS_PER_INPUT > FITTED_ROWS:
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
