"""A `.tflite` classifier on images whose classes are known: what it gets right, and what a reference does."""

import functools
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.board.inference import Answer, Job, Record, fits, infer
from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.ground_truth import GroundTruth, Numbering
from lite_toolkit.devices import jobs
from lite_toolkit.documents import sha256
from lite_toolkit.errors import ImageError, JobError, ModelError
from lite_toolkit.images.files import find_images
from lite_toolkit.images.preprocessing import PreprocessingSpec, Sized
from lite_toolkit.measurement import accuracy
from lite_toolkit.measurement.accuracy import Accuracy, Pairing
from lite_toolkit.measurement.description import Description, describe, together
from lite_toolkit.measurement.journal import Journal
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import processors
from lite_toolkit.runtime.delegates import XNNPACK, has_library
from lite_toolkit.runtime.interpreter import runtime_version

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
    """What there is to know of the models before they run; `about` is the first with what is right for both."""

    about: Description
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
        DelegateError, JobError: the delegate cannot be loaded, or does not run the model; a board fails.
        ModelError: a model cannot be run, the two do not belong together, or the preprocessing contradicts a manifest.
        ImageError: there are no images, no ground truth, or no image that can be read.
        OutputError: the file to resume is another evaluation's, or cannot be written.
    """
    steps = steps or Steps()
    with steps.step("models"):
        models = _load(request)
        top = _top(request.top, models.about.classes)
    with steps.step("ground truth"):
        names = [path.relative_to(request.data).as_posix() for path in find_images(request.data)]
        truth = ground_truth.read(request.data, names, models.numbering, request.table)
    with steps.step("images"):
        job = _job(request, models, names, max(top))
        there = functools.partial(_infer_elsewhere, request, elsewhere, models.about.classes) if elsewhere else infer
        records = _run(job, _identity(job, names, models, request.device), request.resume, steps, there)
    unreadable = tuple(f"{names[image]}: {records.errors[image]}" for image in sorted(records.errors))
    if len(unreadable) == len(names):
        raise ImageError(f"{request.data}: none of {len(names)} images can be read; the first: {unreadable[0]}")
    read = np.delete(np.arange(len(names)), list(records.errors))
    best, tied, classes = records.best[read], records.tied[read], truth.classes[read]
    return Evaluation(
        request=request,
        sha256=models.sha256,
        preprocessing=models.about.preprocessing,
        truth=truth,
        images=len(read),
        unreadable=unreadable,
        results=tuple(accuracy.accuracy(best[:, i], tied[:, i], classes, top) for i in range(len(request.models))),
        pairing=accuracy.pairing(best[:, 0, 0], best[:, 1, 0], classes) if request.reference else None,
        names=models.numbering.names(truth.offset),
        notes=(*models.about.notes, *_doubts(best[:, 0], classes, truth)),
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
    about = together(request.models, sides, request.preprocessing)
    index = ground_truth.read_class_index(request.class_index) if request.class_index else None
    numbering = Numbering(about.classes, index, about.labels)
    sha256 = tuple(sha256(path) for path in request.models)
    # The runtime is loaded now, so that workers, which are forked, have it from the beginning.
    runtime = None if request.device else runtime_version()
    return _Models(about, sha256, numbering, runtime)


def _top(wanted: Sequence[int], classes: int) -> tuple[int, ...]:
    """Every k to count, ascending; 1 is always one."""
    if wanted and max(wanted) > classes:
        raise ModelError(f"--top {max(wanted)}: the model has {classes} classes")
    return tuple(sorted({1, *(wanted or [min(TOP, classes)])}))


def _job(request: Request, models: _Models, names: Sequence[str], top: int) -> Job:
    workers = request.workers or (1 if has_library(request.delegate) else 0 if request.device else processors.usable())
    return Job(
        models=tuple(map(str, request.models)),
        preprocessing=models.about.preprocessing.to_json(),
        images=tuple(str(request.data / name) for name in names),
        top=top,
        workers=min(workers, len(names)),
        delegate=request.delegate,
        delegate_options=dict(request.delegate_options),
        minimum_runtime=models.about.minimum_runtime,
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


def _infer_elsewhere(request: Request, run: jobs.Run, classes: int, job: Job) -> Generator[Record, None, None]:
    """The records of a job that runs on a board, which are not trusted.

    Raises:
        JobError: one is not of this job, or there is not one of each image.
    """
    awaited, shape = set(range(len(job.images))), (len(job.images), len(job.models), job.top)
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
                record = Record(event["image"], tuple(answers), event["error"])
                if not fits(record, shape, classes) or record.image not in awaited:
                    must = f"one of each of {shape[0]} images, with {job.top} of {classes} classes by each model"
                    raise JobError(f"{request.device} answered {str(record)[:100]}: must be {must}")
                awaited.remove(record.image)
                yield record
    if awaited:
        raise JobError(f"{request.device} did not answer for {len(awaited)} of {shape[0]} images")


def _identity(job: Job, names: Sequence[str], models: _Models, device: str | None) -> dict[str, Any]:
    """Everything that a record depends on; images by name and size, since reading all takes as long as evaluating."""
    pairs = zip(names, job.images, strict=True)
    images = (os.fsencode(name) + f"\0{Path(path).stat().st_size}\n".encode() for name, path in pairs)
    return {
        "models": list(models.sha256),
        "preprocessing": job.preprocessing,
        "top": job.top,
        "images": {"count": len(names), "sha256": sha256(b"".join(images))},
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
