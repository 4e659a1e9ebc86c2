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

from lite_toolkit.board.inference import InferenceJob, Opening, Record, Shape
from lite_toolkit.datasets import ground_truth
from lite_toolkit.datasets.ground_truth import GroundTruth, Labels, Numbering
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
from lite_toolkit.measurement.multi_label import MultiLabel, multi_label
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import heads, processors
from lite_toolkit.runtime.delegates import XNNPACK, has_library, is_edgetpu

TOP = 5
MAP = "mean average precision"


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
        min_map: the least mean average precision that is wanted of a multi-label model, in percent.
        max_drop: the most points that may be lost to the reference: of top-1, or where images may have any number of
            labels, of mean average precision.

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
    min_map: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if self.max_drop is not None and self.reference is None:
            raise UsageError("--max-drop is the drop from a --reference: pass that too")
        require_range("--top", min(self.top, default=None), 1)
        require_range("--workers", self.workers, 1, processors.MAXIMUM)
        for option in ("min_top1", "min_map", "max_drop"):
            require_range(f"--{option.replace('_', '-')}", getattr(self, option), 0, 100)
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
class Judgement:
    """What models get right.

    Attributes:
        results: of each, by the one class of each image; none where images have any number of labels.
        pairing: of model and reference, by the same.
        multi_label: of each that has a sigmoid for each label.
        doubts: what makes the figures doubtful, though they are right, one sentence each.
    """

    results: tuple[Accuracy, ...] = ()
    pairing: Pairing | None = None
    multi_label: tuple[MultiLabel, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def percents(self) -> dict[str, float | None]:
        """The figures of the model that gates are for."""
        top1 = self.results[0].top[1].percent if self.results else None
        return {"top-1": top1, MAP: self.multi_label[0].mean_average_precision_percent if self.multi_label else None}

    @property
    def drop(self) -> tuple[str, float]:
        """What the model loses to the reference, in points."""
        if self.results:
            return "top-1", -self.pairing.change_points if self.pairing else 0.0
        model, reference = (one.mean_average_precision_percent or 0.0 for one in (self.multi_label * 2)[:2])
        return MAP, reference - model


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
        judgement: of the models.
        names: class index -> name, where names are known.
        notes: what the user should know, one sentence each.
        workers: number of processes.
        seconds: wall time of each step.
        resumed: images taken from the file to resume.
    """

    request: Request
    sha256: tuple[str, ...]
    preprocessing: PreprocessingSpec
    truth: GroundTruth | Labels
    images: int
    unreadable: tuple[str, ...]
    judgement: Judgement
    names: Mapping[int, str]
    notes: tuple[str, ...]
    workers: int
    seconds: Mapping[str, float]
    resumed: int

    @property
    def missed(self) -> str | None:
        """Which limit of the request it misses, and by how much, after the name of the figure."""
        request, percents = self.request, self.judgement.percents
        for name, least in (("top-1", request.min_top1), (MAP, request.min_map)):
            if least is not None and (percent := percents[name]) is not None and percent < least:
                return f"{name} is {percent:.2f}%, less than {least:g}%"
        name, drop = self.judgement.drop
        if request.max_drop is not None and drop > request.max_drop:
            return f"{name} drops by {drop:.2f} points, more than {request.max_drop:g}"
        return None


@dataclass(frozen=True, eq=False)
class _Records:
    """The records of all images: some 30 bytes of each image and model, whatever the number of classes.

    Attributes:
        best: int32 (images, models, k), the best classes.
        tied: bool of the same shape, whether the score is equal to the next.
        scores: float32 (images, models, classes) of multi-label models; without any for others.
        missing: bool (images,), whether there is no record yet.
        errors: image -> why it cannot be read.
        resumed: number of records that were there already.
    """

    best: NDArray[np.int32]
    tied: NDArray[np.bool_]
    scores: NDArray[np.float32]
    missing: NDArray[np.bool_]
    errors: dict[int, str]
    resumed: int = 0

    @classmethod
    def of(cls, shape: Shape) -> "_Records":
        places = shape.images, shape.models
        best, tied = (np.full((*places, shape.top), nothing) for nothing in (np.int32(-1), False))
        scores = np.zeros((*places, shape.classes if shape.scored else 0), np.float32)
        return cls(best, tied, scores, np.ones(shape.images, bool), {})

    def add(self, record: Record) -> None:
        self.missing[record.image] = False
        if record.error is not None:
            self.errors[record.image] = record.error
        for number, answer in enumerate(record.answers):
            self.best[record.image, number] = answer.best
            self.tied[record.image, number, np.array(answer.tied, np.intp) - 1] = True
            self.scores[record.image, number] = answer.scores


@dataclass(frozen=True)
class _Models:
    """What there is to know of the models before they run; `about` is the first with what is right for both."""

    about: Description
    heads: tuple[str, ...]
    sha256: tuple[str, ...]
    numbering: Numbering

    @property
    def multi_label(self) -> bool:
        """Whether they have a sigmoid for each label."""
        return heads.MULTI_LABEL in self.heads

    def names(self, truth: GroundTruth | Labels) -> dict[int, str]:
        """Class index -> name, where names are known."""
        return self.numbering.names(truth.offset)


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
            truth = _ground_truth(request, models, names)
        with steps.step("images"):
            records, workers = _run(session, request, models, names, max(top), steps)
    unreadable = tuple(f"{names[image]}: {records.errors[image]}" for image in sorted(records.errors))
    if len(unreadable) == len(names):
        raise ImageError(f"{request.data}: none of {len(names)} images can be read; the first: {unreadable[0]}")
    judged, delegate = _judge(models, truth, records, top), request.delegation
    return Evaluation(
        request=replace(request, delegate=delegate.name, delegate_options=delegate.options),
        sha256=models.sha256,
        preprocessing=models.about.preprocessing,
        truth=truth,
        images=len(names) - len(unreadable),
        unreadable=unreadable,
        judgement=judged,
        names=models.names(truth),
        notes=(
            *models.about.notes,
            *filter(None, [left_out(request.data)]),
            *judged.doubts,
            *_absent(truth),
        ),
        workers=min(workers, len(names)),
        seconds=steps.seconds,
        resumed=records.resumed,
    )


def _ground_truth(request: Request, models: _Models, names: Sequence[str]) -> GroundTruth | Labels:
    if not models.multi_label:
        if request.min_map is not None:
            raise ModelError(f"--min-map is of models with a sigmoid for each label: {request.model} has none")
        return ground_truth.read(request.data, names, models.numbering, request.table)
    labels = ground_truth.read_labels(request.data, names, models.numbering, request.table)
    if request.min_top1 is not None and labels.single is None:
        raise ModelError(f"--min-top1: images have any number of labels by {labels.source}: pass --min-map instead")
    if not labels.vary and (request.min_map, request.max_drop) != (None, None):
        raise ImageError(f"{labels.source}: no label that some images have and others not: nothing has a precision")
    return labels


def _judge(models: _Models, truth: GroundTruth | Labels, records: _Records, top: Sequence[int]) -> Judgement:
    """What the models get right of the images that were read."""
    read, sides = np.delete(np.arange(len(records.best)), list(records.errors)), range(len(models.sha256))
    best, tied, scores = records.best[read], records.tied[read], records.scores[read]
    labels, single = (truth, truth.single) if isinstance(truth, Labels) else (None, truth)
    found = Judgement()
    if single:
        classes = single.classes[read]
        found = Judgement(
            results=tuple(accuracy.accuracy(best[:, side], tied[:, side], classes, top) for side in sides),
            pairing=accuracy.pairing(best[:, 0, 0], best[:, 1, 0], classes) if len(sides) > 1 else None,
            doubts=tuple(_doubts(best[:, 0], classes, models.about.classes)),
        )
    if labels:
        only = f"Each image has one label by {labels.source}: every other is taken to be absent."
        reference = scores[:, 1] if len(sides) > 1 else None
        found = replace(
            found,
            doubts=(*found.doubts, *([only] if single else [])),
            multi_label=tuple(
                multi_label(scores[:, side], labels.present[read], models.names(truth), None if side else reference)
                for side in sides
            ),
        )
    return found


def _load(request: Request) -> _Models:
    # The first as the delegate runs it. No model is run here: an Edge TPU serves one process.
    delegates, paths = (request.delegation.name, XNNPACK.name), list(request.files.values())
    sides = [
        describe(path, labels=request.labels, delegate=delegate)
        for path, delegate in zip(paths, delegates, strict=False)
    ]
    about = together(paths, sides, request.preprocessing)
    index = ground_truth.read_class_index(request.class_index) if request.class_index else None
    numbering = Numbering(about.classes, index, about.labels)
    return _Models(about, tuple(side.head for side in sides), tuple(map(sha256, paths)), numbering)


def _top(wanted: Sequence[int], classes: int) -> tuple[int, ...]:
    """Every k to count, ascending; 1 is always one. Of all classes each is among the best, which says nothing."""
    if wanted and max(wanted) > max(1, classes - 1):
        raise ModelError(f"--top {max(wanted)}: the model has {classes} classes, and all are among so many")
    return tuple(sorted({1, *(wanted or ([TOP] if classes > TOP else []))}))


def _run(
    session: Session, request: Request, models: _Models, names: Sequence[str], top: int, steps: Steps
) -> tuple[_Records, int]:
    """Every image's record, from the file to resume or by the workers, and the number of these."""
    shape = Shape(len(names), len(request.files), top, models.about.classes, models.multi_label)
    records = _Records.of(shape)
    with ExitStack() as stack:
        journal = None
        if request.resume:
            identity = _identity(request, models, names, top)
            read = functools.partial(Record.from_json, shape=shape)
            journal = stack.enter_context(Journal(request.resume, identity, read, records.add))
        todo = np.flatnonzero(records.missing).tolist()
        job = _job(request, models, [names[image] for image in todo], top)
        events = stack.enter_context(closing(session.events(job, {"images": request.data, **request.files})))
        opening = session.decoded(next(events), "opening", Opening)
        if journal:
            journal.begin(opening.circumstances)
        for record in steps.track(_records(session, events, replace(shape, images=len(todo))), len(todo)):
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
        heads=models.heads,
    )


