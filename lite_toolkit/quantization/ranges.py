"""Ranges of activations, observed on the representative dataset."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import runtime

Range = tuple[float, float]


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


def _activations(interpreter: Any) -> dict[str, int]:
    """Name -> index of the float32 tensors that operators compute."""
    produced = {index for operator in interpreter._get_ops_details() for index in operator["outputs"]}  # noqa: SLF001
    return {
        details["name"]: details["index"]
        for details in interpreter.get_tensor_details()
        if details["index"] in produced and details["dtype"] is np.float32
    }
