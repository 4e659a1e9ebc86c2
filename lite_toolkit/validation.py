"""A quantized model against the float model that it was made from."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.runtime import Model


@dataclass(frozen=True)
class Comparison:
    """What quantization cost on some images.

    Attributes:
        images: number of images compared.
        agreement_percent: images whose highest score has the same class; the lowest index wins a tie.
        sqnr_db: signal to quantization noise ratio of the mean-centred scores; None where they are equal.
        largest_difference: of any score.
    """

    images: int
    agreement_percent: float
    sqnr_db: float | None
    largest_difference: float

    def to_json(self) -> dict[str, Any]:
        """The fields, with numbers as JSON has them."""
        return asdict(self)


def scores(model: Path | bytes, images: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Scores (images, classes) that a `.tflite` gives for normalised float32 images (height, width, 3)."""
    loaded = Model(model)
    return np.stack([loaded.scores(image) for image in images])


def compare(reference: NDArray[np.float32], quantized: NDArray[np.float32]) -> Comparison:
    """Compare scores of shape (images, classes).

    SQNR is 10 log10(sum(r^2) / sum((r - q)^2)) over the scores less each image's mean score, since a constant added to
    all logits of an image changes nothing.
    """
    signal = reference - reference.mean(axis=1, keepdims=True)
    noise = signal - (quantized - quantized.mean(axis=1, keepdims=True))
    signal_power, noise_power = (float(np.square(part, dtype=np.float64).sum()) for part in (signal, noise))
    agreeing = int((reference.argmax(axis=1) == quantized.argmax(axis=1)).sum())
    return Comparison(
        images=len(reference),
        agreement_percent=100 * agreeing / len(reference),
        sqnr_db=10 * math.log10(signal_power / noise_power) if noise_power and signal_power else None,
        largest_difference=float(np.abs(reference - quantized).max()),
    )