def _records(session: Session, events: Events, shape: Shape) -> Iterator[Record]:
    """The records of a job, which are not trusted.

    Raises:
        JobError: one is not of this job, or there is not one of each image.
    """
    awaited = set(range(shape.images))
    for event in events:
        for told in event.get("records", ()):
            try:
                record = Record.from_json(told, shape)
                awaited.remove(record.image)
            except (ValueError, KeyError):
                must = (
                    f"one of each of {shape.images} images, with {shape.top} of {shape.classes} classes by each model"
                )
                session.refuse(f"answered {str(told)[:100]}: must be {must}")
            yield record
    if awaited:
        session.refuse(f"did not answer for {len(awaited)} of {shape.images} images")


def _identity(request: Request, models: _Models, names: Sequence[str], top: int) -> dict[str, Any]:
    """What a record depends on, as far as it is known here; see `Opening` for the rest.

    Images are told by name and size, since reading all takes as long as evaluating.
    """
    images = (os.fsencode(name) + f"\0{(request.data / name).stat().st_size}\n".encode() for name in names)
    return {
        "models": list(models.sha256),
        "preprocessing": models.about.preprocessing.to_json(),
        **({"heads": models.heads} if {*models.heads} != {heads.SINGLE_LABEL} else {}),
        "top": top,
        "images": {"count": len(names), "sha256": sha256(b"".join(images))},
        "device": request.device.name,
        "delegate": {"name": request.delegation.name, "options": dict(request.delegation.options)},
    }


def _doubts(best: NDArray[np.int32], classes: NDArray[np.int32], outputs: int) -> Iterator[str]:
    """What makes the figures doubtful, though they are right."""
    shift = accuracy.shifted(best, classes)
    if outputs == 2 and accuracy.exchanged(best, classes):
        yield (
            "Top-1 is drastically better with the two classes exchanged: is the label of a low score, or of the first "
            "output, the first one?"
        )
    elif outputs > 2 and shift:
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


def _absent(truth: GroundTruth | Labels) -> Iterator[str]:
    if truth.absent:
        shown = ", ".join(truth.absent[:3]) + (", ..." if len(truth.absent) > 3 else "")
        yield f"{truth.source} names {len(truth.absent)} images that are not there: {shown}"
