"""A `.tflite` classifier on images whose classes are known: what it gets right, and what a reference does."""

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit import accuracy, ground_truth, jobs, manifest
from lite_toolkit.accuracy import Accuracy, Pairing
from lite_toolkit.classification import Description, describe
from lite_toolkit.delegates import XNNPACK, has_library
from lite_toolkit.errors import ImageError, ModelError
from lite_toolkit.ground_truth import GroundTruth, Numbering
from lite_toolkit.images import find_images
from lite_toolkit.inference import Answer, Job, Record, infer
from lite_toolkit.journal import Journal
from lite_toolkit.preprocessing import PreprocessingSpec, Sized
from lite_toolkit.runtime import runtime_version
from lite_toolkit.steps import Steps

TOP = 5
Infer = Callable[[Job], Generator[Record, None, None]]


@dataclass(frozen=True)
class Request:
    """What to evaluate, and how.

    Attributes:
        model: the `.tflite` file.
        data: folder of images, searched recursively.
        reference: another `.tflite` file with the same input and classes, such as the float model.
        table: a CSV file of images and their classes; None is `labels.csv` in the folder, or names.
        class_index: a file of the data set's classes, as `ground_truth.read_class_index` takes it.
        labels: names of the model's outputs; None is what its manifest tells.
        preprocessing: of a model without manifest; for one with, it must be the manifest's.
        top: every k to count besides 1; none is 5, where there are so many classes.
        workers: number of processes; None is one for each processor, or a single one for a delegate's library, which
            may stand for a device that one process owns.
        delegate, delegate_options: for `delegates.choose`, where the model runs; the reference is left to XNNPACK.
        resume: file that holds what is done, to continue there.
        device: name of the board that runs the models; None is this machine.
    """

    model: Path
    data: Path
    reference: Path | None = None
    table: Path | None = None
    class_index: Path | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: Sized | None = None
    top: tuple[int, ...] = ()
    workers: int | None = None
    delegate: str = XNNPACK.name
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    resume: Path | None = None
    device: str | None = None

    @property
    def models(self) -> list[Path]:
        """The model, and the reference if there is one."""
        return [self.model, *([self.reference] if self.reference else [])]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        request: what was asked for.
        sha256: of each model's file, in hex.
        preprocessing: of the images.
        truth: where the true classes come from.
        images: number of images that were read.
        unreadable: one message for each that could not be, its name first; they count nowhere.
        results: of each model.
        pairing: of model and reference.
        names: class index -> name, where names are known.
        notes: what the user should know, one sentence each.
        workers: number of processes; None for one for each processor of a board.
        seconds: wall time of each step.
        resumed: images taken from the file to resume.
    """

    request: Request
    sha256: tuple[str, ...]
    preprocessing: PreprocessingSpec
    truth: GroundTruth
    images: int
    unreadable: tuple[str, ...]
    results: tuple[Accuracy, ...]
    pairing: Pairing | None
    names: Mapping[int, str]
    notes: tuple[str, ...]
    workers: int | None
    seconds: Mapping[str, float]
    resumed: int


@dataclass(frozen=True, eq=False)
class _Records:
    """The records of all images: some 30 bytes of each image and model, whatever the number of classes.

    Attributes:
        best: int32 (images, models, k), the best classes.
        tied: bool of the same shape, whether the score is equal to the next.
        missing: bool (images,), whether there is no record yet.
        errors: image -> why it cannot be read.
        resumed: number of records that were there already.
    """

    best: NDArray[np.int32]
    tied: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    errors: dict[int, str]
    resumed: int = 0

    def add(self, record: Record) -> None:
        self.missing[record.image] = False
        if record.error is not None:
            self.errors[record.image] = record.error
        for number, answer in enumerate(record.answers):
            self.best[record.image, number] = answer.best
            self.tied[record.image, number, np.array(answer.tied, np.intp) - 1] = True


@dataclass(frozen=True)
class _Models:
    """What there is to know of the models before they run: how images are preprocessed, and what classes are."""

    spec: PreprocessingSpec
    notes: tuple[str, ...]
    minimum_runtime: int | None
    sha256: tuple[str, ...]
    numbering: Numbering
    runtime: str | None  # here; None on a board


def evaluate(request: Request, steps: Steps | None = None, elsewhere: jobs.Run | None = None) -> Evaluation:
    """Classify every image, and count.

    Args:
        request: what to evaluate.
        steps: shows how far it is.
        elsewhere: runs the job "inference" on a board; None is here.

    Raises:
        DelegateError: the delegate cannot be loaded, or does not run the model.
        ModelError: a model cannot be run, the two do not belong together, or the preprocessing contradicts a manifest.
        ImageError: there are no images, no ground truth, or no image that can be read.
        OutputError: the file to resume is another evaluation's, or cannot be written.
    """
    steps = steps or Steps()
    with steps.step("models"):
        models = _load(request)
        top = _top(request.top, models.numbering.classes)
    with steps.step("ground truth"):
        names = [path.relative_to(request.data).as_posix() for path in find_images(request.data)]
        truth = ground_truth.read(request.data, names, models.numbering, request.table)
    with steps.step("images"):
        job = _job(request, models, names, max(top))
        identity = _identity(job, names, models, request.device)
        infer_there = functools.partial(_infer_elsewhere, request, elsewhere) if elsewhere else infer
        records = _run(job, identity, request.resume, steps, infer_there)
    unreadable = tuple(f"{names[image]}: {records.errors[image]}" for image in sorted(records.errors))
    if len(unreadable) == len(names):
        raise ImageError(f"{request.data}: none of {len(names)} images can be read; the first: {unreadable[0]}")
    read = np.delete(np.arange(len(names)), list(records.errors))
    best, tied, classes = records.best[read], records.tied[read], truth.classes[read]
    return Evaluation(
        request=request,
        sha256=models.sha256,
        preprocessing=models.spec,
        truth=truth,
        images=len(read),
        unreadable=unreadable,
        results=tuple(accuracy.accuracy(best[:, i], tied[:, i], classes, top) for i in range(len(request.models))),
        pairing=accuracy.pairing(best[:, 0, 0], best[:, 1, 0], classes) if request.reference else None,
        names=models.numbering.names(truth.offset),
        notes=(*models.notes, *_doubts(best[:, 0], classes, truth)),
        workers=job.workers,
        seconds=steps.seconds,
        resumed=records.resumed,
    )


def _load(request: Request) -> _Models:
    # The first as the delegate runs it. No model is run here: an Edge TPU serves one process.
    delegates = (request.delegate, XNNPACK.name)
    sides = [
        describe(path, labels=request.labels, delegate=delegate)
        for path, delegate in zip(request.models, delegates, strict=False)
    ]
    for what, values in (
        ("input size", [side.image.size for side in sides]),
        ("number of classes", [side.classes for side in sides]),
    ):
        if values[0] != values[-1]:
            raise ModelError(
                f"{request.model} has {what} {values[0]}, but {request.reference} {values[-1]}: they must be the same"
            )
    spec, note = _preprocessing(request, sides)
    index = ground_truth.read_class_index(request.class_index) if request.class_index else None
    numbering = Numbering(sides[0].classes, index, sides[0].labels)
    compiled = sides[0].compiled
    notes = tuple(filter(None, (note, compiled.note if compiled else None)))
    sha256 = tuple(_sha256(path) for path in request.models)
    # The runtime is loaded now, so that workers, which are forked, have it from the beginning.
    runtime = None if request.device else runtime_version()
    return _Models(spec, notes, sides[0].minimum_runtime, sha256, numbering, runtime)


def _preprocessing(request: Request, sides: Sequence[Description]) -> tuple[PreprocessingSpec, str | None]:
    """What the manifests tell, or what is given for models without, and a note where both are missing."""
    told = [
        (str(manifest.path_of(p)), s.preprocessing) for p, s in zip(request.models, sides, strict=True) if not s.note
    ]
    if request.preprocessing:
        told.insert(0, ("--preprocessing", request.preprocessing(sides[0].image.size)))
    for name, spec in told[1:]:
        differing = [
            field.name for field in fields(spec) if getattr(spec, field.name) != getattr(told[0][1], field.name)
        ]
        for key in differing:
            values = f"{getattr(told[0][1], key)!r} by {told[0][0]}, {getattr(spec, key)!r} by {name}"
            raise ModelError(f"the preprocessing must be one, but {key} is {values}")
    return (told[0][1], None) if told else (sides[0].preprocessing, sides[0].note)


def _top(wanted: Sequence[int], classes: int) -> tuple[int, ...]:
    """Every k to count, ascending; 1 is always one."""
    if wanted and max(wanted) > classes:
        raise ModelError(f"--top {max(wanted)}: the model has {classes} classes")
    return tuple(sorted({1, *(wanted or [min(TOP, classes)])}))


def _job(request: Request, models: _Models, names: Sequence[str], top: int) -> Job:
    workers = request.workers or (1 if has_library(request.delegate) else 0 if request.device else _processors())
    return Job(
        models=tuple(map(str, request.models)),
        preprocessing=models.spec.to_json(),
        images=tuple(str(request.data / name) for name in names),
        top=top,
        workers=min(workers, len(names)),
        delegate=request.delegate,
        delegate_options=dict(request.delegate_options),
        minimum_runtime=models.minimum_runtime,
    )


def _run(job: Job, identity: Mapping[str, Any], resume: Path | None, steps: Steps, infer: Infer) -> _Records:
    """Every image's record: from the file to resume, or by the workers."""
    shape = len(job.images), len(job.models), job.top
    records = _Records(np.full(shape, -1, np.int32), np.zeros(shape, bool), np.ones(shape[0], bool), {})
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(resume, identity, shape, records.add)) if resume else None
        todo = np.flatnonzero(records.missing).tolist()
        found = stack.enter_context(closing(infer(replace(job, images=tuple(job.images[image] for image in todo)))))
        for record in steps.track(found, len(todo)):
            numbered = replace(record, image=todo[record.image])
            if journal:
                journal.append(numbered)
            records.add(numbered)
    return replace(records, resumed=len(job.images) - len(todo))


