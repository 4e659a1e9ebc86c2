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
from lite_toolkit.edgetpu.compiled import Compiled, for_delegate
from lite_toolkit.errors import ImageError, ModelError
from lite_toolkit.graph import Graph, Tensor, read_graph
from lite_toolkit.images import find_images, read_image
from lite_toolkit.metadata import Metadata
from lite_toolkit.preprocessing import PreprocessingSpec, Sized, google_lite
from lite_toolkit.rehearsal import rehearse
from lite_toolkit.runtime import Model, TensorInfo, ends
from lite_toolkit.text import odd_characters, shown

EVERYTHING = tuple(field.name for field in dataclasses.fields(PreprocessingSpec))


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


@dataclass(frozen=True)
class Description:
    """What there is to know of a classifier without running it.

    Attributes:
        image: its input.
        classes: number of scores.
        preprocessing: what is done to each image.
        labels: one for each class; None where nobody told.
        note: how the preprocessing was found, where that is not certain.
        told: the fields of the preprocessing that the user, a manifest or metadata tells; others are assumed.
        compiled: what is inside a model that an Edge TPU is to run; None for any other delegate.
        doubt: what of the model's own metadata was looked for, and is wrong.
    """

    image: TensorInfo
    classes: int
    preprocessing: PreprocessingSpec
    labels: Sequence[str] | None
    note: str | None
    told: tuple[str, ...]
    compiled: Compiled | None
    doubt: str | None = None

    @property
    def minimum_runtime(self) -> int | None:
        """The oldest runtime of an Edge TPU that a compiled model runs with."""
        return self.compiled.minimum_runtime if self.compiled else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know before the model runs."""
        return tuple(filter(None, (self.note, self.doubt, self.compiled.note if self.compiled else None)))


def describe(
    path: Path,
    *,
    preprocessing: Sized | None = None,
    labels: Sequence[str] | None = None,
    delegate: str = XNNPACK.name,
) -> Description:
    """Find what belongs to a model: arguments first, then the manifest, then the model's own metadata, then its input.

    Raises:
        ModelError: the file is no classifier of images, or labels or preprocessing do not fit it.
        DelegateError: the delegate is an Edge TPU's, and the model not compiled for it.
    """
    graph = read_graph(path)
    compiled = for_delegate(path, graph, delegate)
    try:
        image, scores = ends(*endpoints(graph))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    classes, found = scores.shape[-1], manifest.read(path)
    wanted = found is None and (preprocessing is None or labels is None)
    told, doubt = _hint(graph, classes) if wanted else (None, None)
    spec, note = find_preprocessing(image, found, told, preprocessing)
    labels = labels if labels is not None else _labels(found, told, path)
    if labels is not None and len(labels) != classes:
        raise ModelError(f"{len(labels)} labels for a model of {classes} classes")
    fields = EVERYTHING if note is None else ("mean", "std") if told and told.normalization else ()
    return Description(image, classes, spec, labels, note, fields, compiled, doubt)


def _hint(graph: Graph, classes: int) -> tuple[Metadata | None, str | None]:
    """The model's own metadata, without labels of another number; and what is wrong with it."""
    told, problem = metadata.hint(graph)
    if told and told.class_names and len(told.class_names) != classes:
        problem = f"{len(told.class_names)} labels for a model of {classes} classes"
        told = dataclasses.replace(told, labels={})
    return told, f"Not all of the model's metadata is used: {problem}." if problem else None


def endpoints(graph: Graph) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """The inputs and the outputs of a model, as a runtime would tell them."""
    main = graph.subgraphs[0]
    inputs, outputs = ([_info(main.tensors[number]) for number in side] for side in (main.inputs, main.outputs))
    return inputs, outputs


def _info(tensor: Tensor) -> TensorInfo:
    quantized = tensor.quantization
    scale, zero_point = (quantized.scales[0], quantized.zero_points[0]) if quantized else (0, 0)
    return TensorInfo(tensor.name, tensor.shape, tensor.dtype, float(scale), int(zero_point))


class Classifier:
    """A model with the preprocessing and labels that belong to it.

    Attributes:
        model: loaded.
        preprocessing: what is done to each image.
        labels: one for each class; None where nobody told.
        notes: what users should know: how the preprocessing was found, or what an Edge TPU leaves to the CPU.
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
        """Load a model, and what belongs to it as `describe` finds it.

        Raises:
            ModelError: the model cannot be loaded, or labels or preprocessing do not fit it.
            DelegateError: the delegate cannot be loaded, or does not run the model.
        """
        about = describe(path, preprocessing=preprocessing, labels=labels, delegate=delegate.name)
        self.preprocessing, self.labels, self.notes = about.preprocessing, about.labels, about.notes
        rehearse(path, threads or 1, delegate, about.minimum_runtime)
        self.model = Model(path, threads, delegate)

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
    if labels is None:
        return None
    if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
        return [shown(label) if odd_characters(label) else label for label in labels]
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
