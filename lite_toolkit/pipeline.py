"""The main job: weights or a model of the user's -> `.tflite` files with their manifests."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import architectures, manifest, outputs, recipes, validation
from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.preprocessing import PRESETS, PreprocessingSpec, Sized
from lite_toolkit.recipes import IO_TYPES, InputOutput, Recipe
from lite_toolkit.representative import RepresentativeDataset, load_representative
from lite_toolkit.runtime import Model, TensorInfo
from lite_toolkit.steps import Steps

if TYPE_CHECKING:
    from lite_toolkit.conversion import Classifier


@dataclass(frozen=True)
class Request:
    """What to convert, and how.

    Attributes:
        recipes: one for each file to write; "float32" writes the float model itself.
        variant: of the network; None for `model`.
        model: a `.keras` file or SavedModel folder instead of a variant.
        weights, conventions: as `weights.loading.read_weights` takes them.
        classes: of a fresh classifier, where the checkpoint has another number.
        labels: one name for each class.
        input_size: side of the square input in pixels; None is the network's own.
        io: dtype of input and output of the calibrated formats; None is the first that the format allows.
        activation: "softmax" or "none" (logits).
        preprocessing: instead of what comes with the weights, for the size of the input.
        calibration_data: folder of images, `.npy` or `.npz`; None is the synthetic set.
        output: the file for a single recipe when it ends in `.tflite`, otherwise the folder; None is the current one.
        keep_float: write the float32 model too.
        force: replace files that exist.
    """

    recipes: tuple[Recipe, ...]
    variant: str | None = None
    model: Path | None = None
    weights: str = "imagenet"
    conventions: str | None = None
    classes: int | None = None
    labels: tuple[str, ...] | None = None
    input_size: int | None = None
    io: InputOutput | None = None
    activation: Literal["softmax", "none"] = "softmax"
    preprocessing: Sized | None = None
    calibration_data: Path | None = None
    output: Path | None = None
    keep_float: bool = False
    force: bool = False

    @property
    def name(self) -> str:
        """The first part of the files' names."""
        return self.variant or (self.model.stem if self.model else "model")

    def path(self, recipe: Recipe) -> Path:
        """Where the file of one recipe goes."""
        if self.output is not None and self.output.suffix == ".tflite":
            return (
                self.output if recipe in self.recipes else self.output.with_name(f"{self.output.stem}-float32.tflite")
            )
        return (self.output or Path()) / f"{self.name}-{recipe.format}.tflite"

    @property
    def wanted(self) -> tuple[Recipe, ...]:
        """The recipes of all files to write."""
        kept = self.keep_float and all(recipe.format != "float32" for recipe in self.recipes)
        return (*self.recipes, *((recipes.default("float32"),) if kept else ()))

    @property
    def files(self) -> list[Path]:
        """Every file to write: the models, each with its manifest."""
        models = [self.path(recipe) for recipe in self.wanted]
        return [file for model in models for file in (model, manifest.path_of(model))]


@dataclass(frozen=True)
class Converted:
    """One written file: its path, size, manifest and, unless nothing was held out, what its format cost."""

    path: Path
    size_bytes: int
    manifest: Mapping[str, Any]
    comparison: validation.Comparison | None


@dataclass(frozen=True)
class Conversion:
    """Everything that one request made.

    Attributes:
        files: in the order of the recipes.
        dataset: the representative images, where a format needed them.
        notes: what the user should know, one sentence each.
        float_size_bytes: of the float32 model, written or not.
        seconds: wall time of each step.
    """

    files: tuple[Converted, ...]
    dataset: RepresentativeDataset | None
    notes: tuple[str, ...]
    float_size_bytes: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class _Origin:
    """A classifier to convert, and what the manifest says of where it comes from."""

    classifier: "Classifier"
    preprocessing: PreprocessingSpec
    provenance: Mapping[str, Any]
    scores: str
    notes: list[str] = field(default_factory=list)


