"""What there is to know of a classifier without running it, and whether several belong together."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lite_toolkit.edgetpu.compiled import Compiled, for_delegate
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import PreprocessingSpec, Sized, google_lite
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.delegates import XNNPACK
from lite_toolkit.runtime.interpreter import TensorInfo, ends
from lite_toolkit.text import odd_characters, shown
from lite_toolkit.tflite import ending, manifest, metadata
from lite_toolkit.tflite.graph import Graph, Tensor, read_graph
from lite_toolkit.tflite.metadata import Metadata

_ADVICE = "pass --preprocessing if that is wrong"
NOTES = {
    heads.LOGIT: "The model has one output, without a sigmoid: it is taken for the logit of the second of two classes, "
    "which holds above 0.",
    heads.MULTI_LABEL: "The model has a sigmoid for each label: any number of them may hold, those above 0.5.",
}
EVERYTHING = tuple(field.name for field in dataclasses.fields(PreprocessingSpec))


@dataclass(frozen=True)
class Description:
    """What there is to know of a classifier without running it.

    Attributes:
        image: its input.
        outputs: number of values of its output.
        head: what they mean, one of `heads.HEADS`.
        preprocessing: what is done to each image.
        labels: one for each class; None where nobody told.
        note: how the preprocessing was found, where that is not certain.
        told: the fields of the preprocessing that the user, a manifest or metadata tells; others are assumed.
        compiled: what is inside a model that an Edge TPU is to run; None for any other delegate.
        doubt: what of the model's own metadata was looked for, and is wrong.
    """

    image: TensorInfo
    outputs: int
    head: str
    preprocessing: PreprocessingSpec
    labels: Sequence[str] | None
    note: str | None
    told: tuple[str, ...]
    compiled: Compiled | None
    doubt: str | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return heads.classes(self.outputs)

    @property
    def minimum_runtime(self) -> int | None:
        """The oldest runtime of an Edge TPU that a compiled model runs with."""
        return self.compiled.minimum_runtime if self.compiled else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know before the model runs."""
        compiled = self.compiled.note if self.compiled else None
        return tuple(filter(None, (self.note, self.doubt, compiled, NOTES.get(self.head))))


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
    found = manifest.read(path)
    try:
        image, scores = ends(*endpoints(graph))
        head = manifest.head(found, scores.shape[-1]) or ending.head(graph.subgraphs[0])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    wanted = found is None and (preprocessing is None or labels is None)
    told, doubt = _hint(graph, scores.shape[-1]) if wanted else (None, None)
    spec, note = find_preprocessing(image, found, told, preprocessing)
    labels = labels if labels is not None else heads.both(_labels(found, told, path), scores.shape[-1])
    if labels is not None:
        heads.require_labels(labels, scores.shape[-1])
    fields = EVERYTHING if note is None else ("mean", "std") if told and told.normalization else ()
    return Description(image, scores.shape[-1], head, spec, labels, note, fields, compiled, doubt)


def _hint(graph: Graph, outputs: int) -> tuple[Metadata | None, str | None]:
    """The model's own metadata, without labels of another number; and what is wrong with it."""
    told, problem = metadata.hint(graph)
    if told and told.class_names:
        try:
            heads.require_labels(heads.both(told.class_names, outputs) or (), outputs)
        except ModelError as error:
            problem, told = str(error), dataclasses.replace(told, labels={})
    return told, f"Not all of the model's metadata is used: {problem}." if problem else None


def endpoints(graph: Graph) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """The inputs and the outputs of a model, as a runtime would tell them."""
    main = graph.subgraphs[0]
    inputs, outputs = ([info(main.tensors[number]) for number in side] for side in (main.inputs, main.outputs))
    return inputs, outputs


def info(tensor: Tensor) -> TensorInfo:
    """A tensor of a graph, with its first scale and zero point."""
    quantized = tensor.quantization
    scale, zero_point = (quantized.scales[0], quantized.zero_points[0]) if quantized else (0, 0)
    return TensorInfo(tensor.name, tensor.shape, tensor.dtype, float(scale), int(zero_point))


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
        return _fitted(given, image), None
    if described is not None:
        spec = manifest.preprocessing(described)
        if spec.shape != image.shape[1:]:
            raise ModelError(f"the manifest says {spec.shape} (height, width, channels), the model {image.shape[1:]}")
        basis = manifest.basis(described)
        doubt = basis and not basis.certain and f"The preprocessing is not certain: {basis.reason}; {_ADVICE}."
        return spec, doubt or None
    return _guess(image, told)


def _fitted(preprocessing: Sized, image: TensorInfo) -> PreprocessingSpec:
    return preprocessing(image.size).for_channels(image.shape[3])


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
    spec, advice = _fitted(google_lite, image), _ADVICE
    if told and told.normalization:
        mean, std = told.normalization.channels
        found = dataclasses.replace(spec, mean=mean, std=std)
        return found, f"No manifest: mean and std are the metadata's, cropped as for EfficientNet-Lite; {advice}."
    if image.dtype == "uint8" and image.scale:
        zero, one = float(image.zero_point), 1 / image.scale
        found = dataclasses.replace(spec, mean=(zero,) * 3, std=(one,) * 3)
        return found, f"No manifest: pixels are fed as they are, cropped as for EfficientNet-Lite; {advice}."
    return spec, f"No manifest: EfficientNet-Lite's preprocessing is assumed; {advice}."


def together(models: Sequence[Path], sides: Sequence[Description], given: Sized | None = None) -> Description:
    """The first model's description, with the preprocessing that is right for all.

    Args:
        models: the files.
        sides: what there is to know of each.
        given: the user's preprocessing, for models without manifest; a manifest must tell the same.

    Raises:
        ModelError: input sizes or numbers of classes differ, or one has a sigmoid for each label and another not, or
            manifests or metadata tell different preprocessing.
    """
    for what, values in (
        ("input size", [side.image.size for side in sides]),
        ("number of channels", [side.image.shape[3] for side in sides]),
        ("number of classes", [side.classes for side in sides]),
        ("labels an image", ["any number" if side.head == heads.MULTI_LABEL else "one" for side in sides]),
    ):
        if values[0] != values[-1]:
            raise ModelError(
                f"{models[0]} has {what} {values[0]}, but {models[-1]} {values[-1]}: they must be the same"
            )
    told = list(zip(map(str, models), sides, strict=True))
    if given:
        chosen = replace(sides[0], preprocessing=_fitted(given, sides[0].image), note=None, told=EVERYTHING)
        told = [("--preprocessing", chosen), *((name, side) for name, side in told if side.told == EVERYTHING)]
    # Of the one that tells most, the first: what others only assume does not count.
    source, chosen = max(told, key=lambda one: len(one[1].told))
    for name, side in told:
        for key in side.told:
            ours, theirs = (getattr(one.preprocessing, key) for one in (chosen, side))
            if not _equal(ours, theirs):
                raise ModelError(
                    f"the preprocessing must be one, but {key} is {ours!r} by {source}, {theirs!r} by {name}"
                )
    return replace(sides[0], preprocessing=chosen.preprocessing, note=chosen.note)


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, tuple):  # mean or std, which metadata holds in float32
        return np.array_equal(np.asarray(ours, np.float32), np.asarray(theirs, np.float32))
    return bool(ours == theirs)
