"""Ranges of activations, observed on the representative dataset."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.errors import ModelError
from lite_toolkit.quantization.recipes import Criterion
from lite_toolkit.runtime import interpreter as runtime

Range = tuple[float, float]

SAMPLE = 100_000  # values that a range is chosen by
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

    Raises:
        ModelError: an activation is not finite.
    """
    interpreter = runtime.interpreter(float_model, keep_all=True)
    source = interpreter.get_input_details()[0]
    activations = _activations(interpreter)
    low = dict.fromkeys(activations, np.inf)
    high = dict.fromkeys(activations, -np.inf)
    for number, image in enumerate(images, start=1):
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        for name, index in activations.items():
            least, most = _extent(interpreter.get_tensor(index), f"{name} for calibration image {number}")
            low[name], high[name] = min(low[name], least), max(high[name], most)
    return {source["name"]: input_range} | {name: (low[name], high[name]) for name in activations}


def search(values: NDArray[np.float32], criterion: Criterion, name: str = "an activation") -> Range:
    """The range that serves the values best by a criterion; it holds 0.

    Args:
        values: of one activation, any shape.
        criterion: "minmax" clips nothing; "mse" minimises the mean squared error of rounding and clipping together.
        name: of the activation.

    Raises:
        ModelError: a value is not finite.
    """
    low, high = _holding_0(_extent(values, name))
    if criterion == "minmax" or low == high:
        return low, high
    drawn = sample(values)
    costs = [_mean_squared_error(drawn, (low * part, high * part)) for part in CANDIDATES]
    best = CANDIDATES[int(np.argmin(costs))]
    return low * best, high * best


def search_scores(scores: NDArray[np.float32], name: str) -> Range:
    """The range of logits (images, classes) that minimises the mean squared error of their differences.

    What all logits of an image have in common changes neither their order nor the softmax, so that it is no error.
    Logits reach much further up than down: either end is searched for itself.

    Raises:
        ModelError: a score is not finite; the message has the tensor's `name`.
    """
    low, high = _holding_0(_extent(scores, name))
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
    low, high = _holding_0(limits)
    scale = (high - low) / 255 or 1.0
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def _extent(values: NDArray[np.float32], where: str) -> Range:
    """Smallest and largest value."""
    low, high = float(values.min()), float(values.max())
    # Both are NaN where any value is, which every later minimum and maximum would pass over.
    if not -runtime.LARGEST < low <= high < runtime.LARGEST:
        raise ModelError(f"the model has values that are not numbers in {where}")
    return low, high


def _holding_0(limits: Range) -> Range:
    return min(limits[0], 0.0), max(limits[1], 0.0)


def _errors(values: NDArray[np.float32], limits: Range) -> NDArray[np.float32]:
    scale, zero_point = steps(limits)
    rounded = (np.clip(np.rint(values / scale) + zero_point, -128, 127) - zero_point) * scale
    return np.asarray(rounded - values, np.float32)


def _mean_squared_error(values: NDArray[np.float32], limits: Range) -> float:
    return float(np.square(_errors(values, limits)).mean())


def _centred_error(scores: NDArray[np.float32], limits: Range) -> float:
    errors = _errors(scores, limits)
    return float(np.square(errors - errors.mean(axis=1, keepdims=True)).mean())


def _activations(interpreter: Any) -> dict[str, int]:
    """Name -> index of the float32 tensors that operators compute."""
    produced = {index for operator in interpreter._get_ops_details() for index in operator["outputs"]}  # noqa: SLF001
    return {
        details["name"]: details["index"]
        for details in interpreter.get_tensor_details()
        if details["index"] in produced and details["dtype"] is np.float32
    }