def convert(request: Request, steps: Steps | None = None) -> Conversion:
    """Do the whole job; nothing is written unless every file could be made.

    Raises:
        LiteToolkitError: a value that does not fit, or anything that cannot be read, converted or written.
    """
    steps = steps or Steps()
    wanted = request.wanted
    outputs.require_free(request.files, request.force)
    origin = _from_model(request, request.model, steps) if request.model else _from_variant(request, steps)
    dataset = _representative(request, origin, steps)
    with steps.step("convert"):
        from lite_toolkit.conversion import to_tflite

        float_model = to_tflite(origin.classifier, origin.scores)
    models = [_quantize(float_model, recipe, request.io, origin, dataset, steps) for recipe in wanted]
    comparisons = _compare(float_model, models, wanted, dataset, steps)
    files = [
        _converted(request, recipe, model, origin, dataset, comparison)
        for recipe, model, comparison in zip(wanted, models, comparisons, strict=True)
    ]
    _write(files, models)
    return Conversion(tuple(files), dataset, tuple(origin.notes), len(float_model), dict(steps.seconds))


def _from_variant(request: Request, steps: Steps) -> _Origin:
    spec = architectures.variant(request.variant or "")
    with steps.step("weights"):
        from lite_toolkit.weights.loading import load_model, read_weights

        weights = read_weights(spec, request.weights, request.conventions, request.input_size)
        if request.preprocessing:
            size = weights.preprocessing.height, weights.preprocessing.width
            weights = dataclasses.replace(weights, preprocessing=request.preprocessing(size))
        # Before TensorFlow starts, which takes seconds.
        _check_labels(request.labels, request.classes or weights.classes or 1000)
    with steps.step("build"):
        from lite_toolkit.conversion import from_keras

        loaded = load_model(weights, classes=request.classes, activation=request.activation)
    provenance = {
        "variant": spec.name,
        "weights": {"source": weights.name, "sha256": weights.sha256, "layout": weights.layout},
        "fresh_classifier": loaded.fresh_head,
    }
    scores = "logits" if request.activation == "none" else "probabilities"
    notes = [_head_note(loaded.classes, weights.classes)] if loaded.fresh_head and weights.sha256 else []
    return _Origin(from_keras(loaded.model), weights.preprocessing, provenance, scores, notes)


def _from_model(request: Request, path: Path, steps: Steps) -> _Origin:
    with steps.step("build"):
        from lite_toolkit.conversion import from_file

        classifier = from_file(path, request.input_size)
    _check_labels(request.labels, classifier.classes)
    size = classifier.height, classifier.width
    notes = []
    preset = "pixels" if classifier.rescales else "lite"
    if request.preprocessing is None:
        notes.append(f"The model does not tell its preprocessing: {preset!r} is assumed; --preprocessing sets another.")
    preprocessing = (request.preprocessing or PRESETS[preset])(size)
    provenance = {
        "variant": None,
        "weights": {"source": path.name, "sha256": _sha256_of(path), "layout": None},
        "fresh_classifier": False,
    }
    return _Origin(classifier, preprocessing, provenance, "scores", notes)


def _head_note(classes: int, checkpoint_classes: int | None) -> str:
    return (
        f"The checkpoint has {checkpoint_classes or 'no'} classes, not {classes}: its backbone is kept, and the "
        "classifier starts fresh with random weights, to be trained."
    )


def _sha256_of(path: Path) -> str:
    """Of the file; of a folder, its files in the order of their names, each after its name."""
    digest = hashlib.sha256()
    for file in sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]:
        digest.update(file.relative_to(path).as_posix().encode() if path.is_dir() else b"")
        digest.update(file.read_bytes())
    return digest.hexdigest()


_SYNTHETIC_NOTE = (
    "No photographs were given: ranges come from the built-in synthetic set, and so does the agreement, which is "
    "higher on photographs, whose scores lie further apart. A hundred photographs of what the model will see are "
    "better for both: --calibration-data DIR."
)


