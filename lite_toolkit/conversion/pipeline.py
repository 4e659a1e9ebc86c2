"""The main job: weights or a model of the user's -> `.tflite` files with their manifests."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, starmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import outputs
from lite_toolkit.conversion.origin import Origin, origin_of
from lite_toolkit.conversion.request import Request
from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.representative import FEWEST_TO_SPLIT, RepresentativeDataset, load_representative
from lite_toolkit.datasets.synthetic import synthetic_images
from lite_toolkit.decoding import encode
from lite_toolkit.documents import sha256
from lite_toolkit.edgetpu.forecast import Forecast, forecast
from lite_toolkit.errors import GateError, LiteToolkitError, ModelError
from lite_toolkit.images.files import find_images, left_out
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.measurement import validation
from lite_toolkit.measurement.description import NOTES, endpoints
from lite_toolkit.measurement.loss import Assessment, Comparison
from lite_toolkit.progress import Steps
from lite_toolkit.quantization import mixed_precision, precision
from lite_toolkit.quantization.mixed_precision import Layers, Trade
from lite_toolkit.quantization.recipes import IO_TYPES, Recipe, default
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.interpreter import Model, ends
from lite_toolkit.text import shown
from lite_toolkit.tflite import ending, manifest, metadata
from lite_toolkit.tflite.graph import read_graph


@dataclass(frozen=True)
class Converted:
    """One written file.

    Attributes:
        path, size_bytes: of the model.
        manifest: what stands beside it.
        dataset: the representative images, where a format of the request needed them.
        assessment: what its format cost, unless nothing was held out.
        trade: the layers that stay in float for a bound, where one was asked for.
        forecast: what the compiler of the target will do with it, where there is one.
    """

    path: Path
    size_bytes: int
    manifest: Mapping[str, Any]
    dataset: RepresentativeDataset | None
    assessment: Assessment | None
    trade: Trade | None
    forecast: Forecast | None


@dataclass(frozen=True)
class Conversion:
    """Everything that one request made.

    Attributes:
        files: in the order of the recipes.
        notes: what the user should know, one sentence each.
        float_size_bytes: of the float32 model, written or not.
        seconds: wall time of each step.
    """

    files: tuple[Converted, ...]
    notes: tuple[str, ...]
    float_size_bytes: int
    seconds: Mapping[str, float]

    @property
    def skipped(self) -> tuple[str, ...]:
        """One message for each image that could not be read."""
        return tuple(dict.fromkeys(text for file in self.files if file.dataset for text in file.dataset.skipped))


@dataclass(frozen=True)
class _Images:
    """What calibrates models and judges them, and what the float model makes of those held out of calibration."""

    request: Request
    index: ground_truth.ClassIndex | None
    float_model: bytes
    head: str
    dataset: RepresentativeDataset

    def drop(self, model: bytes) -> float:
        """Percentage points that a model loses on the held-out images: of top-1, or else of agreement."""
        ours, theirs = (heads.answers(self.head, scores) for scores in (self._reference, self._scores(model)))
        truth = ours if self.truth is None else self.truth[:, np.newaxis]
        return 100 * float((ours == truth).all(axis=1).mean() - (theirs == truth).all(axis=1).mean())

    @cached_property
    def truth(self) -> NDArray[np.int32] | None:
        """The classes of the held-out images; None where nobody told: a folder's name may be a number by chance."""
        folder = self.request.calibration_data
        if self.head == heads.MULTI_LABEL:
            return None
        if folder is None or not (self.index or (folder / ground_truth.TABLE).is_file()):
            return None
        names = [str(name) for name in self.dataset.names(self.dataset.held_out)]
        numbering = ground_truth.Numbering(self._reference.shape[1], self.index, self.request.labels)
        listed = [path.relative_to(folder).as_posix() for path in find_images(folder)]
        return ground_truth.read(folder, names, numbering, listed=listed).classes

    def compare(self, model: bytes) -> Comparison:
        """A model's scores with the float model's, on the held-out images."""
        return validation.compare(self._reference, self._scores(model), self.head)

    @cached_property
    def _reference(self) -> NDArray[np.float32]:
        return self._scores(self.float_model, "the float32 model")

    def _scores(self, model: bytes, title: str = "the quantized model") -> NDArray[np.float32]:
        held_out = self.dataset.held_out
        return validation.scores(model, held_out, self.dataset.names(held_out), title, self.head)


