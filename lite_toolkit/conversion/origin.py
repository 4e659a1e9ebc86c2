"""The network that a request converts, and where it comes from."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lite_toolkit.conversion import tflite_file
from lite_toolkit.conversion.request import Request
from lite_toolkit.conversion.trial import choose
from lite_toolkit.documents import sha256
from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.measurement.description import describe
from lite_toolkit.networks import names
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.text import shown
from lite_toolkit.tflite.manifest import Basis
from lite_toolkit.tflite.metadata import Metadata, Normalization

if TYPE_CHECKING:
    from lite_toolkit.conversion.float_model import Classifier


@dataclass(frozen=True)
class Origin:
    """A classifier to convert.

    Attributes:
        classifier: the network, in TensorFlow, or the content of a float32 `.tflite` that is taken as it is.
        preprocessing: what it expects.
        provenance: what the manifest says of where it comes from.
        scores: what it gives: "logits", "probabilities", or "scores" where nobody tells.
        metadata: what every file of it says of itself.
        notes: what the user should know, one sentence each.
        basis: what the preprocessing was chosen by; None where it comes with the weights.
    """

    classifier: "Classifier | bytes"
    preprocessing: PreprocessingSpec
    provenance: Mapping[str, Any]
    scores: str
    metadata: Metadata
    notes: tuple[str, ...]
    basis: Basis | None = None


def origin_of(request: Request, steps: Steps) -> Origin:
    """The variant with its weights, or the user's own model.

    Raises:
        LiteToolkitError: a value that does not fit, or weights or a model that cannot be read.
    """
    if request.model is None:
        return _of_variant(request, steps)
    written = request.model.suffix == tflite_file.SUFFIX and request.signature is None
    of_file = _of_tflite if written else _of_model
    return of_file(request, request.model, steps)


def _of_variant(request: Request, steps: Steps) -> Origin:
    spec = names.variant(request.variant or "")
    with steps.step("weights"):
        from lite_toolkit.weights.loading import load_model, read_weights

        weights = read_weights(spec, request.weights or "imagenet", request.conventions, request.input_size)
        if request.preprocessing:
            size = weights.preprocessing.height, weights.preprocessing.width
            weights = dataclasses.replace(weights, preprocessing=request.preprocessing(size))
        # Before TensorFlow starts, which takes seconds.
        outputs = request.classes or weights.classes or 1000
        advice = f" (--classes {len(request.labels or ())} starts a fresh classifier of that size)"
        _check_labels(request.labels, outputs, advice)
    with steps.step("build"):
        from lite_toolkit.conversion.float_model import from_keras

        loaded = load_model(weights, classes=request.classes, activation=request.final_activation)
    provenance = {
        "variant": spec.name,
        "weights": {"source": weights.name, "sha256": weights.sha256, "layout": weights.layout}
        | ({} if weights.chosen is None else {"chosen": weights.chosen}),
        "fresh_classifier": loaded.fresh_head,
    }
    scores = "logits" if request.final_activation == "none" else "probabilities"
    fresh = _head_note(loaded.classes, weights.classes) if loaded.fresh_head and weights.sha256 else None
    notes = tuple(note for note in (fresh, weights.note) if note)
    labels = request.labels or (None if loaded.fresh_head else heads.both(weights.labels, loaded.classes))
    described = _metadata(weights.name, weights.sha256, labels, weights.preprocessing)
    described = dataclasses.replace(described, license=weights.license)
    return Origin(from_keras(loaded.model), weights.preprocessing, provenance, scores, described, notes)


def _of_model(request: Request, path: Path, steps: Steps) -> Origin:
    with steps.step("build"):
        from lite_toolkit.conversion.expectation import expected
        from lite_toolkit.conversion.float_model import from_file
        from lite_toolkit.conversion.input_folding import folded

        classifier = from_file(path, request.input_size, request.signature, request.output_name)
    _check_labels(request.labels, classifier.classes)
    preprocessing, basis = expected(classifier, request, steps)
    return _of_file(path, folded(classifier), preprocessing, request.labels, (), basis)


def _of_tflite(request: Request, path: Path, steps: Steps) -> Origin:
    """A float32 `.tflite`, with what a manifest beside it or its own metadata tells."""
    with steps.step("build"):
        content = tflite_file.read(path, request.input_size)
        about = describe(path, preprocessing=request.preprocessing, labels=request.labels)
    labels = tuple(about.labels) if about.labels is not None else None
    if about.told:
        return _of_file(path, content, about.preprocessing, labels, about.notes, None)
    preprocessing, basis = choose(Model(content).scores, about.preprocessing.shape, about.classes, request, steps)
    return _of_file(path, content, preprocessing, labels, tuple(filter(None, [about.doubt])), basis)


def _of_file(
    path: Path,
    classifier: "Classifier | bytes",
    preprocessing: PreprocessingSpec,
    labels: tuple[str, ...] | None,
    notes: tuple[str, ...],
    basis: Basis | None,
) -> Origin:
    digest = _sha256_of(path)
    provenance = {
        "variant": None,
        "weights": {"source": path.name, "sha256": digest, "layout": None},
        "fresh_classifier": False,
    }
    described = _metadata(path.name, digest, labels, preprocessing)
    return Origin(classifier, preprocessing, provenance, "scores", described, notes, basis)


def _metadata(
    source: str, digest: str | None, labels: Sequence[str] | None, preprocessing: PreprocessingSpec
) -> Metadata:
    """What all files of a request say of themselves."""
    return Metadata(
        description=f"Image classifier, converted by lite-toolkit; weights: {shown(source)}.",
        version=digest[:12] if digest else None,
        # Metadata knows no other order of channels.
        normalization=Normalization.shortest(preprocessing.mean, preprocessing.std)
        if preprocessing.channel_order != "bgr"
        else None,
        labels={"": tuple(labels)} if labels else {},
    )


def _head_note(classes: int, checkpoint_classes: int | None) -> str:
    return (
        f"The checkpoint has {checkpoint_classes or 'no'} classes, not {classes}: its backbone is kept, and the "
        "classifier starts fresh with random weights, to be trained."
    )


def _sha256_of(path: Path) -> str:
    """Of the file; of a folder, its files in the order of their names, each after its name."""
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    named = chain.from_iterable((os.fsencode(file.relative_to(path).as_posix()), file) for file in files)
    return sha256(*named if path.is_dir() else (path,))


def _check_labels(labels: Sequence[str] | None, outputs: int, advice: str = "") -> None:
    if labels is not None and len(labels) != (classes := heads.classes(outputs)):
        pair = " by one output: two are needed, that of a low score first" if outputs == 1 else ""
        raise LiteToolkitError(
            f"{len(labels)} labels for {classes} classes{pair or ': one line for each class is needed'}{advice}"
        )
