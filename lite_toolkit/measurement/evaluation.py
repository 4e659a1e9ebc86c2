"""A `.tflite` classifier on images whose classes are known: what it gets right, and what a reference does."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.board.inference import InferenceJob, Opening, Record
from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.ground_truth import GroundTruth, Numbering
from lite_toolkit.devices import profiles
from lite_toolkit.devices.jobs import Events, Session
from lite_toolkit.devices.profiles import Delegation, Profile
from lite_toolkit.documents import sha256
from lite_toolkit.errors import ImageError, ModelError, UsageError, require_range
from lite_toolkit.images.files import find_images, left_out
from lite_toolkit.images.preprocessing import PreprocessingSpec, Sized
from lite_toolkit.measurement import accuracy
from lite_toolkit.measurement.accuracy import Accuracy, Pairing
from lite_toolkit.measurement.description import Description, describe, together
from lite_toolkit.measurement.journal import Journal
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import processors
from lite_toolkit.runtime.delegates import XNNPACK, has_library, is_edgetpu

TOP = 5


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
        delegate, delegate_options: for `delegates.choose`, where the model runs; None is the device's own. The
            reference is left to XNNPACK.
        resume: file that holds what is done, to continue there.
        device: what runs the models, see `profiles.load`; by default this machine.
        min_top1: the least top-1 that is wanted, in percent.
        max_drop: the most points of top-1 that may be lost to the reference.

    Raises:
        UsageError: a value is out of range, or means nothing with others.
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
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    resume: Path | None = None
    device: Profile = field(default_factory=profiles.here)
    min_top1: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if self.max_drop is not None and self.reference is None:
            raise UsageError("--max-drop is the drop from a --reference: pass that too")
        require_range("--top", min(self.top, default=None), 1)
        require_range("--workers", self.workers, 1, processors.MAXIMUM)
        for option, percent in (("--min-top1", self.min_top1), ("--max-drop", self.max_drop)):
            require_range(option, percent, 0, 100)
        if is_edgetpu(self.delegation.name) and (self.workers or 1) > 1:
            raise UsageError(f"--workers {self.workers}: an Edge TPU serves one process at a time")

    @property
    def files(self) -> dict[str, Path]:
        """The models, by their names in the job."""
        return {"model": self.model, **({"reference": self.reference} if self.reference else {})}

    @property
    def delegation(self) -> Delegation:
        """The delegate that runs the model, on its device."""
        return self.device.delegation(self.delegate, self.delegate_options)


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        request: what was asked for, with the delegate that ran the model.
        sha256: of each model's file, in hex.
        preprocessing: of the images.
        truth: where the true classes come from.
        images: number of images that were read.
        unreadable: one message for each that could not be, its name first; they count nowhere.
        results: of each model.
        pairing: of model and reference.
        names: class index -> name, where names are known.
        notes: what the user should know, one sentence each.
        workers: number of processes.
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
    workers: int
    seconds: Mapping[str, float]
    resumed: int

    @property
    def missed(self) -> str | None:
        """Which limit of the request it misses, and by how much."""
        least, most, top1 = self.request.min_top1, self.request.max_drop, self.results[0].top[1].percent
        drop = -self.pairing.change_points if self.pairing else 0.0
        if least is not None and top1 < least:
            return f"is {top1:.2f}%, less than {least:g}%"
        if most is not None and drop > most:
            return f"drops by {drop:.2f} points, more than {most:g}"
        return None


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


def evaluate(request: Request, steps: Steps | None = None) -> Evaluation:
    """Classify every image, where the request says, and count.

    Args:
        request: what to evaluate.
        steps: shows how far it is.

    Raises:
        JobError: the device cannot be reached, or the delegate or a model cannot be run there.
        DelegateError, ModelError: a model is none that can run there, the two do not belong together, or the
            preprocessing contradicts a manifest.
        ImageError: there are no images, no ground truth, or no image that can be read.
        OutputError: the file to resume is another evaluation's, or cannot be written.
    """
    steps = steps or Steps()
    with request.device.start() as session:
        with steps.step("models"):
            models = _load(request)
            top = _top(request.top, models.about.classes)
        with steps.step("ground truth"):
            names = [path.relative_to(request.data).as_posix() for path in find_images(request.data)]
            truth = ground_truth.read(request.data, names, models.numbering, request.table)
        with steps.step("images"):
            records, workers = _run(session, request, models, names, max(top), steps)
    unreadable = tuple(f"{names[image]}: {records.errors[image]}" for image in sorted(records.errors))
    if len(unreadable) == len(names):
        raise ImageError(f"{request.data}: none of {len(names)} images can be read; the first: {unreadable[0]}")
    read = np.delete(np.arange(len(names)), list(records.errors))
    best, tied, classes = records.best[read], records.tied[read], truth.classes[read]
    delegate = request.delegation
    return Evaluation(
        request=replace(request, delegate=delegate.name, delegate_options=delegate.options),
        sha256=models.sha256,
        preprocessing=models.about.preprocessing,
        truth=truth,
        images=len(read),
        unreadable=unreadable,
        results=tuple(accuracy.accuracy(best[:, i], tied[:, i], classes, top) for i in range(len(request.files))),
        pairing=accuracy.pairing(best[:, 0, 0], best[:, 1, 0], classes) if request.reference else None,
        names=models.numbering.names(truth.offset),
        notes=(
            *models.about.notes,
            *filter(None, [left_out(request.data)]),
            *_doubts(best[:, 0], classes, truth, models.about.classes),
        ),
        workers=min(workers, len(names)),
        seconds=steps.seconds,
        resumed=records.resumed,
    )


def _load(request: Request) -> _Models:
    # The first as the delegate runs it. No model is run here: an Edge TPU serves one process.
    delegates, paths = (request.delegation.name, XNNPACK.name), list(request.files.values())
    sides = [
        describe(path, labels=request.labels, delegate=delegate)
        for path, delegate in zip(paths, delegates, strict=False)
    ]
    about = together(paths, sides, request.preprocessing)
    index = ground_truth.read_class_index(request.class_index) if request.class_index else None
    return _Models(about, tuple(map(sha256, paths)), Numbering(about.classes, index, about.labels))


def _top(wanted: Sequence[int], classes: int) -> tuple[int, ...]:
    """Every k to count, ascending; 1 is always one."""
    if wanted and max(wanted) > classes:
        raise ModelError(f"--top {max(wanted)}: the model has {classes} classes")
    return tuple(sorted({1, *(wanted or [min(TOP, classes)])}))


def _run(
    session: Session, request: Request, models: _Models, names: Sequence[str], top: int, steps: Steps
) -> tuple[_Records, int]:
    """Every image's record, from the file to resume or by the workers, and the number of these."""
    shape, classes = (len(names), len(request.files), top), models.about.classes
    records = _Records(np.full(shape, -1, np.int32), np.zeros(shape, bool), np.ones(shape[0], bool), {})
    with ExitStack() as stack:
        journal = None
        if request.resume:
            identity = _identity(request, models, names, top)
            read = functools.partial(Record.from_json, shape=shape, classes=classes)
            journal = stack.enter_context(Journal(request.resume, identity, read, records.add))
        todo = np.flatnonzero(records.missing).tolist()
        job = _job(request, models, [names[image] for image in todo], top)
        events = stack.enter_context(closing(session.events(job, {"images": request.data, **request.files})))
        opening = session.decoded(next(events), "opening", Opening)
        if journal:
            journal.begin(opening.circumstances)
        for record in steps.track(_records(session, events, (len(todo), *shape[1:]), classes), len(todo)):
            numbered = replace(record, image=todo[record.image])
            if journal:
                journal.append(numbered)
            records.add(numbered)
    return replace(records, resumed=len(names) - len(todo)), opening.workers


