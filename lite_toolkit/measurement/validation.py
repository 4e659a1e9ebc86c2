"""A quantized model against the float model that it was made from."""

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.datasets import representative
from lite_toolkit.errors import ModelError, require_range
from lite_toolkit.images.preprocessing import Sized
from lite_toolkit.measurement.description import describe, together
from lite_toolkit.measurement.layer_errors import decibels, measure
from lite_toolkit.measurement.loss import Assessment, Comparison, ScoreKind, Validation
from lite_toolkit.measurement.remedies import worst
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.interpreter import Model, finite
from lite_toolkit.tflite.graph import read_graph

_TOP = 5
_LEAST_PROBABILITY = 1e-6  # an 8-bit softmax rounds most classes to 0, whose logarithm would be infinite


def validate(
    reference: Path,
    quantized: Path,
    data: Path,
    *,
    preprocessing: Sized | None = None,
    samples: int | None = None,
    steps: Steps | None = None,
) -> Validation:
    """Compare two `.tflite` classifiers on images: their scores, and layer by layer.

    The images are gone through once: of each, its scores stay in memory.

    Args:
        reference: the float model.
        quantized: the model that was made from it.
        data: folder of images, `.npy` or `.npz`, as `representative.read` takes it.
        preprocessing: by default that of the manifest beside either model.
        samples: images used at most; None is all.
        steps: shows progress.

    Raises:
        ModelError: a model cannot be run or gives values that are not finite, `reference` is quantized, or the two do
            not belong together.
        ImageError: the data cannot be used.
        UsageError: no number of samples.
    """
    require_range("--samples", samples, 1)
    steps = steps or Steps()
    models = quantized, reference
    sides = [describe(path, preprocessing=preprocessing) for path in models]
    about = together(models, sides)
    _require_float(reference)
    if sides[0].head != sides[1].head:
        raise ModelError(f"{quantized} gives a {sides[0].head}, {reference} a {sides[1].head}: they must be the same")
    images = representative.read(data, about.preprocessing, samples or representative.MAXIMUM_ARRAY_IMAGES)
    float_model, model = (Model(path, head=about.head) for path in (reference, quantized))
    found: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def scored() -> Iterator[NDArray[np.float32]]:
        for name, image in images.normalised(steps):
            found.append((float_model.scores(image, name), model.scores(image, name)))
            yield image

    with steps.step("images"):
        layers = measure(reference.read_bytes(), quantized.read_bytes(), scored())
    exact, rounded = (np.stack(side) for side in zip(*found, strict=True))
    comparison = compare(exact, rounded, about.head)
    return Validation(
        float_=reference.name,
        quantized=quantized.name,
        data=f"{comparison.images} {images.title}",
        skipped_images=tuple(images.skipped),
        preprocessing=about.preprocessing.to_json(),
        comparison=comparison,
        layers=layers,
        worst=worst(layers),
        note=about.note,
    )


def assess(
    reference: bytes, quantized: bytes, comparison: Comparison, images: Iterable[NDArray[np.float32]]
) -> Assessment:
    """Add to a comparison of scores the error of every layer on normalised float32 images (height, width, 3)."""
    layers = measure(reference, quantized, images)
    return Assessment(comparison, layers, worst(layers))


def scores(
    model: Path | bytes,
    images: Iterable[NDArray[np.float32]],
    names: Iterable[object] | None = None,
    title: str = "the model",
    head: str = heads.SINGLE_LABEL,
) -> NDArray[np.float32]:
    """Scores (images, classes) that a `.tflite` gives for normalised float32 images (height, width, 3); `head` tells
    what its outputs mean.

    Raises:
        ModelError: a score is not finite; the message has the image's name, by default its number, and the model's
            path, or its title where it has none.
    """
    loaded = Model(model, head=head)
    if isinstance(model, bytes):
        loaded.title = title
    named = zip(names or count(1), images, strict=False)  # numbers have no end
    return np.stack([loaded.scores(image, f"image {name}") for name, image in named])


def compare(
    reference: NDArray[np.float32], quantized: NDArray[np.float32], head: str = heads.SINGLE_LABEL
) -> Comparison:
    """Compare scores of shape (images, classes).

    SQNR is 10 log10(sum(r^2) / sum((r - q)^2)) over the scores less each image's mean score, since a constant added to
    all logits of an image changes nothing; sigmoids less 0.5. Scores of single-label models are
    probabilities where the reference's are positive and add up to 1.

    Args:
        reference, quantized: scores of at least two classes.
        head: what the models' outputs mean.

    Raises:
        ModelError: a score is not finite.
    """
    for values in (reference, quantized):
        finite(values, "a model", "an image")
    kind, classes = _kind(reference, head), reference.shape[1]
    signal = _centred(reference, kind)
    noise = signal - _centred(quantized, kind)
    expected = heads.answers(head, reference)
    return Comparison(
        images=len(reference),
        agreement_percent=100 * float((expected == heads.answers(head, quantized)).all(axis=1).mean()),
        top5_agreement_percent=None if kind == "sigmoids" or classes <= _TOP else _in_best_five(expected, quantized),
        sqnr_db=decibels(*(float(np.square(part, dtype=np.float64).sum()) for part in (signal, noise))),
        kl_divergence_nats=_divergence(_log_probabilities(reference, kind), _log_probabilities(quantized, kind)),
        largest_difference=float(np.abs(reference - quantized).max()),
        scores=kind,
        float_answers=len(np.unique(expected, axis=0)),
    )


def _in_best_five(expected: NDArray[np.intp], quantized: NDArray[np.float32]) -> float:
    best_five = np.argsort(-quantized, axis=1, kind="stable")[:, :_TOP]
    return 100 * float((best_five == expected).any(axis=1).mean())


def _kind(reference: NDArray[np.float32], head: str) -> ScoreKind:
    if head == heads.MULTI_LABEL:
        return "sigmoids"
    normalised = reference.min() >= 0 and np.allclose(reference.sum(axis=1), 1, atol=1e-3)
    return "probabilities" if normalised and head != heads.LOGIT else "logits"


def _centred(scores: NDArray[np.float32], kind: ScoreKind) -> NDArray[np.float32]:
    return scores - (heads.THRESHOLD if kind == "sigmoids" else scores.mean(axis=1, keepdims=True))


def _log_probabilities(values: NDArray[np.float32], kind: ScoreKind) -> NDArray[np.float64]:
    """Of each class; of each label that it holds, and that it does not, in the order of the last axis."""
    logits = values.astype(np.float64)
    if kind == "sigmoids":
        logits = np.stack([logits, 1 - logits], axis=-1)
    if kind != "logits":
        logits = np.log(logits.clip(_LEAST_PROBABILITY))
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def _divergence(reference: NDArray[np.float64], quantized: NDArray[np.float64]) -> float:
    """Mean over the images of sum(p log(p / q)), from log p and log q; rounding may leave it below 0 by a hair."""
    return max(0.0, float((np.exp(reference) * (reference - quantized)).sum() / len(reference)))


def _require_float(path: Path) -> None:
    if any(tensor.quantization for tensor in read_graph(path).subgraphs[0].tensors):
        raise ModelError(f"{path} is quantized: the first model must be the float one")