@dataclass(frozen=True)
class _Job:
    """What one file of a request is made from."""

    request: Request
    origin: Origin
    float_model: bytes
    head: str
    recipe: Recipe
    images: _Images | None
    steps: Steps

    def quantize(self, recipe: Recipe) -> bytes:
        """The model by the recipe, or by that with more layers in float."""
        return next(self.choices(recipe)).content

    def choices(self, recipe: Recipe) -> Iterator["_Made"]:
        """The model by the recipe, and then by the classic one where that costs little."""
        from lite_toolkit.quantization.quantizer import choices

        dataset = self.images.dataset if self.images and recipe.calibrated else None
        types = IO_TYPES.get(recipe.format, ("float32",))
        recipe = recipe.on_synthetic if dataset and dataset.synthetic else recipe
        io = self.request.io or types[0]
        images = dataset.calibration if dataset else ()
        preprocessing = self.origin.preprocessing
        return starmap(_Made, choices(self.float_model, recipe, preprocessing, images, io, self.steps))


@dataclass(frozen=True)
class _Made:
    """One file's content, before it is written."""

    recipe: Recipe
    content: bytes
    trade: Trade | None = None
    assessment: Assessment | None = None
    note: str | None = None


def convert(request: Request, steps: Steps | None = None) -> Conversion:
    """Do the whole job; nothing is written unless every file could be made, and is as good as was asked for.

    Raises:
        GateError: a model loses more than it may.
        LiteToolkitError: a value that does not fit, or anything that cannot be read, converted or written.
    """
    steps = steps or Steps()
    outputs.require_free(request.files, request.force)
    index = ground_truth.read_class_index(request.class_index) if request.class_index else None
    origin = origin_of(request, steps)
    datasets = _representative(request, origin, steps)
    float_model = _float_model(origin, steps)
    _require_numbers(float_model, origin.preprocessing)
    head = _head(request, float_model)
    images = {sampling: _Images(request, index, float_model, head, dataset) for sampling, dataset in datasets.items()}
    jobs = [
        _Job(request, origin, float_model, head, recipe, images.get(request.sampling(recipe)), steps)
        for recipe in request.wanted
    ]
    made = [_described(job, _assessed(job, _make(job))) for job in jobs]
    files = tuple(_converted(job, one) for job, one in zip(jobs, made, strict=True))
    if request.min_agreement is not None:
        _require_agreement(request.min_agreement, files)
    _require_mapped(files)
    for file, one in zip(files, made, strict=True):
        _require_running(file.path, one.content)
    contents: dict[Path, bytes | None] = {}
    for file, one in zip(files, made, strict=True):
        contents |= manifest.files(file.path, one.content, file.manifest)
    outputs.write_all(contents, request.force)
    float_size = len(_described(jobs[0], _Made(default("float32"), float_model)).content)
    data = request.calibration_data
    notes = [_SYNTHETIC_NOTE] if datasets and data is None else []
    if datasets and data and data.is_dir():
        notes += filter(None, [left_out(data)])
    notes += filter(
        None, chain.from_iterable((one.note, _float_note(job, one)) for job, one in zip(jobs, made, strict=True))
    )
    doubts = (one.assessment.comparison.doubt for one in made if one.assessment)
    notes += filter(None, [NOTES.get(head), *doubts])
    return Conversion(files, tuple(dict.fromkeys((*origin.notes, *notes))), float_size, dict(steps.seconds))


def _require_numbers(float_model: bytes, spec: PreprocessingSpec) -> None:
    """Weights that are finite may overflow all the same: that is seen before anything is quantized or written."""
    (image,) = synthetic_images(1, seed=0, size=(spec.height, spec.width))
    prepared = spec.normalize(spec.order_channels(image))
    validation.scores(float_model, [prepared], ["a synthetic image"], "the float32 model")


def _float_model(origin: Origin, steps: Steps) -> bytes:
    if isinstance(origin.classifier, bytes):
        return origin.classifier
    with steps.step("convert"):
        from lite_toolkit.conversion.float_model import to_tflite

        return to_tflite(origin.classifier, origin.scores)


