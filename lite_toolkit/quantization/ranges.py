"""Ranges of activations, observed on the representative dataset."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.quantization.recipes import Criterion
from lite_toolkit.runtime.interpreter import LARGEST
from lite_toolkit.tflite.graph import Subgraph

Array = NDArray[np.float32]
Double = NDArray[np.float64]
Range = tuple[float, float]

SAMPLE = 100_000  # values that a range is chosen by
SWEEPS = 2  # over both ends: a third changes nothing
ENDS_SAMPLE = 30_000  # the same where both ends are searched
CANDIDATES = np.linspace(0.3, 1, 36)  # parts of the observed range
DEEP_CANDIDATES = np.geomspace(0.01, 1, 36)  # the same of a minimum that hardly matters


def first_sum(graph: Subgraph, input_range: Range) -> dict[str, Range]:
    """The range of the input's sum with a constant, by its name, where there is one: it is the same for every image.

    Pixels less a whole number keep their steps so. Less 127.5 each would lie between two, and all be rounded the same
    way: half a step more at both ends lets errors cancel.
    """
    found = {}
    for operator in graph.operators:
        others = [graph.tensors[index] for index in operator.inputs if index not in graph.inputs]
        if operator.name == "ADD" and len(operator.inputs) == 2 and [one.is_constant for one in others] == [True]:
            added = others[0].data()
            margin = 0.0 if (added == np.rint(added)).all() else (input_range[1] - input_range[0]) / 255 / 2
            limits = input_range[0] + float(added.min()) - margin, input_range[1] + float(added.max()) + margin
            found[graph.tensors[operator.outputs[0]].name] = limits
    return found


@dataclass(frozen=True)
class View:
    """How what reads a tensor sees it: the error that counts is the one behind its reader.

    Attributes:
        sample: some of a tensor's values, (images, ...); the same places of every tensor of one shape.
        through: what the reader makes of such a sample.
        ends: parts of the observed minimum and of the observed maximum that are tried, each end by itself; None where
            both ends are moved together.
    """

    sample: Callable[[Array], Array]
    through: Callable[[Array], Array]
    ends: tuple[Double, Double] | None


def search(values: Array, criterion: Criterion, observed: Range | None = None, view: View | None = None) -> Range:
    """The range that serves the values best by a criterion; it holds 0.

    Args:
        values: of one activation, or a sample of them, any shape.
        criterion: "minmax" clips nothing; "mse" minimises the mean squared error of rounding and clipping together.
        observed: the least and the greatest of all its values, where `values` are a sample.
        view: behind which the error is counted; by default it is that of the values themselves.
    """
    view = view or PLAIN
    low, high = _holding_0(observed or _reach(values))
    if criterion == "minmax" or low == high:
        return low, high
    drawn = view.sample(values)
    seen = view.through(drawn)

    def cost(limits: Range) -> float:
        return float(np.square(view.through(rounded(drawn, limits)) - seen).mean())

    if view.ends is None:
        return min(((low * part, high * part) for part in map(float, CANDIDATES)), key=cost)
    return _search_ends(low * view.ends[0], high * view.ends[1], cost)


def _search_ends(lows: Double, highs: Double, cost: Callable[[Range], float]) -> Range:
    """The pair of ends of least cost, found one end after the other; the last ones are the widest."""
    low, high = float(lows[-1]), float(highs[-1])
    for _ in range(SWEEPS):
        high = min(map(float, highs), key=lambda end: cost((low, end)))
        low = min(map(float, lows), key=lambda end: cost((end, high)))
    return low, high


def search_scores(scores: Array) -> Range:
    """The range of logits (images, classes) that minimises the mean squared error of their differences.

    What all logits of an image have in common changes neither their order nor the softmax, so that it is no error.
    Logits reach much further up than down: either end is searched for itself.
    """
    low, high = _holding_0(_reach(scores))
    return _search_ends(low * CANDIDATES, high * CANDIDATES, lambda limits: _centred_error(scores, limits))


def sample(values: Array) -> Array:
    """At most `SAMPLE` of the values; the same places of every array of one size."""
    flat = values.reshape(-1)
    return flat if flat.size <= SAMPLE else flat[np.random.default_rng(0).integers(0, flat.size, SAMPLE)]


def steps(limits: Range) -> tuple[float, int]:
    """Scale and zero point of int8 over a range, which is widened to hold 0."""
    low, high = _holding_0(limits)
    scale = (high - low) / 255 or 1.0
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def extent(values: Array, where: str) -> Range:
    """Smallest and largest value.

    Raises:
        ModelError: a value is not finite; the message says where it is.
    """
    low, high = _reach(values)
    # Both are NaN where any value is, which every later minimum and maximum would pass over.
    if not -LARGEST < low <= high < LARGEST:
        raise ModelError(f"the model has values that are not numbers in {where}")
    return low, high


def _reach(values: Array) -> Range:
    return float(values.min()), float(values.max())


def _holding_0(limits: Range) -> Range:
    return min(limits[0], 0.0), max(limits[1], 0.0)


def in_steps(values: Array, limits: Range) -> Array:
    """The whole steps, -128 to 127, that int8 stores of values over a range."""
    scale, zero_point = steps(limits)
    stored = np.rint(values / np.float32(scale))
    stored += zero_point
    return np.asarray(np.clip(stored, -128, 127, out=stored))


def rounded(values: Array, limits: Range) -> Array:
    """Values at the steps over a range."""
    scale, zero_point = steps(limits)
    return np.asarray((in_steps(values, limits) - zero_point) * np.float32(scale))


def _centred_error(scores: Array, limits: Range) -> float:
    errors = rounded(scores, limits) - scores
    return float(np.square(errors - errors.mean(axis=1, keepdims=True)).mean())


def _some(values: Array) -> Array:
    return sample(values)[:ENDS_SAMPLE]


def _swish(values: Array) -> Array:
    return np.asarray(values / (1 + np.exp(np.minimum(-values, 80))), np.float32)


def _hard_swish(values: Array) -> Array:
    return np.asarray(values * np.clip(values / 6 + 0.5, 0, 1), np.float32)


PLAIN = View(sample, lambda values: values, None)
# All that lies far below 0 becomes 0.
SWISH = View(_some, _swish, (DEEP_CANDIDATES, CANDIDATES))
HARD_SWISH = View(_some, _hard_swish, (DEEP_CANDIDATES, CANDIDATES))
