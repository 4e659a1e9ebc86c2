"""The main job: weights or a model of the user's -> `.tflite` files with their manifests."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import outputs
from lite_toolkit.conversion.origin import Origin, origin_of
from lite_toolkit.conversion.request import Request
from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.representative import FEWEST_TO_SPLIT, RepresentativeDataset, load_representative
from lite_toolkit.decoding import encode
from lite_toolkit.edgetpu.forecast import Forecast, forecast
from lite_toolkit.errors import GateError, LiteToolkitError
from lite_toolkit.measurement import validation
from lite_toolkit.measurement.loss import Assessment, Comparison
from lite_toolkit.progress import Steps
from lite_toolkit.quantization import mixed_precision
from lite_toolkit.quantization.mixed_precision import Layers, Trade
from lite_toolkit.quantization.recipes import IO_TYPES, Recipe, default
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.tflite import manifest, metadata
from lite_toolkit.tflite.graph import read_graph


@dataclass(frozen=True)
class Converted:
    """One written file.

    Attributes:
        path, size_bytes: of the model.
        manifest: what stands beside it.
        assessment: what its format cost, unless nothing was held out.
        trade: the layers that stay in float for a bound, where one was asked for.
        forecast: what the compiler of the target will do with it, where there is one.
    """

    path: Path
    size_bytes: int
    manifest: Mapping[str, Any]
    assessment: Assessment | None
    trade: Trade | None
    forecast: Forecast | None


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
class _Job:
    """What every file of a request is made from."""

    request: Request
    origin: Origin
    float_model: bytes
    dataset: RepresentativeDataset | None
    steps: Steps

    def quantize(self, recipe: Recipe) -> bytes:
        """The model by one recipe."""
        from lite_toolkit.quantization.quantizer import quantize

        dataset = self.dataset if recipe.calibrated else None
        types = IO_TYPES.get(recipe.format, ("float32",))
        recipe = recipe.on_synthetic if dataset and dataset.synthetic else recipe
        io = self.request.io or types[0]
        images = dataset.calibration if dataset else ()
        return quantize(self.float_model, recipe, self.origin.preprocessing, images, io, self.steps)

    def drop(self, model: bytes) -> float:
        """Percentage points that a model loses on the held-out images: of top-1, or else of agreement."""
        ours, theirs = self.reference.argmax(axis=1), self._scores(model).argmax(axis=1)
        truth = ours if self.truth is None else self.truth
        return 100 * float((ours == truth).mean() - (theirs == truth).mean())

    @cached_property
    def truth(self) -> NDArray[np.int32] | None:
        """The classes of the held-out images; None where nobody told: a folder's name may be a number by chance."""
        folder, index = self.request.calibration_data, self.request.class_index
        if self.dataset is None or folder is None or not (index or (folder / ground_truth.TABLE).is_file()):
            return None
        names = [str(name) for name in self.dataset.names(self.dataset.held_out)]
        numbering = ground_truth.Numbering(self.reference.shape[1], index, self.request.labels)
        return ground_truth.read(folder, names, numbering).classes

    def compare(self, model: bytes) -> Comparison:
        """A model's scores with the float model's, on the held-out images."""
        return validation.compare(self.reference, self._scores(model))

    @cached_property
    def reference(self) -> NDArray[np.float32]:
        """The float model's scores of the held-out images."""
        return self._scores(self.float_model)

    @property
    def held_out(self) -> Iterable[NDArray[np.float32]]:
        """The images that no model was calibrated on; none where there were few."""
        return self.dataset.held_out if self.dataset else ()

    def _scores(self, model: bytes) -> NDArray[np.float32]:
        names = self.dataset.names(self.dataset.held_out) if self.dataset else ()
        return validation.scores(model, self.held_out, names)


@dataclass(frozen=True)
class _Made:
    """One file's content, before it is written."""

    recipe: Recipe
    content: bytes
    trade: Trade | None = None
    assessment: Assessment | None = None


def convert(request: Request, steps: Steps | None = None) -> Conversion:
    """Do the whole job; nothing is written unless every file could be made, and is as good as was asked for.

    Raises:
        GateError: a model loses more than it may.
        LiteToolkitError: a value that does not fit, or anything that cannot be read, converted or written.
    """
    steps = steps or Steps()
    wanted = request.wanted
    outputs.require_free(request.files, request.force)
    origin = origin_of(request, steps)
    dataset = _representative(request, origin, steps)
    with steps.step("convert"):
        from lite_toolkit.conversion.float_model import to_tflite

        job = _Job(request, origin, to_tflite(origin.classifier, origin.scores), dataset, steps)
    made = [_described(job, _assessed(job, _make(job, recipe))) for recipe in wanted]
    files = [_converted(job, one) for one in made]
    if request.min_agreement is not None:
        _require_agreement(request.min_agreement, files)
    _require_mapped(files)
    _write(files, [one.content for one in made])
    float_size = len(_described(job, _Made(default("float32"), job.float_model)).content)
    return Conversion(tuple(files), dataset, tuple(origin.notes), float_size, dict(steps.seconds))


_SYNTHETIC_NOTE = (
    "No photographs were given: ranges come from the built-in synthetic set, and so does the agreement, which is "
    "higher on photographs, whose scores lie further apart. A hundred photographs of what the model will see are "
    "better for both: --calibration-data DIR."
)