def _head(request: Request, float_model: bytes) -> str:
    """What the outputs mean.

    Raises:
        ModelError: one output of which that cannot be told, or classes that a class index tells of labels.
    """
    try:
        head = ending.head(read_graph(float_model).subgraphs[0])
    except ModelError as error:
        raise ModelError(f"{request.model or request.name}: {error}") from error
    if request.class_index and head == heads.MULTI_LABEL:
        raise ModelError("--class-index tells one class of each image: the model has a sigmoid for each label")
    return head


_SYNTHETIC_NOTE = (
    "No photographs were given: ranges come from the built-in synthetic set, and so does the agreement, which is "
    "higher on photographs, whose scores lie further apart. A hundred photographs of what the model will see are "
    "better for both: --calibration-data DIR."
)


def _representative(request: Request, origin: Origin, steps: Steps) -> dict[tuple[int, int], RepresentativeDataset]:
    """The images by their number and seed, see `Request.sampling`: loaded once for recipes that agree on these."""
    if request.calibration_data is None and not any(recipe.calibrated for recipe in request.recipes):
        if request.min_agreement is not None:
            raise LiteToolkitError("a least agreement is measured on images: pass --calibration-data DIR")
        return {}
    found = {}
    for samples, seed in dict.fromkeys(map(request.sampling, request.recipes)):
        with steps.step("images"):
            dataset = load_representative(
                request.calibration_data, origin.preprocessing, samples=samples, seed=seed, steps=steps
            )
        if not len(dataset.held_out) and (request.max_drop, request.min_agreement) != (None, None):
            count = len(dataset.calibration)
            raise LiteToolkitError(
                f"{count} images: a bound is measured on held-out ones, which takes {FEWEST_TO_SPLIT}"
            )
        found[samples, seed] = dataset
    return found


def _make(job: _Job) -> _Made:
    if job.recipe.format == "float32":
        return _Made(job.recipe, job.float_model)
    with job.steps.step("quantize"):
        made = _best(job)
    if job.request.max_drop is None or job.images is None or not job.recipe.calibrated:
        return made
    drop = job.images.drop(made.content)
    trade = Trade(
        bound_points=job.request.max_drop,
        drop_before_points=drop,
        drop_points=drop,
        measure="agreement" if job.images.truth is None else "top-1",
        layers=(),
        work_percent=0.0,
        models_tried=0,
    )
    made = dataclasses.replace(made, trade=trade)
    return made if drop <= trade.bound_points else _with_layers_in_float(job, job.images, made, trade)


def _best(job: _Job) -> _Made:
    """The model by the job's recipe; by the classic one where the default loses more than that on held-out images."""
    choices = job.choices(job.recipe)
    made = next(choices)
    if job.recipe.name != "int8" or job.images is None or not len(job.images.dataset.held_out):
        return made
    classic = next(choices)
    ours, theirs = (job.images.compare(one.content).sqnr_db for one in (made, classic))
    if ours is None or (theirs is not None and theirs <= ours):
        return made
    note = (
        f"The ranges from the smallest to the largest value (recipe int8-minmax) lose less on the held-out images than "
        f"the default's, an SQNR of {'infinite' if theirs is None else f'{theirs:.1f}'} dB against {ours:.1f} dB: they "
        "were written."
    )
    return dataclasses.replace(classic, note=note)


def _with_layers_in_float(job: _Job, images: _Images, made: _Made, trade: Trade) -> _Made:
    """The model with the fewest, cheapest layers in float that hold the bound."""
    from lite_toolkit.quantization.sensitivity import disturbances

    tried: dict[Layers, tuple[float, _Made]] = {}

    def drop_of(layers: Layers) -> float:
        patterns = (*made.recipe.in_float, *(re.escape(name) for name in work if name in layers))
        recipe = dataclasses.replace(made.recipe, in_float=patterns)
        content = job.quantize(recipe)
        tried[layers] = images.drop(content), _Made(recipe, content)
        return tried[layers][0]

    work = mixed_precision.work_of(read_graph(job.float_model).subgraphs[0])
    with job.steps.step("mixed precision"):
        found = disturbances(job.float_model, images.dataset.calibration, made.recipe, job.steps)
        chosen = mixed_precision.fewest([one.layers for one in found], work, drop_of, trade.bound_points)
    drop, mended = tried[chosen]
    trade = dataclasses.replace(
        trade,
        drop_points=drop,
        layers=tuple(name for name in work if name in chosen),
        work_percent=100 * sum(work[name] for name in chosen),
        models_tried=len(tried),
    )
    return dataclasses.replace(mended, trade=trade)