def _infer_elsewhere(request: Request, run: jobs.Run, job: Job) -> Generator[Record, None, None]:
    """The records of a job that runs on a board."""
    models = {f"model{number}": path for number, path in enumerate(request.models)}
    described = {
        "job": "inference",
        "models": list(models),
        "preprocessing": job.preprocessing,
        "images": [Path(image).relative_to(request.data).as_posix() for image in job.images],
        "top": job.top,
        "workers": job.workers,
        "delegate": job.delegate,
        "delegate_options": dict(job.delegate_options),
        "minimum_runtime": job.minimum_runtime,
    }
    with closing(run(described, {"images": request.data, **models})) as events:
        for event in events:
            if event["event"] == "record":
                answers = (Answer(tuple(answer["best"]), tuple(answer["tied"])) for answer in event["answers"])
                yield Record(event["image"], tuple(answers), event["error"])


def _identity(job: Job, names: Sequence[str], models: _Models, device: str | None) -> dict[str, Any]:
    """Everything that a record depends on; images by name and size, since reading all takes as long as evaluating."""
    digest = hashlib.sha256()
    for name, path in zip(names, job.images, strict=True):
        digest.update(os.fsencode(name) + f"\0{Path(path).stat().st_size}\n".encode())
    return {
        "models": list(models.sha256),
        "preprocessing": job.preprocessing,
        "top": job.top,
        "images": {"count": len(names), "sha256": digest.hexdigest()},
        "runtime": models.runtime,
        "device": device,
        "delegate": {"name": job.delegate, "options": dict(job.delegate_options)},
    }


def _doubts(best: NDArray[np.int32], classes: NDArray[np.int32], truth: GroundTruth) -> Iterator[str]:
    """What makes the figures doubtful, though they are right."""
    shift = accuracy.shifted(best, classes)
    if shift:
        direction = "higher" if shift > 0 else "lower"
        yield (
            f"Top-1 is drastically better with every class of the ground truth {direction} by one: does its numbering "
            "begin at 0, without a background class?"
        )
    if truth.absent:
        shown = ", ".join(truth.absent[:3]) + (", ..." if len(truth.absent) > 3 else "")
        yield f"{truth.source} names {len(truth.absent)} images that are not there: {shown}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