def _job(request: Request, models: _Models, names: Sequence[str], top: int) -> InferenceJob:
    delegate = request.delegation
    return InferenceJob(
        preprocessing=models.about.preprocessing.to_json(),
        images=tuple(names),
        top=top,
        workers=request.workers or (1 if has_library(delegate.name) else 0),
        delegate=delegate.name,
        delegate_options=delegate.options,
        minimum_runtime=models.about.minimum_runtime,
    )


def _records(session: Session, events: Events, shape: tuple[int, int, int], classes: int) -> Iterator[Record]:
    """The records of a job, which are not trusted.

    Raises:
        JobError: one is not of this job, or there is not one of each image.
    """
    awaited = set(range(shape[0]))
    for event in events:
        for told in event.get("records", ()):
            try:
                record = Record.from_json(told, shape, classes)
                awaited.remove(record.image)
            except (ValueError, KeyError):
                must = f"one of each of {shape[0]} images, with {shape[2]} of {classes} classes by each model"
                session.refuse(f"answered {str(told)[:100]}: must be {must}")
            yield record
    if awaited:
        session.refuse(f"did not answer for {len(awaited)} of {shape[0]} images")


def _identity(request: Request, models: _Models, names: Sequence[str], top: int) -> dict[str, Any]:
    """What a record depends on, as far as it is known here; see `Opening` for the rest.

    Images are told by name and size, since reading all takes as long as evaluating.
    """
    images = (os.fsencode(name) + f"\0{(request.data / name).stat().st_size}\n".encode() for name in names)
    return {
        "models": list(models.sha256),
        "preprocessing": models.about.preprocessing.to_json(),
        "top": top,
        "images": {"count": len(names), "sha256": sha256(b"".join(images))},
        "device": request.device.name,
        "delegate": {"name": request.delegation.name, "options": dict(request.delegation.options)},
    }


def _doubts(best: NDArray[np.int32], classes: NDArray[np.int32], truth: GroundTruth, outputs: int) -> Iterator[str]:
    """What makes the figures doubtful, though they are right."""
    shift = accuracy.shifted(best, classes)
    if shift:
        direction = "higher" if shift > 0 else "lower"
        yield (
            f"Top-1 is drastically better with every class of the ground truth {direction} by one: does its numbering "
            "begin at 0, without a background class?"
        )
    elif accuracy.alphabetical(best, classes, outputs):
        yield (
            "Top-1 is drastically better with the ground truth's numbers in alphabetical order (0, 1, 10, 11, 2, ...), "
            "as Keras orders folders: pass --labels FILE with these names in the model's order"
        )
    if truth.absent:
        shown = ", ".join(truth.absent[:3]) + (", ..." if len(truth.absent) > 3 else "")
        yield f"{truth.source} names {len(truth.absent)} images that are not there: {shown}"