def _assessed(job: _Job, made: _Made) -> _Made:
    """With what the format costs on the images held out of calibration."""
    held_out = job.images.dataset.held_out if job.images else ()
    if made.recipe.format == "float32" or job.images is None or not len(held_out):
        return made
    with job.steps.step("validate"):
        watched = job.steps.track(held_out, len(held_out))
        assessment = validation.assess(job.float_model, made.content, job.images.compare(made.content), watched)
    return dataclasses.replace(made, assessment=assessment)


def _described(job: _Job, made: _Made) -> _Made:
    """With metadata in the file itself."""
    described = dataclasses.replace(job.origin.metadata, name=f"{shown(job.request.name)}-{made.recipe.format}")
    return dataclasses.replace(made, content=metadata.write(made.content, described))


def _converted(job: _Job, made: _Made) -> Converted:
    request, origin, recipe = job.request, job.origin, made.recipe
    path, graph = request.path(recipe), read_graph(made.content)
    image, scores = ends(*endpoints(graph))
    dataset = job.images.dataset if job.images else None
    targeted = request.target is not None and recipe.format == "int8"
    expected = forecast(path.name, graph) if targeted else None
    content = manifest.compose(
        {
            "model": {
                "file": path.name,
                "sha256": sha256(made.content),
                "size_bytes": len(made.content),
                "format": recipe.format,
                "scores": origin.scores,
            },
            **origin.provenance,
            "head": job.head,
            "classes": heads.classes(scores.shape[-1]),
            "labels": origin.metadata.class_names,
            "recipe": dataclasses.asdict(recipe),
            "calibration": dataset.to_json() if dataset and recipe.calibrated else None,
            "preprocessing": origin.preprocessing.to_json(),
            "preprocessing_basis": encode(origin.basis),
            "input": image.to_json(),
            "output": scores.to_json(),
            "mixed_precision": encode(made.trade),
            "target": encode(expected.summary) if expected else None,
            "held_out": encode(made.assessment),
        }
    )
    return Converted(
        path,
        len(made.content),
        content,
        dataset,
        made.assessment,
        made.trade,
        expected,
    )


def _float_note(job: _Job, made: _Made) -> str | None:
    """Which operators of a calibrated model are in float, though nobody asked for it."""
    graph, wanted = (read_graph(content).subgraphs[0] for content in (made.content, job.float_model))
    named = {wanted.operators[index].name for index in precision.named(wanted, made.recipe.in_float)}
    left = {
        operator.name
        for operator in graph.operators
        if any(graph.tensors[index].dtype == "float32" for index in operator.outputs)
    }
    left -= {*named, "QUANTIZE", "DEQUANTIZE"}
    if not made.recipe.calibrated or not left:
        return None
    return f"Without a kernel of {made.recipe.format}, in float: {', '.join(sorted(left))}."


def _require_running(path: Path, content: bytes) -> None:
    """Nothing is written that does not load and run."""
    try:
        model = Model(content)
        model.run(model.input.quantize(np.zeros(model.input.shape[1:], np.float32)))
    except (ModelError, RuntimeError) as error:
        raise ModelError(f"{path.name} does not run, and was not written: {error}") from error


def _require_agreement(least: float, files: Sequence[Converted]) -> None:
    for file in files:
        found = file.assessment.comparison if file.assessment else None
        if found and found.agreement_percent < least:
            raise GateError(
                f"{file.path.name}: {found.agreement_percent:.2f}% of {found.images} held-out images have the "
                f"{found.measure} as float32, less than {least:g}%; nothing was written"
            )


def _require_mapped(files: Sequence[Converted]) -> None:
    for file in files:
        if file.forecast and file.forecast.left:
            raise GateError(f"{file.path.name}: {file.forecast.left}; nothing was written")
