"""What `evaluate` counted, as a document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from lite_toolkit.datasets.ground_truth import MAXIMUM_INDEX
from lite_toolkit.decoding import LATER, Count, between
from lite_toolkit.documents import OfDevice, Several
from lite_toolkit.measurement import evaluation
from lite_toolkit.measurement.accuracy import Accuracy, Pairing, Rate
from lite_toolkit.measurement.multi_label import MultiLabel

TIE_RULE = "of equal scores the lowest class index wins"
INTERVALS = "95%: Wilson's score interval; of a change, Newcombe's for paired proportions (method 10)"

Index = Annotated[int, between(0, MAXIMUM_INDEX - 1)]


@dataclass(frozen=True)
class Top(Rate):
    """Images whose true class is among the best k; in `tied_images` the k-th score is equal to the next."""

    k: Count
    tied_images: Count

    def to_json(self) -> dict[str, Any]:
        """Counts, and what they say."""
        return {"k": self.k, **super().to_json(), "tied_images": self.tied_images}


@dataclass(frozen=True)
class Class:
    """One of the model's outputs: its index, and its name where that is known."""

    index: int
    name: str | None

    def __str__(self) -> str:
        return str(self.index) if self.name is None else f"{self.index} {self.name}"


@dataclass(frozen=True)
class OfClass(Rate):
    """The top-1 of the images of one class."""

    class_: Index
    name: str | None

    @property
    def truth(self) -> Class:
        """The images' class."""
        return Class(self.class_, self.name)

    def to_json(self) -> dict[str, Any]:
        """The class, counts, and what they say."""
        return {"class": self.class_, "name": self.name, **super().to_json()}


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another, and of how many images."""

    class_: Index
    name: str | None
    predicted_class: Index
    predicted_name: str | None
    images: Count

    @property
    def pair(self) -> tuple[Class, Class]:
        """The images' class, and what they are taken for."""
        return Class(self.class_, self.name), Class(self.predicted_class, self.predicted_name)


@dataclass(frozen=True)
class Subject:
    """The model's file."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Reference(Subject):
    """The model that it is compared with, and what that gets right."""

    top: tuple[Top, ...]
    multi_label: MultiLabel | None = field(default=None, metadata=LATER)


@dataclass(frozen=True)
class GroundTruth:
    """Where the true classes come from, and what was added to each."""

    source: str
    offset: Count


@dataclass(frozen=True, kw_only=True)
class Evaluation(OfDevice):
    """What a model gets right on one device; two that found the same are equal, however long they took.

    Attributes:
        delegate, delegate_options: as `--delegate` and `--delegate-option`; None where an old report does not tell.
        data: the name of the folder of images.
        images: number of images that were read.
        unreadable_images: one message for each that could not be.
        top: every k that was counted; nothing where images have any number of labels, which have no classes,
            confusions and pairing either.
        classes: those of the images, whatever the ground truth calls them.
        confusions: the most frequent first.
        multi_label: of a model with a sigmoid for each label.
        workers: number of processes; None or 0 in an old report of a board: one for each processor.
        seconds: wall time of each step.
        images_per_second: of those that were not taken from a file to resume.
    """

    KIND = "evaluate"

    model: Subject
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    data: str
    images: Count
    unreadable_images: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    ground_truth: GroundTruth
    ties: str = TIE_RULE
    intervals: str = INTERVALS
    top: tuple[Top, ...]
    classes: tuple[OfClass, ...]
    confusions: tuple[Confusion, ...]
    reference: Reference | None
    pairing: Pairing | None
    multi_label: MultiLabel | None = field(default=None, metadata=LATER)
    notes: tuple[str, ...]
    workers: Count | None = field(compare=False)
    resumed_images: Count = field(compare=False)
    seconds: Mapping[str, float] = field(compare=False)
    images_per_second: float = field(compare=False)

    def __post_init__(self) -> None:
        reference = [self.reference] if self.reference else []
        for top in (self.top, *(one.top for one in reference)):
            if not any(row.k == 1 for row in top) and (top or self.multi_label is None):
                raise ValueError("top has no k 1: must have one")
        if any((one.multi_label is None) != (self.multi_label is None) for one in reference):
            raise ValueError("multi_label: must be there of the model and the reference, or null")
        if (not reference or not self.top) != (self.pairing is None):
            raise ValueError("reference and pairing: must be there both, or null")

    @property
    def rates(self) -> dict[int, Top]:
        """By k, ascending."""
        return {row.k: row for row in sorted(self.top, key=lambda row: row.k)}

    @classmethod
    def of(cls, device: str, found: evaluation.Evaluation) -> "Evaluation":
        """What was found on a device of that name."""
        request, results, multi_label = found.request, found.judgement.results, found.judgement.multi_label
        name = found.names.get
        reference = None
        if request.reference:
            judged = multi_label[1] if multi_label else None
            reference = Reference(request.reference.name, found.sha256[1], _top(results[1:]), judged)
        done = found.images + len(found.unreadable) - found.resumed
        return cls(
            device=device,
            model=Subject(request.model.name, found.sha256[0]),
            delegate=request.delegate,
            delegate_options=dict(request.delegate_options),
            data=request.data.resolve().name,
            images=found.images,
            unreadable_images=found.unreadable,
            preprocessing=found.preprocessing.to_json(),
            ground_truth=GroundTruth(found.truth.source, found.truth.offset),
            top=_top(results),
            classes=tuple(
                OfClass(rate.correct_images, rate.images, index, name(index))
                for result in results[:1]
                for index, rate in result.classes.items()
            ),
            confusions=tuple(
                Confusion(one.truth, name(one.truth), one.predicted, name(one.predicted), one.images)
                for result in results[:1]
                for one in result.confusions
            ),
            reference=reference,
            pairing=found.judgement.pairing,
            multi_label=multi_label[0] if multi_label else None,
            notes=found.notes,
            workers=found.workers,
            resumed_images=found.resumed,
            seconds=dict(found.seconds),
            images_per_second=done / found.seconds["images"],
        )


def _top(found: Sequence[Accuracy]) -> tuple[Top, ...]:
    """Of the first, if there is one."""
    return tuple(
        Top(rate.correct_images, rate.images, k, one.tied[k]) for one in found[:1] for k, rate in one.top.items()
    )


@dataclass(frozen=True)
class Evaluations(Several):
    """Those of several devices."""

    KIND = "evaluate-devices"

    devices: tuple[Evaluation, ...]