def _check_labels(labels: Sequence[str] | None, classes: int) -> None:
    if labels is not None and len(labels) != classes:
        raise LiteToolkitError(
            f"{len(labels)} labels for {classes} classes: one line for each class is needed "
            f"(--classes {len(labels)} starts a fresh classifier of that size)"
        )


def _representative(request: Request, origin: _Origin, steps: Steps) -> RepresentativeDataset | None:
    calibrated = tuple(recipe for recipe in request.recipes if recipe.calibrated)
    if not calibrated and request.calibration_data is None:
        return None
    recipe = (calibrated or request.recipes)[0]
    if request.calibration_data is None:
        origin.notes.append(_SYNTHETIC_NOTE)
    with steps.step("images"):
        return load_representative(
            request.calibration_data, origin.preprocessing, samples=recipe.samples, seed=recipe.seed, track=steps.track
        )


def _quantize(
    float_model: bytes,
    recipe: Recipe,
    io: InputOutput | None,
    origin: _Origin,
    dataset: RepresentativeDataset | None,
    steps: Steps,
) -> bytes:
    if recipe.format == "float32":
        return float_model
    with steps.step("quantize"):
        from lite_toolkit.quantization import quantize

        images = steps.track(dataset.calibration, len(dataset.calibration)) if dataset and recipe.calibrated else ()
        types = IO_TYPES.get(recipe.format, ("float32",))
        recipe = recipe.on_synthetic if dataset and dataset.synthetic else recipe
        return quantize(float_model, recipe, origin.preprocessing, images, io or types[0])


def _compare(
    float_model: bytes,
    models: Sequence[bytes],
    wanted: Sequence[Recipe],
    dataset: RepresentativeDataset | None,
    steps: Steps,
) -> list[validation.Comparison | None]:
    """What each format costs on the images held out of calibration."""
    if dataset is None or not len(dataset.held_out):
        return [None] * len(models)
    with steps.step("validate"):

        def scores(model: bytes) -> NDArray[np.float32]:
            return validation.scores(model, steps.track(dataset.held_out, len(dataset.held_out)))

        reference = scores(float_model)
        return [
            None if recipe.format == "float32" else validation.compare(reference, scores(model))
            for recipe, model in zip(wanted, models, strict=True)
        ]


def _converted(
    request: Request,
    recipe: Recipe,
    model: bytes,
    origin: _Origin,
    dataset: RepresentativeDataset | None,
    comparison: validation.Comparison | None,
) -> Converted:
    path, loaded = request.path(recipe), Model(model)
    content = manifest.compose(
        {
            "model": {
                "file": path.name,
                "sha256": hashlib.sha256(model).hexdigest(),
                "size_bytes": len(model),
                "format": recipe.format,
                "scores": origin.scores,
            },
            **origin.provenance,
            "classes": loaded.classes,
            "labels": request.labels,
            "recipe": dataclasses.asdict(recipe),
            "calibration": dataset.to_json() if dataset and recipe.calibrated else None,
            "preprocessing": origin.preprocessing.to_json(),
            "input": _endpoint(loaded.input),
            "output": _endpoint(loaded.output),
            "held_out": comparison.to_json() if comparison else None,
        }
    )
    return Converted(path, len(model), content, comparison)


def _endpoint(info: TensorInfo) -> dict[str, Any]:
    quantized = {"scale": info.scale, "zero_point": info.zero_point} if info.scale else {}
    return {"name": info.name, "shape": info.shape, "dtype": info.dtype} | quantized


def _write(files: Sequence[Converted], models: Sequence[bytes]) -> None:
    """All files and manifests are complete under temporary names before the first gets its own."""
    with ExitStack() as stack:
        for converted, model in zip(files, models, strict=True):
            text = outputs.to_json(converted.manifest).encode()
            for path, content in ((manifest.path_of(converted.path), text), (converted.path, model)):
                stack.enter_context(outputs.replacing(path)).write_bytes(content)
