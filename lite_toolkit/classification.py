"""Images -> the classes that a `.tflite` sees in them."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import manifest, metadata
from lite_toolkit.delegates import XNNPACK, Delegate
from lite_toolkit.errors import ImageError, ModelError
from lite_toolkit.images import find_images, read_image
from lite_toolkit.metadata import Metadata
from lite_toolkit.preprocessing import PreprocessingSpec, Sized, google_lite
from lite_toolkit.rehearsal import rehearse
from lite_toolkit.runtime import Model, TensorInfo


@dataclass(frozen=True)
class Score:
    """One class: its index, its label where labels are known, and its score."""

    index: int
    label: str | None
    score: float


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, best first; `error` instead where the image cannot be read."""

    image: Path
    top: tuple[Score, ...]
    error: str | None = None


class Classifier:
    """A model with the preprocessing and labels that belong to it.

    Attributes:
        preprocessing: what is done to each image.
        labels: one for each class; None where nobody told.
        note: how the preprocessing was found, where that is not certain.
    """

    def __init__(
        self,
        path: Path,
        *,
        preprocessing: Sized | None = None,
        labels: Sequence[str] | None = None,
        threads: int | None = None,
        delegate: Delegate = XNNPACK,
    ) -> None:
        """Load a model and find what belongs to it: arguments first, then the manifest, then the model's own metadata.

        Raises:
            ModelError: the model cannot be loaded, or labels or preprocessing do not fit it.
            DelegateError: the delegate cannot be loaded, or does not run the model.
        """
        rehearse(path, threads or 1, delegate)
        self.model = Model(path, threads, delegate)
        found = manifest.read(path)
        told = metadata.read(path) if found is None else None
        self.preprocessing, self.note = find_preprocessing(self.model.input, found, told, preprocessing)
        self.labels = labels if labels is not None else _labels(found, told, path)
        if self.labels is not None and len(self.labels) != self.model.classes:
            raise ModelError(f"{len(self.labels)} labels for a model of {self.model.classes} classes")

    def classify(self, images: Iterable[Path], top: int = 5) -> Iterator[Prediction]:
        """The `top` classes of each image; equal scores are in order of index."""
        for path in images:
            try:
                scores = self.model.scores(self.preprocessing.apply(read_image(path)))
            except ImageError as error:
                yield Prediction(path, (), str(error))
            else:
                yield Prediction(path, self._best(scores, top))

    def _best(self, scores: NDArray[np.float32], top: int) -> tuple[Score, ...]:
        order = np.argsort(-scores, kind="stable")[:top]
        return tuple(Score(int(i), self.labels[i] if self.labels else None, float(scores[i])) for i in order)


def find_preprocessing(
    image: TensorInfo, described: Mapping[str, Any] | None, told: Metadata | None, given: Sized | None
) -> tuple[PreprocessingSpec, str | None]:
    """What is done to images for a model: what is given, or what its manifest says, or else the model itself.

    Args:
        image: the model's input.
        described: its manifest, if there is one.
        told: its metadata, which counts where there is no manifest; it does not tell how images are cropped.
        given: by the user.

    Returns:
        The preprocessing, and how it was found where that is not certain.

    Raises:
        ModelError: the manifest says nothing usable, or another size than the input's.
    """
    if given:
        return given(image.size), None
    if described is not None:
        spec = manifest.preprocessing(described)
        if (spec.height, spec.width) != image.size:
            raise ModelError(f"the manifest says {spec.height}x{spec.width} pixels, the model {image.size}")
        return spec, None
    return _guess(image, told)


def _labels(found: Mapping[str, Any] | None, told: Metadata | None, model: Path) -> Sequence[str] | None:
    if found is None:
        return told.class_names if told else None
    labels = found.get("labels")
    if labels is None or (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        return labels
    raise ModelError(f"{manifest.path_of(model)}: labels must be a list of names or null")


def _guess(image: TensorInfo, told: Metadata | None) -> tuple[PreprocessingSpec, str]:
    """For a model without manifest: metadata or a uint8 input tell mean and std; otherwise Lite's are assumed."""
    spec, advice = google_lite(image.size), "pass --preprocessing if that is wrong"
    if told and told.normalization:
        mean, std = told.normalization.channels
        found = dataclasses.replace(spec, mean=mean, std=std)
        return found, f"No manifest: mean and std are the metadata's, cropped as for EfficientNet-Lite; {advice}."
    if image.dtype == "uint8" and image.scale:
        zero, one = float(image.zero_point), 1 / image.scale
        found = dataclasses.replace(spec, mean=(zero,) * 3, std=(one,) * 3)
        return found, f"No manifest: pixels are fed as they are, cropped as for EfficientNet-Lite; {advice}."
    return spec, f"No manifest: EfficientNet-Lite's preprocessing is assumed; {advice}."


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths`, and all images in the folders among them."""
    for path in paths:
        yield from find_images(path) if path.is_dir() else [path]