def _representative(request: Request, origin: Origin, steps: Steps) -> RepresentativeDataset | None:
    calibrated = tuple(recipe for recipe in request.recipes if recipe.calibrated)
    if not calibrated and request.calibration_data is None:
        if request.min_agreement is not None:
            raise LiteToolkitError("a least agreement is measured on images: pass --calibration-data DIR")
        return None
    recipe = (calibrated or request.recipes)[0]
    if request.calibration_data is None:
        origin.notes.append(_SYNTHETIC_NOTE)
    with steps.step("images"):
        dataset = load_representative(
            request.calibration_data, origin.preprocessing, samples=recipe.samples, seed=recipe.seed, track=steps.track
        )
    if not len(dataset.held_out) and (request.max_drop, request.min_agreement) != (None, None):
        raise LiteToolkitError(
            f"{len(dataset.calibration)} images: a bound is measured on held-out ones, which takes {FEWEST_TO_SPLIT}"
        )
    return dataset


def _make(job: _Job, recipe: Recipe) -> _Made:
    if recipe.format == "float32":
        return _Made(recipe, job.float_model)
    with job.steps.step("quantize"):
        made = _Made(recipe, job.quantize(recipe))
    if job.request.max_drop is None or not recipe.calibrated:
        return made
    drop = job.drop(made.content)
    trade = Trade(
        bound_points=job.request.max_drop,
        drop_before_points=drop,
        drop_points=drop,
        measure="agreement" if job.truth is None else "top-1",
        layers=(),
        work_percent=0.0,
        models_tried=0,
    )
    made = dataclasses.replace(made, trade=trade)
    return made if drop <= job.request.max_drop else _with_layers_in_float(job, made, trade)


def _with_layers_in_float(job: _Job, made: _Made, trade: Trade) -> _Made:
    """The model with the fewest, cheapest layers in float that hold the bound."""
    from lite_toolkit.quantization.sensitivity import disturbances

    assert job.dataset  # noqa: S101  # a calibrated recipe has images
    tried: dict[Layers, tuple[float, _Made]] = {}

    def drop_of(layers: Layers) -> float:
        patterns = (*made.recipe.in_float, *(re.escape(name) for name in work if name in layers))
        recipe = dataclasses.replace(made.recipe, in_float=patterns)
        content = job.quantize(recipe)
        tried[layers] = job.drop(content), _Made(recipe, content)
        return tried[layers][0]

    work = mixed_precision.work_of(read_graph(job.float_model).subgraphs[0])
    with job.steps.step("mixed precision"):
        found = disturbances(job.float_model, job.dataset.calibration, made.recipe, job.steps)
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
    if made.recipe.format == "float32" or job.dataset is None or not len(job.dataset.held_out):
        return made
    with job.steps.step("validate"):
        images = job.steps.track(job.held_out, len(job.dataset.held_out))
        assessment = validation.assess(job.float_model, made.content, job.compare(made.content), images)
    return dataclasses.replace(made, assessment=assessment)


def _described(job: _Job, made: _Made) -> _Made:
    """With metadata in the file itself."""
    described = dataclasses.replace(job.origin.metadata, name=f"{job.request.name}-{made.recipe.format}")
    return dataclasses.replace(made, content=metadata.write(made.content, described))


def _converted(job: _Job, made: _Made) -> Converted:
    request, origin, recipe = job.request, job.origin, made.recipe
    path, loaded = request.path(recipe), Model(made.content)
    targeted = request.target is not None and recipe.format == "int8"
    expected = forecast(path.name, read_graph(made.content)) if targeted else None
    content = manifest.compose(
        {
            "model": {
                "file": path.name,
                "sha256": hashlib.sha256(made.content).hexdigest(),
                "size_bytes": len(made.content),
                "format": recipe.format,
                "scores": origin.scores,
            },
            **origin.provenance,
            "classes": loaded.classes,
            "labels": origin.metadata.class_names,
            "recipe": dataclasses.asdict(recipe),
            "calibration": job.dataset.to_json() if job.dataset and recipe.calibrated else None,
            "preprocessing": origin.preprocessing.to_json(),
            "input": loaded.input.to_json(),
            "output": loaded.output.to_json(),
            "mixed_precision": encode(made.trade),
            "target": encode(expected.summary) if expected else None,
            "held_out": encode(made.assessment),
        }
    )
    return Converted(path, len(made.content), content, made.assessment, made.trade, expected)


def _require_agreement(least: float, files: Sequence[Converted]) -> None:
    for file in files:
        found = file.assessment.comparison if file.assessment else None
        if found and found.agreement_percent < least:
            raise GateError(
                f"{file.path.name}: {found.agreement_percent:.2f}% of {found.images} held-out images have the same "
                f"top-1 as float32, less than {least:g}%; nothing was written"
            )


def _require_mapped(files: Sequence[Converted]) -> None:
    for file in files:
        if file.forecast and file.forecast.left:
            raise GateError(f"{file.path.name}: {file.forecast.left}; nothing was written")


def _write(files: Sequence[Converted], models: Sequence[bytes]) -> None:
    contents = {}
    for converted, model in zip(files, models, strict=True):
        contents[manifest.path_of(converted.path)] = outputs.to_json(converted.manifest).encode()
        contents[converted.path] = model
    outputs.write_all(contents)
