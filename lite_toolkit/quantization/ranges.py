"""Ranges of activations, observed on the representative dataset."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.quantization.recipes import Criterion
from lite_toolkit.runtime import interpreter as runtime

Range = tuple[float, float]

SAMPLE = 100_000  # values that a range is chosen by
BINS = 2048
PERCENTILE = 1e-4
SWEEPS = 2  # over both ends: a third changes nothing
CANDIDATES = np.linspace(0.3, 1, 36)  # parts of the observed range


def observe(float_model: bytes, images: Iterable[NDArray[np.float32]], input_range: Range) -> Mapping[str, Range]:
    """Smallest and largest value that each activation takes.

    Args:
        float_model: a float32 `.tflite` with one input.
        images: normalised float32 arrays of shape (height, width, 3).
        input_range: of the input itself, which is known and need not be observed.

    Returns:
        Tensor name -> (min, max) over all images, for the input and the outputs of every operator.
    """
    interpreter = runtime.interpreter(float_model, keep_all=True)
    source = interpreter.get_input_details()[0]
    activations = _activations(interpreter)
    low = dict.fromkeys(activations, np.inf)
    high = dict.fromkeys(activations, -np.inf)
    for image in images:
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        for name, index in activations.items():
            values = interpreter.get_tensor(index)
            low[name] = min(low[name], float(values.min()))
            high[name] = max(high[name], float(values.max()))
    return {source["name"]: input_range} | {name: (low[name], high[name]) for name in activations}


def search(values: NDArray[np.float32], criterion: Criterion) -> Range:
    """The range that serves the values best by a criterion; it holds 0.

    Args:
        values: of one activation, any shape.
        criterion: "minmax" clips nothing; "percentile" clips a ten-thousandth at either end; "mse" minimises the mean
            squared error of rounding and clipping together; "kl" the divergence of the values' histogram from that of
            the rounded ones.
    """
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if criterion == "minmax" or low == high:
        return low, high
    drawn = sample(values)
    if criterion == "percentile":
        ends = np.quantile(drawn, [PERCENTILE, 1 - PERCENTILE])
        return min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)
    cost = _CRITERIA[criterion]
    costs = [cost(drawn, (low * part, high * part)) for part in CANDIDATES]
    best = CANDIDATES[int(np.argmin(costs))]
    return low * best, high * best


def search_scores(scores: NDArray[np.float32]) -> Range:
    """The range of logits (images, classes) that minimises the mean squared error of their differences.

    What all logits of an image have in common changes neither their order nor the softmax, so that it is no error.
    Logits reach much further up than down: either end is searched for itself.
    """
    low, high = min(float(scores.min()), 0.0), max(float(scores.max()), 0.0)
    best_low, best_high = low, high
    for _ in range(SWEEPS):
        best_high = min(high * CANDIDATES, key=lambda end: _centred_error(scores, (best_low, float(end))))
        best_low = min(low * CANDIDATES, key=lambda end: _centred_error(scores, (float(end), best_high)))
    return float(best_low), float(best_high)


def sample(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most `SAMPLE` of the values; the same places of every array of one size."""
    flat = values.reshape(-1)
    return flat if flat.size <= SAMPLE else flat[np.random.default_rng(0).integers(0, flat.size, SAMPLE)]


def steps(limits: Range) -> tuple[float, int]:
    """Scale and zero point of int8 over a range, which is widened to hold 0."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def _errors(values: NDArray[np.float32], limits: Range) -> NDArray[np.float32]:
    scale, zero_point = steps(limits)
    rounded = (np.clip(np.rint(values / scale) + zero_point, -128, 127) - zero_point) * scale
    return np.asarray(rounded - values, np.float32)


def _mean_squared_error(values: NDArray[np.float32], limits: Range) -> float:
    return float(np.square(_errors(values, limits)).mean())


def _centred_error(scores: NDArray[np.float32], limits: Range) -> float:
    errors = _errors(scores, limits)
    return float(np.square(errors - errors.mean(axis=1, keepdims=True)).mean())


def _divergence(values: NDArray[np.float32], limits: Range) -> float:
    """KL divergence of a fine histogram from the one that 255 steps within `limits` leave of it."""
    low, high = float(values.min()), float(values.max())
    exact, edges = np.histogram(values, BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    scale, zero_point = steps(limits)
    level = np.clip(np.rint(centres / scale) + zero_point, -128, 127).astype(int) + 128
    occupied = exact > 0
    mass, width = np.bincount(level, exact, 256), np.bincount(level, occupied, 256)
    rounded = np.where(occupied, mass[level] / np.maximum(width[level], 1), 0)
    p, q = exact[occupied] / exact.sum(), rounded[occupied] / rounded.sum()
    return float((p * np.log(p / q)).sum())


def _activations(interpreter: Any) -> dict[str, int]:
    """Name -> index of the float32 tensors that operators compute."""
    produced = {index for operator in interpreter._get_ops_details() for index in operator["outputs"]}  # noqa: SLF001
    return {
        details["name"]: details["index"]
        for details in interpreter.get_tensor_details()
        if details["index"] in produced and details["dtype"] is np.float32
    }


_CRITERIA: dict[str, Callable[[NDArray[np.float32], Range], float]] = {"mse": _mean_squared_error, "kl": _divergence}
